// How many of a number of things are of a kind, and how sure that is of their whole population.
#pragma once

#include <cmath>
#include <cstdint>

namespace ganymede::eval {

struct Interval {
  double low = 0;
  double high = 1;
};

/// Wilson's interval (1927) of so many standard deviations around a share that was seen among `of` independent things:
/// unlike √(p(1-p)/n) it does not call a share of none or of all of a few certain.
inline Interval wilson_interval(double share, double of, double deviations) {
  const double weight = deviations * deviations / of;
  const double centre = (share + weight / 2) / (1 + weight);
  const double reach = std::sqrt(weight * (share * (1 - share) + weight / 4)) / (1 + weight);
  return {centre - reach, centre + reach};
}

/// Half of that interval of one standard deviation.
inline double share_standard_error(double share, double of) {
  const Interval interval = wilson_interval(share, of, 1);
  return (interval.high - interval.low) / 2;
}

struct Share {
  double part = 0;
  std::uint64_t of = 0;
  [[nodiscard]] double share() const { return part / static_cast<double>(of); }
  [[nodiscard]] double standard_error() const { return share_standard_error(share(), static_cast<double>(of)); }
};

}  // namespace ganymede::eval
