// The phases of a step, and the clock that adds up what time they take.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "core/heartbeat.hpp"

namespace ganymede {

/// Where a step's time goes.
enum class Phase {
  data,
  noise,
  generator_forward,
  discriminator_forward,
  loss,
  penalty,
  discriminator_backward,
  generator_backward,
  discriminator_reduction,
  generator_reduction,
  update,
  count
};
const char* phase_name(Phase phase);
/// The same, for heartbeats. Made once: marking a phase in each step is to cost nothing.
Label phase_label(Phase phase);

/// Adds up wall time by phase; a step without one measures nothing.
class PhaseClock {
 public:
  /// From now on time belongs to `phase`; Phase::count: to none.
  void enter(Phase phase) {
    const auto now = std::chrono::steady_clock::now();
    const std::uint64_t waited = heartbeat::pulse().waited.load(std::memory_order_relaxed);
    if (phase_ != Phase::count) {
      seconds_[static_cast<std::size_t>(phase_)] += std::chrono::duration<double>(now - since_).count();
      waited_[static_cast<std::size_t>(phase_)] += waited - waited_before_;
    }
    since_ = now;
    waited_before_ = waited;
    phase_ = phase;
  }
  [[nodiscard]] double seconds(Phase phase) const { return seconds_[static_cast<std::size_t>(phase)]; }
  /// The part of it in which this rank waited for others.
  [[nodiscard]] double seconds_waited(Phase phase) const {
    return 1e-9 * static_cast<double>(waited_[static_cast<std::size_t>(phase)]);
  }

 private:
  std::chrono::steady_clock::time_point since_;
  std::uint64_t waited_before_ = 0;
  Phase phase_ = Phase::count;
  std::array<double, static_cast<std::size_t>(Phase::count)> seconds_{};
  std::array<std::uint64_t, static_cast<std::size_t>(Phase::count)> waited_{};  // nanoseconds
};

}  // namespace ganymede
