// Kernels in which every element is on its own, and those at the ends of a step.
#include <cmath>
#include <cstdint>

#include "ganymede/device.hpp"
#include "math/fixed_point.hpp"
#include "support/activations.hpp"
#include "unit/cuda_kernels/memory.hpp"

namespace ganymede::testing {
namespace {

class CudaElementwise : public Kernels {};

// Around a thread's four elements, a warp's, and a block's.
const std::vector<std::size_t> counts = {0, 1, 3, 4, 5, 31, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 5000};

TEST_F(CudaElementwise, ActivationsAfterAProduct) {
  for (const Activation& sigma : activations)
    for (const int rows : {0, 1, 33})
      for (const int columns : {1, 3, 128, 131})
        for (const std::size_t shift : {std::size_t{0}, std::size_t{1}}) {
          const Values before = draws(area(rows, columns), 1, 3);
          const Values b = draws(static_cast<std::size_t>(columns), 2);
          Memory<float> device_b(b, shift);
          for (const bool with_bias : {true, false}) {
            Memory<float> y(before, shift);
            cuda::activate(nullptr, rows, columns, with_bias ? device_b.data() : nullptr, sigma.kind, sigma.parameter,
                           y.data());
            Memory<float> delta(before, shift);
            cuda::multiply_slope(nullptr, before.size(), sigma.kind, sigma.parameter, y.data(), delta.data());
            std::vector<double> value;
            std::vector<double> product;
            for (std::size_t i = 0; i < before.size(); ++i) {
              const double a = static_cast<double>(before[i]) +
                               (with_bias ? static_cast<double>(b[i % static_cast<std::size_t>(columns)]) : 0);
              value.push_back(value_of(sigma, a));
              // The slope is a function of the output as the kernel has it.
              product.push_back(slope_of(sigma, static_cast<double>(y[i])) * static_cast<double>(before[i]));
            }
            expect_close(y.host(), value, 1e-6, sigma.name());
            expect_close(delta.host(), product, 1e-6, sigma.name());
          }
        }
}

TEST_F(CudaElementwise, RowsCombine) {
  for (const int rows : {0, 1, 31, 60})
    for (const int columns : {1, 2, 31, 128, 701})
      for (const std::size_t shift : {std::size_t{0}, std::size_t{1}}) {
        const Values scale = draws(static_cast<std::size_t>(rows), 1);
        const Values t = draws(area(rows, columns), 2);
        const Values h = draws(area(rows, columns), 3);
        Memory<float> device_scale(scale);
        Memory<float> device_t(t, shift);
        Memory<float> device_h(h, shift);
        cuda::combine_rows(nullptr, rows, columns, device_scale.data(), device_t.data(), device_h.data());
        std::vector<double> expected;
        for (std::size_t i = 0; i < h.size(); ++i)
          expected.push_back(static_cast<double>(scale[i / static_cast<std::size_t>(columns)]) *
                                 static_cast<double>(h[i]) +
                             static_cast<double>(t[i]));
        expect_close(device_h.host(), expected, 2e-7, "combined");
      }
}

TEST_F(CudaElementwise, FlatBuffers) {
  for (const std::size_t count : counts)
    for (const std::size_t shift : {std::size_t{0}, std::size_t{3}}) {
      const Values x = draws(count, 1, 5);
      std::vector<std::int64_t> fixed;
      Values values;
      for (const float value : x) {
        fixed.push_back(math::to_fixed_point(value) * 3);
        values.push_back(static_cast<float>(math::from_fixed_point(fixed.back())));
      }
      Memory<std::int64_t> device_fixed(fixed, shift);
      Memory<std::int64_t> overflow(1, 0);
      Memory<float> converted(count, 0.0F, shift);
      cuda::from_fixed_point(nullptr, count, device_fixed.data(), overflow.data(), converted.data());
      expect_same_bits(converted.host(), values, "converted");
      overflow[0] = 2;
      cuda::from_fixed_point(nullptr, count, device_fixed.data(), overflow.data(), converted.data());
      for (const float value : converted.host()) ASSERT_TRUE(std::isnan(value));

      Memory<float> device_x(x, shift);
      Memory<double> running(count, 0.5);
      cuda::add_to(nullptr, count, device_x.data(), running.data());
      for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(running[i], 0.5 + static_cast<double>(x[i]));
    }
}

TEST_F(CudaElementwise, Flags) {
  for (const std::uint32_t flag : {0U, 1U, 7U}) {
    Memory<std::uint32_t> device_flag(1, flag);
    for (const bool exact : {false, true}) {
      Target to(1, exact);
      cuda::flag_to_sum(nullptr, device_flag.data(), to.sum());
      EXPECT_EQ(to.as_values()[0], flag != 0 ? 1.0F : 0.0F);
    }
  }
}

TEST_F(CudaElementwise, AStepsEndReports) {
  for (const int d_count : {0, 1, 5, 32})
    for (const int g_count : {0, 3, 40}) {
      const Values d = draws(static_cast<std::size_t>(d_count), 1);
      const Values g = draws(static_cast<std::size_t>(g_count), 2);
      Memory<float> device_d(d);
      Memory<float> device_g(g);
      Memory<double> running(d.size() + g.size(), 2.0);
      Memory<double> d_norms(std::vector<double>{7.0, 0.25});
      Memory<double> g_norm(1, 4.0);
      Memory<float> stop(1, 3.0F);
      Memory<std::uint32_t> flag(1, 1U);
      Memory<std::uint64_t> step(1, 0xFFFFFFFFU);
      Memory<std::uint64_t> updates(1, 5U);
      Memory<cuda::Report> reports(4, cuda::Report{});
      cuda::StepEnd args{device_d.data(),
                         d_count,
                         device_g.data(),
                         g_count,
                         running.data(),
                         d_norms.data(),
                         2,
                         g_norm.data(),
                         stop.data(),
                         flag.data(),
                         step.data(),
                         updates.data(),
                         nullptr,
                         reports.data(),
                         4};
      cuda::end_step(nullptr, args);
      EXPECT_EQ(step[0], 0x100000000U);
      // The flag alone, and a norm that was not finite before one that was.
      args.stop = nullptr;
      d_norms[0] = std::numeric_limits<double>::infinity();
      cuda::end_step(nullptr, args);
      EXPECT_EQ(step[0], 0x100000001U);
      EXPECT_EQ(updates[0], 9U);
      for (std::size_t i = 0; i < d.size() + g.size(); ++i) {
        const auto extra = static_cast<double>(i < d.size() ? d[i] : g[i - d.size()]);
        EXPECT_EQ(running[i], 2.0 + extra + extra);
      }
      EXPECT_EQ(reports[1].step, 0U);
      EXPECT_EQ(reports[3].step, 0x100000000U);
      EXPECT_EQ(reports[3].discriminator_squared_norm, 0.25);
      EXPECT_EQ(reports[3].generator_squared_norm, 4.0);
      EXPECT_EQ(reports[3].own_seconds, 0);
      EXPECT_EQ(reports[3].stop, 3.0F);
      EXPECT_EQ(reports[0].step, 0x100000001U);
      EXPECT_TRUE(std::isinf(reports[0].discriminator_squared_norm));
      EXPECT_EQ(reports[0].stop, 1.0F);
    }
}

TEST_F(CudaElementwise, AStepsOwnTime) {
  Memory<double> norm(1, 4.0);
  Memory<float> stop(1, 0.0F);
  Memory<std::uint64_t> step(1, 0U);
  Memory<std::uint64_t> updates(1, 0U);
  Memory<cuda::Timer> timer(1, cuda::Timer{0, 12345});
  Memory<cuda::Report> reports(1, cuda::Report{});
  const cuda::StepEnd args{nullptr,
                           0,
                           nullptr,
                           0,
                           nullptr,
                           norm.data(),
                           1,
                           norm.data(),
                           stop.data(),
                           nullptr,
                           step.data(),
                           updates.data(),
                           timer.data(),
                           reports.data(),
                           1};
  constexpr std::uint64_t day = 86'400'000'000'000;  // more than 32 bits
  const auto at = [&](std::uint64_t nanoseconds) { emulation::set_clock([=] { return day + nanoseconds; }); };
  const auto own = [&](std::uint64_t nanoseconds) {
    at(nanoseconds);
    cuda::end_step(nullptr, args);
    return reports[0].own_seconds;
  };
  at(1000);
  cuda::start_timer(nullptr, timer.data(), true);
  at(1700);
  cuda::stop_timer(nullptr, timer.data());
  at(5000);
  cuda::start_timer(nullptr, timer.data(), false);
  EXPECT_DOUBLE_EQ(own(5020), 720e-9);
  EXPECT_DOUBLE_EQ(own(6020), 1000e-9);  // from the end before
  at(9000);
  cuda::start_timer(nullptr, timer.data(), true);
  EXPECT_DOUBLE_EQ(own(9500), 500e-9);
  EXPECT_EQ(own(9400), 0);  // a clock that was put back
  EXPECT_DOUBLE_EQ(own(9450), 50e-9);
  emulation::set_clock(nullptr);
}

}  // namespace
}  // namespace ganymede::testing
