// Losses and penalties against the CPU device: seeds bit by bit, sums within rounding (another order of addition in
// double), and in any number of shards.
#include "math/loss/losses.hpp"

#include <cmath>
#include <cstdint>

#include "unit/cuda_kernels/cpu_reference.hpp"

namespace ganymede::testing {
namespace {

const std::vector<std::vector<int>> layouts = {{0, 0},
                                               {0, 1},
                                               {0, 31},
                                               {0, 32, 33},
                                               {0, 100},
                                               {0, 7, 7, 20},
                                               {0, 0, 257, 300},
                                               {0, 13, 25, 38, 50, 63, 75, 88, 100},
                                               {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}};

// All NaNs are one: their sign is the compiler's.
std::uint32_t bits(float value) {
  if (std::isnan(value)) value = nan;
  std::uint32_t result = 0;
  std::memcpy(&result, &value, sizeof value);
  return result;
}

class CudaLosses : public Kernels {
 protected:
  // Sums in double, in another order, then rounded to float once (once per shard): within an ulp each.
  static void expect_sums(const Target& actual, const CpuReference::Sums& expected, bool exact, std::size_t shards,
                          const std::string& what) {
    if (exact) {
      const std::vector<std::int64_t> fixed = actual.fixed();
      for (std::size_t i = 0; i < fixed.size(); ++i) {
        const double value = static_cast<double>(expected.fixed[i]) * 0x1p-40;
        EXPECT_NEAR(static_cast<double>(fixed[i]) * 0x1p-40, value,
                    1.2e-7 * std::abs(value) + 1e-12 * static_cast<double>(shards))
            << what << " " << i;
      }
      EXPECT_EQ(actual.overflow(), expected.overflow) << what;
    } else {
      const Values values = actual.values();
      for (std::size_t i = 0; i < values.size(); ++i) {
        if (std::isnan(expected.values[i])) {
          EXPECT_TRUE(std::isnan(values[i])) << what << " " << i;
        } else {
          EXPECT_FLOAT_EQ(values[i], expected.values[i]) << what << " " << i;
        }
      }
    }
  }
  CpuReference cpu_;
};

TEST_F(CudaLosses, AreTheCpus) {
  for (int loss = 0; loss < math::Losses::size; ++loss)
    for (const std::vector<int>& begin : layouts)
      for (const bool exact : {false, true})
        for (const bool broken : {false, true}) {
          const auto rows = static_cast<std::size_t>(begin.back());
          Values logits = draws(2 * rows, 5, 8);
          if (broken && rows > 5) {
            logits[2] = nan;
            logits[rows + 5] = infinity;
          }
          const std::string what = "loss " + std::to_string(loss) + ", " + std::to_string(rows) + " rows";
          constexpr float scale = 0.01F;
          Memory<float> device_logits(logits);
          float* real = device_logits.data();
          float* fake = real + rows;
          const cuda::Shards shards = shards_of(2, begin);

          Memory<float> seed(2 * rows, nan);
          Target sums(3, exact);
          cuda::gan_loss(nullptr, loss, true, shards, real, fake, scale, seed.data(), seed.data() + rows, nullptr,
                         sums.sum());
          Values expected(2 * rows);
          expect_sums(sums, cpu_.discriminator_loss(loss, begin, logits.data(), scale, exact, expected.data()), exact,
                      begin.size(), what);
          const Values seeds = seed.host();
          for (std::size_t i = 0; i < 2 * rows; ++i) ASSERT_EQ(bits(seeds[i]), bits(expected[i])) << what << " " << i;

          // The seeds of real rows as weights of db's rows.
          Memory<float> unit(2 * rows, nan);
          Memory<float> row_scale(2 * rows, nan);
          Target again(3, exact);
          cuda::gan_loss(nullptr, loss, true, shards, real, fake, scale, unit.data(), unit.data() + rows,
                         row_scale.data(), again.sum());
          for (std::size_t i = 0; i < 3; ++i) ASSERT_EQ(bits(again.as_values()[i]), bits(sums.as_values()[i])) << what;
          for (std::size_t i = 0; i < rows; ++i) {
            ASSERT_EQ(bits(row_scale[i]), bits(expected[i])) << what;
            ASSERT_EQ(unit[i], 1.0F);
            ASSERT_EQ(row_scale[rows + i], 1.0F);
            ASSERT_EQ(bits(unit[rows + i]), bits(expected[rows + i])) << what;
          }

          // G's, of fake logits alone and of both.
          Memory<float> g_seed(rows, nan);
          Target g_sums(3, exact);
          cuda::gan_loss(nullptr, loss, false, shards_of(1, begin), nullptr, fake, scale, nullptr, g_seed.data(),
                         nullptr, g_sums.sum());
          expect_sums(g_sums, cpu_.generator_loss(loss, 1, begin, logits.data() + rows, scale, exact, expected.data()),
                      exact, begin.size(), what);
          const Values g_seeds = g_seed.host();
          for (std::size_t i = 0; i < rows; ++i) ASSERT_EQ(bits(g_seeds[i]), bits(expected[i])) << what;
          Target both_sums(3, exact);
          cuda::gan_loss(nullptr, loss, false, shards, real, fake, scale, seed.data(), seed.data() + rows, nullptr,
                         both_sums.sum());
          expect_sums(both_sums, cpu_.generator_loss(loss, 2, begin, logits.data(), scale, exact, expected.data()),
                      exact, begin.size(), what);
          for (std::size_t i = 0; i < 2 * rows; ++i) ASSERT_EQ(bits(seed[i]), bits(expected[i])) << what;
        }
}

TEST_F(CudaLosses, PenaltiesAreTheCpus) {
  Partials partials;
  for (const std::vector<int>& begin : layouts)
    for (const int columns : {1, 15, 127, 128, 129, 784})
      for (const bool exact : {false, true})
        for (const std::size_t shift : {std::size_t{0}, std::size_t{1}}) {
          if (begin.back() > 100 && columns > 129) continue;  // nothing new, and slow
          constexpr float coefficient = 0.05F;
          const Values g = draws(area(begin.back(), columns), 3);
          Values expected_v(g.size());
          const CpuReference::Sums expected =
              cpu_.penalty(begin, columns, g.data(), coefficient, exact, expected_v.data());
          Memory<float> device_g(g, shift);
          Memory<float> v(g.size(), nan, shift);
          Target penalty(1, exact);
          cuda::squared_norm_penalty(nullptr, shards_of(1, begin), columns, device_g.data(), coefficient, v.data(),
                                     penalty.sum(), partials.scratch());
          const std::string what = std::to_string(begin.back()) + "x" + std::to_string(columns);
          expect_same_bits(v.host(), expected_v, what);
          // The CPU adds a row's squares in single precision.
          const double value =
              exact ? static_cast<double>(expected.fixed[0]) * 0x1p-40 : static_cast<double>(expected.values[0]);
          EXPECT_NEAR(static_cast<double>(penalty.as_values()[0]), value, 1e-6 * value + 1e-9) << what;
          Target in_place(1, exact);
          cuda::squared_norm_penalty(nullptr, shards_of(1, begin), columns, device_g.data(), coefficient,
                                     device_g.data(), in_place.sum(), partials.scratch());
          expect_same_bits(device_g.host(), expected_v, what);
          expect_same_bits(in_place.as_values(), penalty.as_values(), what);
        }
}

TEST_F(CudaLosses, AShardsContributionIsItsOwn) {
  const std::vector<int> begin = {0, 13, 25, 38, 50, 63, 75, 88, 89, 100};
  constexpr int columns = 61;
  Memory<float> g(draws(area(100, columns), 1));
  Memory<float> v(area(100, columns));
  Memory<float> logits(draws(200, 2, 5));
  Memory<float> seed(200);
  Partials partials;
  const auto run = [&](int first, const std::vector<int>& cuts, Target& penalty, Target& loss) {
    cuda::squared_norm_penalty(nullptr, shards_of(1, cuts), columns, g.data() + area(first, columns), 0.1F, v.data(),
                               penalty.sum(), partials.scratch());
    cuda::gan_loss(nullptr, 0, true, shards_of(2, cuts), logits.data() + first, logits.data() + 100 + first, 0.01F,
                   seed.data(), seed.data() + 100, nullptr, loss.sum());
  };
  Target penalty(1, true);
  Target loss(3, true);
  run(0, begin, penalty, loss);
  std::vector<std::int64_t> sums(4);
  for (std::size_t s = 0; s + 1 < begin.size(); ++s) {
    Target one(1, true);
    Target three(3, true);
    run(begin[s], {0, begin[s + 1] - begin[s]}, one, three);
    sums[0] += one.fixed()[0];
    for (std::size_t i = 0; i < 3; ++i) sums[1 + i] += three.fixed()[i];
  }
  EXPECT_EQ(sums[0], penalty.fixed()[0]);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(sums[1 + i], loss.fixed()[i]);
}

TEST_F(CudaLosses, BitsDoNotDependOnTheOrderOfThreads) {
  const std::vector<int> begin = {0, 13, 25, 60};
  Memory<float> g(draws(area(60, 100), 1));
  Memory<float> v(area(60, 100));
  Memory<float> logits(draws(120, 2, 5));
  Memory<float> seeds(120);
  Values first;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    emulation::set_seed(seed);
    Partials partials;
    Target penalty(1, false);
    Target loss(3, false);
    cuda::squared_norm_penalty(nullptr, shards_of(1, begin), 100, g.data(), 0.1F, v.data(), penalty.sum(),
                               partials.scratch());
    cuda::gan_loss(nullptr, 0, true, shards_of(2, begin), logits.data(), logits.data() + 60, 0.01F, seeds.data(),
                   seeds.data() + 60, nullptr, loss.sum());
    Values now = loss.values();
    now.push_back(penalty.values()[0]);
    if (seed == 0) first = now;
    expect_same_bits(now, first, "sums");
  }
}

}  // namespace
}  // namespace ganymede::testing
