// Wall time since something began.
#pragma once

#include <chrono>
#include <cstdint>

#include "core/heartbeat.hpp"

namespace ganymede {

/// Runs from when it is made.
class Stopwatch {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  }
  /// The part of it in which this rank waited for others, in waits that are over.
  [[nodiscard]] double seconds_waited() const {
    return 1e-9 * static_cast<double>(heartbeat::pulse().waited.load(std::memory_order_relaxed) - waited_before_);
  }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::uint64_t waited_before_ = heartbeat::pulse().waited.load(std::memory_order_relaxed);
};

}  // namespace ganymede
