// How many of a number of things are of a kind.
#pragma once

#include <cmath>
#include <cstdint>

namespace ganymede::eval {

struct Share {
  double part = 0;
  std::uint64_t of = 0;
  [[nodiscard]] double share() const { return part / static_cast<double>(of); }
  /// √(p(1-p)/n).
  [[nodiscard]] double standard_error() const { return std::sqrt(share() * (1 - share()) / static_cast<double>(of)); }
};

}  // namespace ganymede::eval
