// See exponential_sums.hpp.
#include "eval/exponential_sums.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace ganymede::eval {

ExponentialSums::ExponentialSums(std::size_t count, double rate)
    : binary_rate_(rate * std::numbers::log2e), tops_(count, nothing), bins_(count * bin_count) {}

void ExponentialSums::raise(std::size_t place, std::int64_t top) {
  std::int64_t* const bins = &bins_[place * bin_count];
  const std::int64_t by = std::min<std::int64_t>(top - tops_[place], bin_count);
  std::move_backward(bins, bins + (bin_count - by), bins + bin_count);
  std::fill(bins, bins + by, 0);
  tops_[place] = top;
}

void ExponentialSums::add(std::size_t place, const std::int32_t* d, std::size_t n) {
  // Of a far greater d not even the exponential needs to be known. One more than the greatest that counts, so that
  // rounding here never leaves out what the test below lets in.
  const auto limit = [&] {
    constexpr std::int32_t none = std::numeric_limits<std::int32_t>::max();
    if (tops_[place] == nothing) return none;
    const double most = static_cast<double>(-bin_bits * (tops_[place] - (bin_count - 1))) / binary_rate_ + 1;
    return most > none ? none : static_cast<std::int32_t>(most);
  };
  std::int32_t most = limit();
  for (std::size_t i = 0; i < n; ++i) {
    if (d[i] > most) continue;
    const double exponent = -binary_rate_ * d[i];
    const double bin = std::floor(exponent / bin_bits);
    const auto number = static_cast<std::int64_t>(bin);
    if (number > tops_[place]) {
      raise(place, number);
      most = limit();
    }
    const std::int64_t below = tops_[place] - number;
    if (below >= bin_count) continue;
    bins_[place * bin_count + static_cast<std::size_t>(below)] +=
        std::llround(std::ldexp(std::exp2(exponent - bin * bin_bits), fraction_bits));
  }
}

void ExponentialSums::sum_over(Communicator& ranks) {
  std::vector<std::int64_t> tops = tops_;
  ranks.all_max(tops);
  for (std::size_t p = 0; p < tops.size(); ++p) raise(p, tops[p]);
  ranks.all_sum(std::span(bins_));
}

double ExponentialSums::logarithm(std::size_t place) const {
  if (tops_[place] == nothing) return -std::numeric_limits<double>::infinity();
  double sum = 0;
  for (int b = bin_count - 1; b >= 0; --b)
    sum = std::ldexp(sum, -bin_bits) + static_cast<double>(bins_[place * bin_count + static_cast<std::size_t>(b)]);
  return (static_cast<double>(bin_bits * tops_[place] - fraction_bits) + std::log2(sum)) * std::numbers::ln2;
}

}  // namespace ganymede::eval
