// Adam with its average, the squared norm, and the search for what is not finite, against double.
#include <cmath>
#include <cstdint>

#include "unit/cuda_kernels/memory.hpp"

namespace ganymede::testing {
namespace {

class CudaOptimiser : public Kernels {};

TEST_F(CudaOptimiser, SquaresSumInAFixedOrder) {
  for (const std::size_t count : {0, 1, 3, 1023, 1024, 1025, 2047, 2048, 2049, 50001, 530001})
    for (const std::size_t shift : {std::size_t{0}, std::size_t{1}}) {
      const Values x = draws(count, 1, 5);
      double squares = 0;
      for (const float value : x) squares += static_cast<double>(value) * static_cast<double>(value);
      Memory<float> device_x(x, shift);
      double first = 0;
      for (std::uint64_t seed = 0; seed < (count < 3000 ? 5U : 2U); ++seed) {
        emulation::set_seed(seed);
        Partials partials;
        Memory<double> result(1, -1);
        cuda::sum_of_squares(nullptr, count, device_x.data(), result.data(), partials.scratch());
        EXPECT_NEAR(result[0], squares, 1e-12 * squares) << count;
        if (seed == 0) first = result[0];
        EXPECT_EQ(result[0], first) << count;
      }
    }
  Partials partials;
  Memory<double> result(1, 0);
  for (const float bad : {nan, infinity}) {
    Values x = draws(5000, 1);
    x[4321] = bad;
    Memory<float> device_x(x);
    cuda::sum_of_squares(nullptr, x.size(), device_x.data(), result.data(), partials.scratch());
    EXPECT_FALSE(std::isfinite(result[0]));
  }
}

TEST_F(CudaOptimiser, AdamMatchesDouble) {
  for (const std::size_t count : {0, 1, 3, 130, 1025})
    for (const std::size_t shift : {std::size_t{0}, std::size_t{1}})
      for (const bool averaged : {false, true}) {
        const Values start = draws(count, 1);
        Memory<float> p(start, shift);
        Memory<float> m(count, 0.0F, shift);
        Memory<float> v(count, 0.0F, shift);
        Memory<float> average(start, shift);
        std::vector<double> ep(start.begin(), start.end());
        std::vector<double> em(count);
        std::vector<double> ev(count);
        std::vector<double> ea = ep;
        Memory<double> norm(1, 1.0);
        Memory<std::uint64_t> step(1, 0);
        constexpr double b1 = 0.5;
        constexpr double b2 = 0.999;
        cuda::Adam constants{2e-4, b1, b2, 1e-8, step.data(), 2, 0};
        const auto run = [&](const Values& g) {
          Memory<float> gradient(g, shift);
          cuda::adam(nullptr, count, constants, norm.data(), gradient.data(), p.data(), m.data(), v.data(),
                     averaged ? average.data() : nullptr, 0.99F);
        };
        // Two updates per step: t = 1, 2, 3, …
        for (std::uint64_t t = 1; t <= 20; ++t) {
          step[0] = (t - 1) / 2;
          constants.offset = (t - 1) % 2;
          const Values g = draws(count, static_cast<unsigned>(t) + 10, 0.1F);
          run(g);
          for (std::size_t i = 0; i < count; ++i) {
            const auto gradient = static_cast<double>(g[i]);
            em[i] = b1 * em[i] + (1 - b1) * gradient;
            ev[i] = b2 * ev[i] + (1 - b2) * gradient * gradient;
            ep[i] -= 2e-4 * (em[i] / (1 - std::pow(b1, t))) / (std::sqrt(ev[i] / (1 - std::pow(b2, t))) + 1e-8);
            ea[i] = 0.99 * ea[i] + 0.01 * ep[i];
          }
        }
        expect_close(p.host(), ep, 1e-6, "parameters");
        expect_close(m.host(), em, 1e-6, "first moment");
        expect_close(v.host(), ev, 1e-6, "second moment");
        if (averaged) expect_close(average.host(), ea, 1e-6, "average");
        if (!averaged) expect_same_bits(average.host(), start, "no average");
        const Values before[] = {p.host(), m.host(), v.host(), average.host()};
        for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
          norm[0] = bad;
          run(Values(count, nan));
          expect_same_bits(p.host(), before[0], "guarded parameters");
          expect_same_bits(m.host(), before[1], "guarded first moment");
          expect_same_bits(v.host(), before[2], "guarded second moment");
          expect_same_bits(average.host(), before[3], "guarded average");
        }
      }
}

// After very many steps β^t is 0, and on the way there it is what std::pow says.
TEST_F(CudaOptimiser, AdamsBiasCorrectionAtAnyStep) {
  Memory<double> norm(1, 1.0);
  for (const std::uint64_t t : {1ULL, 2ULL, 7ULL, 1000ULL, 12345ULL, 1000000ULL, 5000000000ULL}) {
    Memory<float> p(1, 0.0F);
    Memory<float> m(1, 0.0F);
    Memory<float> v(1, 0.0F);
    Memory<float> g(1, 1.0F);
    Memory<std::uint64_t> step(1, t - 1);
    cuda::adam(nullptr, 1, {1.0, 0.9, 0.9999, 0.0, step.data(), 1, 0}, norm.data(), g.data(), p.data(), m.data(),
               v.data(), nullptr, 0);
    const auto n = static_cast<double>(t);
    const double expected = -(0.1 / (1 - std::pow(0.9, n))) / std::sqrt(1e-4 / (1 - std::pow(0.9999, n)));
    EXPECT_NEAR(static_cast<double>(p[0]), expected, 1e-6 * std::abs(expected)) << t;
  }
}

TEST_F(CudaOptimiser, FindsTheFirstThatIsNotFinite) {
  for (const std::size_t count : {0, 1, 31, 33, 1023, 1024, 1025, 5000}) {
    Memory<unsigned long long> first(1, 99);
    Memory<float> x(draws(count, 1));
    cuda::find_not_finite(nullptr, count, x.data(), first.data());
    EXPECT_EQ(first[0], count);
    for (const std::size_t place : {count - 1, count / 2, count / 3}) {
      if (place >= count) continue;
      x[place] = place % 2 == 0 ? nan : -infinity;
      cuda::find_not_finite(nullptr, count, x.data(), first.data());
      EXPECT_EQ(first[0], place) << count;
    }
  }
}

}  // namespace
}  // namespace ganymede::testing
