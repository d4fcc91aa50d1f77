// The optimisers with their average against the CPU's, the squared norm and Adam's bias correction against double, and
// the search for what is not finite.
#include <cmath>
#include <cstdint>

#include "math/optimizer/optimizers.hpp"
#include "unit/cuda_kernels/cpu_reference.hpp"
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

// Each optimiser over ten updates, plain and with all that an update can have beside it: the CPU's bits.
TEST_F(CudaOptimiser, UpdatesAreTheCpus) {
  CpuReference reference;
  for (int optimizer = 0; optimizer < math::Optimizers::size; ++optimizer)
    for (int schedule = 0; schedule < math::Schedules::size; ++schedule)
      for (const bool plain : {true, false})
        for (const std::size_t count : {0, 1, 3, 130, 1025})
          for (const std::size_t shift : {std::size_t{0}, std::size_t{1}})
            for (const bool averaged : {false, true}) {
              SCOPED_TRACE(std::to_string(optimizer) + ", schedule " + std::to_string(schedule) + ", " +
                           std::to_string(count) + " parameters");
              const Values start = draws(count, 1);
              Memory<float> p(start, shift);
              Memory<float> m(count, 0.0F, shift);
              Memory<float> v(count, 0.0F, shift);
              Memory<float> average(start, shift);
              Memory<double> norm(1, 4.0);
              Memory<std::uint64_t> step(1, 0);
              OptimizerConstants constants;
              constants.learning_rate = 0.01;
              constants.momentum = 0.9;
              constants.schedule = {schedule, 0.25, 0.5, 5};
              if (!plain) {
                constants.weight_decay = 0.1;
                constants.clip_gradient = 0.5;
                constants.clip_weights = 0.75;
              }
              // Two updates per step.
              const auto run = [&](const Values& g, std::uint64_t update) {
                Memory<float> gradient(g, shift);
                step[0] = update / 2;
                cuda::optimizer_update(nullptr, {optimizer,
                                                 constants,
                                                 step.data(),
                                                 2,
                                                 update % 2,
                                                 count,
                                                 norm.data(),
                                                 gradient.data(),
                                                 p.data(),
                                                 {m.data(), v.data()},
                                                 averaged ? average.data() : nullptr,
                                                 0.99F});
              };
              Values expected[] = {start, Values(count, 0.0F), Values(count, 0.0F), start};
              const auto expect_all = [&](const std::string& what) {
                expect_same_bits(p.host(), expected[0], what + "parameters");
                expect_same_bits(m.host(), expected[1], what + "first state");
                expect_same_bits(v.host(), expected[2], what + "second state");
                expect_same_bits(average.host(), expected[3], what + "average");
              };
              for (std::uint64_t update = 0; update < 10; ++update) {
                const Values g = draws(count, static_cast<unsigned>(update) + 10, 0.1F);
                run(g, update);
                OptimizerUpdate args;
                args.optimizer = optimizer;
                args.constants = constants;
                args.updates = {&step[0], 2, update % 2};
                args.count = count;
                args.squared_norm = &norm[0];
                args.gradient = g.data();
                args.parameters = expected[0].data();
                args.state = {expected[1].data(), expected[2].data()};
                if (averaged) args.average = {expected[3].data(), 0.99F};
                reference.optimizer_update(args);
                expect_all("");
              }
              for (const double bad : {std::numeric_limits<double>::quiet_NaN(), double{infinity}}) {
                norm[0] = bad;
                run(Values(count, nan), 10);
                expect_all("guarded ");
              }
            }
}

// After very many updates β^t is 0, and on the way there it is what std::pow says.
TEST_F(CudaOptimiser, AdamsBiasCorrectionAtAnyUpdate) {
  const int adam = math::Optimizers::find([](const char* name) { return std::string(name) == "adam"; });
  Memory<double> norm(1, 1.0);
  OptimizerConstants constants;
  constants.learning_rate = 1;
  constants.beta1 = 0.9;
  constants.beta2 = 0.9999;
  constants.epsilon = 0;
  for (const std::uint64_t t : {1ULL, 2ULL, 7ULL, 1000ULL, 12345ULL, 1000000ULL, 5000000000ULL}) {
    Memory<float> p(1, 0.0F);
    Memory<float> m(1, 0.0F);
    Memory<float> v(1, 0.0F);
    Memory<float> g(1, 1.0F);
    Memory<std::uint64_t> step(1, t - 1);
    cuda::optimizer_update(
        nullptr,
        {adam, constants, step.data(), 1, 0, 1, norm.data(), g.data(), p.data(), {m.data(), v.data()}, nullptr, 0});
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
