// Sums of exponentials against long double, and their independence of order.
#include "eval/exponential_sums.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "support/thread_ranks.hpp"

namespace ganymede::eval {
namespace {

// ln Σ exp(-rate · d) by the usual detour over the greatest term.
double log_sum(const std::vector<std::int32_t>& d, double rate) {
  const auto least = static_cast<long double>(*std::min_element(d.begin(), d.end()));
  long double sum = 0;
  for (const std::int32_t value : d) sum += std::exp(-static_cast<long double>(rate) * (value - least));
  return static_cast<double>(-static_cast<long double>(rate) * least + std::log(sum));
}

std::vector<std::int32_t> random_distances(std::size_t count, std::int32_t most, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> d(count);
  std::generate(d.begin(), d.end(), [&] { return std::uniform_int_distribution<std::int32_t>(0, most)(random); });
  return d;
}

double log_sum_of(const std::vector<std::int32_t>& d, double rate) {
  ExponentialSums sums(2, rate);
  sums.add(1, d.data(), d.size());
  EXPECT_EQ(sums.logarithm(0), -std::numeric_limits<double>::infinity());
  return sums.logarithm(1);
}

TEST(ExponentialSums, AreThoseOfLongDouble) {
  // From terms that are all of one size to terms of which the nearest alone counts.
  for (const double rate : {1e-9, 1e-6, 7.7e-5, 1e-3, 0.3, 40.0})
    for (const std::int32_t most : {3, 1000, 10'000'000, 2'147'483'647}) {
      const auto d = random_distances(2000, most, 5);
      const double expected = log_sum(d, rate);
      EXPECT_NEAR(log_sum_of(d, rate), expected, 1e-9 + 1e-14 * std::abs(expected)) << rate << " " << most;
    }
}

TEST(ExponentialSums, DoNotDependOnOrder) {
  auto d = random_distances(3000, 4'000'000, 6);
  for (const double rate : {1e-6, 2.8e-4}) {
    const double expected = log_sum_of(d, rate);
    std::sort(d.begin(), d.end());
    EXPECT_EQ(log_sum_of(d, rate), expected);
    std::reverse(d.begin(), d.end());
    EXPECT_EQ(log_sum_of(d, rate), expected);
  }
}

TEST(ExponentialSums, DoNotDependOnRanks) {
  const auto d = random_distances(3000, 400'000, 7);
  for (const double rate : {1e-6, 2.8e-4}) {
    const double expected = log_sum_of(d, rate);
    for (const std::size_t ranks : {2U, 3U, 5U}) {
      test::ThreadRanks(std::vector<int>(ranks, 0)).run([&](Communicator& all) {
        ExponentialSums sums(1, rate);
        const auto rank = static_cast<std::size_t>(all.rank());
        // The last rank has nothing at all.
        if (rank + 1 < ranks)
          for (std::size_t i = rank; i < d.size(); i += ranks - 1) sums.add(0, &d[i], 1);
        sums.sum_over(all);
        EXPECT_EQ(sums.logarithm(0), expected);
      });
    }
  }
}

TEST(ExponentialSums, HoldAsManyTermsAsPromised) {
  constexpr std::size_t block = 1 << 16;
  const std::vector<std::int32_t> ones(block, 0);
  ExponentialSums sums(1, 1);
  for (int i = 0; i < (1 << 24) / static_cast<int>(block); ++i) sums.add(0, ones.data(), block);
  EXPECT_DOUBLE_EQ(sums.logarithm(0), 24 * std::log(2.0));
}

}  // namespace
}  // namespace ganymede::eval
