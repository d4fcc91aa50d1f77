// Losses and penalties against the CPU device: seeds bit by bit, sums within rounding (another order of addition in
// double), and in any number of shards.
#include "math/loss/losses.hpp"

#include <cmath>
#include <cstdint>

#include "math/penalty/penalties.hpp"
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
          Values logits = draws(3 * rows, 5, 8);
          if (broken && rows > 5) {
            logits[rows + 2] = nan;
            logits[2 * rows + 5] = infinity;
          }
          constexpr float scale = 0.01F;
          const GanLoss smoothed{loss, broken ? 0.0F : 0.25F};
          Memory<float> device_logits(logits);
          const cuda::Shards shards = shards_of(2, begin);

          // D's, with every choice of parts that a penalty works on.
          for (int mask = 0; mask < 8; ++mask) {
            const PenaltyParts parts{(mask & 1) != 0, (mask & 2) != 0, (mask & 4) != 0};
            const std::string what =
                "loss " + std::to_string(loss) + ", " + std::to_string(rows) + " rows, parts " + std::to_string(mask);
            const std::size_t first = parts.between ? 0 : rows;
            Memory<float> seed(3 * rows, nan);
            Memory<float> row_scale(3 * rows, nan);
            const bool accumulate = mask % 3 == 0;
            Target sums(LossSums::count, exact, 0, 7);
            cuda::gan_loss(nullptr, shards,
                           {loss, smoothed.smoothing, true, parts.between, true, parts.real, parts.fake,
                            device_logits.data() + first, scale, seed.data() + first,
                            parts.any() ? row_scale.data() + first : nullptr, accumulate},
                           sums.sum());
            Values expected(3 * rows, nan);
            Values expected_scale(3 * rows, nan);
            expect_sums(sums,
                        cpu_.discriminator_loss(smoothed, parts, begin, logits.data() + first, scale, exact,
                                                expected.data() + first,
                                                parts.any() ? expected_scale.data() + first : nullptr, accumulate, 7),
                        exact, begin.size(), what);
            for (std::size_t i = 0; i < 3 * rows; ++i) {
              ASSERT_EQ(bits(seed[i]), bits(expected[i])) << what << " " << i;
              ASSERT_EQ(bits(row_scale[i]), bits(expected_scale[i])) << what << " " << i;
            }
          }

          // G's, of fake logits alone and of both.
          for (const int parts : {1, 2}) {
            const std::string what = "loss " + std::to_string(loss) + " of G, " + std::to_string(rows) + " rows";
            const std::size_t first = parts == 1 ? 2 * rows : rows;
            Memory<float> seed(2 * rows, nan);
            Values expected(2 * rows, nan);
            const bool accumulate = (parts == 2) == exact;
            Target sums(LossSums::count, exact, 0, 7);
            cuda::gan_loss(nullptr, shards_of(parts, begin),
                           {loss, 0, false, false, parts == 2, false, false, device_logits.data() + first, scale,
                            seed.data(), nullptr, accumulate},
                           sums.sum());
            expect_sums(sums,
                        cpu_.generator_loss({loss}, parts, begin, logits.data() + first, scale, exact, expected.data(),
                                            accumulate, 7),
                        exact, begin.size(), what);
            for (std::size_t i = 0; i < 2 * rows; ++i) ASSERT_EQ(bits(seed[i]), bits(expected[i])) << what;
          }
        }
}

TEST_F(CudaLosses, PenaltiesAreTheCpus) {
  Partials partials;
  for (int kind = 0; kind < math::Penalties::size; ++kind)
    for (const std::vector<int>& begin : layouts)
      for (const int columns : {1, 15, 127, 128, 129, 784})
        for (const bool exact : {false, true})
          for (const std::size_t shift : {std::size_t{0}, std::size_t{1}}) {
            if (begin.back() > 100 && columns > 129) continue;  // nothing new, and slow
            constexpr float coefficient = 0.05F;
            const Values g = draws(area(begin.back(), columns), 3);
            Values expected_v(g.size());
            const CpuReference::Sums expected =
                cpu_.penalty(kind, begin, columns, g.data(), coefficient, exact, expected_v.data());
            Memory<float> device_g(g, shift);
            Memory<float> v(g.size(), nan, shift);
            Target penalty(1, exact, 0, 0);
            cuda::gradient_penalty(nullptr, kind, shards_of(1, begin), columns, device_g.data(), coefficient, v.data(),
                                   penalty.sum(), partials.scratch());
            const std::string what = std::to_string(begin.back()) + "x" + std::to_string(columns);
            // The CPU adds a row's squares in single precision.
            const auto expect_v = [&](const Values& actual) {
              if (kind == 0) return expect_same_bits(actual, expected_v, what);
              for (std::size_t i = 0; i < actual.size(); ++i)
                ASSERT_NEAR(actual[i], expected_v[i], 2e-6F * std::abs(g[i])) << what << " " << i;
            };
            expect_v(v.host());
            const double value =
                exact ? static_cast<double>(expected.fixed[0]) * 0x1p-40 : static_cast<double>(expected.values[0]);
            EXPECT_NEAR(static_cast<double>(penalty.as_values()[0]), value, 2e-6 * value + 1e-9) << what;
            // In place, and added to what is there.
            cuda::gradient_penalty(nullptr, kind, shards_of(1, begin), columns, device_g.data(), coefficient,
                                   device_g.data(), penalty.sum(), partials.scratch());
            expect_v(device_g.host());
            EXPECT_NEAR(static_cast<double>(penalty.as_values()[0]), 2 * value, 4e-6 * value + 2e-9) << what;
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
    cuda::gradient_penalty(nullptr, 1, shards_of(1, cuts), columns, g.data() + area(first, columns), 0.1F, v.data(),
                           penalty.sum(), partials.scratch());
    // G's loss, whose logits need not lie a part's rows apart.
    cuda::gan_loss(nullptr, shards_of(1, cuts),
                   {0, 0, false, false, false, false, false, logits.data() + first, 0.01F, seed.data(), nullptr, false},
                   loss.sum());
  };
  Target penalty(1, true, 0, 0);
  Target loss(LossSums::count, true);
  run(0, begin, penalty, loss);
  std::vector<std::int64_t> sums(1 + LossSums::count);
  for (std::size_t s = 0; s + 1 < begin.size(); ++s) {
    Target one(1, true, 0, 0);
    Target all(LossSums::count, true);
    run(begin[s], {0, begin[s + 1] - begin[s]}, one, all);
    sums[0] += one.fixed()[0];
    for (std::size_t i = 0; i < LossSums::count; ++i) sums[1 + i] += all.fixed()[i];
  }
  EXPECT_EQ(sums[0], penalty.fixed()[0]);
  for (std::size_t i = 0; i < LossSums::count; ++i) EXPECT_EQ(sums[1 + i], loss.fixed()[i]);
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
    Target penalty(1, false, 0, 0);
    Target loss(LossSums::count, false);
    cuda::gradient_penalty(nullptr, 0, shards_of(1, begin), 100, g.data(), 0.1F, v.data(), penalty.sum(),
                           partials.scratch());
    cuda::gan_loss(nullptr, shards_of(2, begin),
                   {0, 0, true, false, true, false, false, logits.data(), 0.01F, seeds.data(), nullptr, false},
                   loss.sum());
    Values now = loss.values();
    now.push_back(penalty.values()[0]);
    if (seed == 0) first = now;
    expect_same_bits(now, first, "sums");
  }
}

}  // namespace
}  // namespace ganymede::testing
