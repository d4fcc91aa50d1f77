// Sums of exponentials that do not depend on the order of their terms, for log-likelihoods over samples that several
// ranks have: a sum is a handful of 64-bit whole numbers, each for the terms of eight powers of two, and counting is
// associative.
#pragma once

#include <cstdint>
#include <vector>

#include "ganymede/communicator.hpp"

namespace ganymede::eval {

/// For each of `count` places p the sum Σ_d exp(-rate · d) over whole numbers d ≥ 0 that are added to it, at most 2^24
/// of them in all. A term is kept to 2^-30 of itself or better, and left out below 2^-56 of the greatest.
class ExponentialSums {
 public:
  ExponentialSums(std::size_t count, double rate);

  /// Adds n terms to place p.
  void add(std::size_t place, const std::int32_t* d, std::size_t n);
  /// Adds up what all ranks have. Collective; the last call but logarithm().
  void sum_over(Communicator& ranks);
  /// ln of the sum at place p; -∞ where nothing was added.
  [[nodiscard]] double logarithm(std::size_t place) const;

 private:
  // bin 0 holds the terms of 2^(8·top) up to 2^(8·top+8), in units of 2^(8·top-30); each that follows 2^8 less.
  static constexpr int bin_count = 8;
  static constexpr int bin_bits = 8;
  static constexpr int fraction_bits = 30;
  static constexpr std::int64_t nothing = INT64_MIN / 2;

  void raise(std::size_t place, std::int64_t top);

  double binary_rate_;
  std::vector<std::int64_t> tops_;
  std::vector<std::int64_t> bins_;  // [count, bin_count]
};

}  // namespace ganymede::eval
