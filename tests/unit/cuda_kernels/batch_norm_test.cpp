// Batch normalisation's kernels: against plain loops in double; sums of shards do not depend on how they are grouped,
// nor any bits on the order of blocks and threads; what does not fit is seen.
#include <cmath>
#include <cstdint>

#include "math/fixed_point.hpp"
#include "unit/cuda_kernels/layers.hpp"

namespace ganymede::testing {
namespace {

using cuda::BatchNormShape;
using Fixed = std::vector<std::int64_t>;

struct Case {
  int parts, rows, pixels, channels;
  [[nodiscard]] std::size_t positions() const { return area(rows, pixels); }  // of a part
  [[nodiscard]] std::size_t elements() const { return area(parts, channels) * positions(); }
  [[nodiscard]] std::size_t sums() const { return area(2 * parts, channels); }
  [[nodiscard]] BatchNormShape shape() const {
    return {pixels, channels, static_cast<double>(positions()), 1e-5F, 0.1F};
  }
  [[nodiscard]] std::string text() const {
    return std::to_string(parts) + "x" + std::to_string(rows) + "x" + std::to_string(pixels) + "x" +
           std::to_string(channels);
  }
};
// Channels below, at and beyond a warp; pieces of shards that are full and not.
const std::vector<Case> cases = {{1, 4, 1, 1},    {1, 5, 1, 3},   {2, 7, 4, 5},   {1, 40, 1, 130},
                                 {3, 9, 30, 8},   {1, 33, 49, 2}, {2, 50, 9, 33}, {1, 70, 64, 1},
                                 {2, 6, 400, 20}, {1, 1, 9, 31},  {2, 31, 1, 32}};

// visit(element, part, channel) over all elements.
template <class Visit>
void visit_elements(const Case& c, Visit&& visit) {
  const auto channels = static_cast<std::size_t>(c.channels);
  for (std::size_t i = 0; i < c.elements(); ++i) visit(i, i / channels / c.positions(), i % channels);
}

// [parts][2][channels]
std::size_t place(const Case& c, std::size_t part, std::size_t which, std::size_t channel) {
  return (2 * part + which) * static_cast<std::size_t>(c.channels) + channel;
}

std::vector<double> as_doubles(const Fixed& sums, double unit) {
  std::vector<double> result;
  for (std::size_t i = 0; i + 1 < sums.size(); ++i) result.push_back(math::from_fixed_point(sums[i]) * unit);
  return result;
}
Values as_floats(const std::vector<double>& values) { return {values.begin(), values.end()}; }

// Mean and variance, from the definition.
std::vector<double> moments_of(const Case& c, const Values& x) {
  std::vector<double> result(c.sums());
  const auto count = static_cast<double>(c.positions());
  visit_elements(c, [&](std::size_t i, std::size_t part, std::size_t channel) {
    result[place(c, part, 0, channel)] += static_cast<double>(x[i]) / count;
  });
  visit_elements(c, [&](std::size_t i, std::size_t part, std::size_t channel) {
    const double from_mean = static_cast<double>(x[i]) - result[place(c, part, 0, channel)];
    result[place(c, part, 1, channel)] += from_mean * from_mean / count;
  });
  return result;
}

std::vector<double> statistics_of(const Case& c, std::vector<double> moments) {
  for (std::size_t i = 0; i < moments.size(); ++i)
    if (i / static_cast<std::size_t>(c.channels) % 2 == 1) moments[i] = 1 / std::sqrt(moments[i] + 1e-5);
  return moments;
}

// Draws around another mean for each channel.
Values inputs(const Case& c, unsigned seed) {
  Values x = draws(c.elements(), seed, 2.0F);
  visit_elements(
      c, [&](std::size_t i, std::size_t, std::size_t channel) { x[i] += static_cast<float>(channel % 5) - 2.0F; });
  return x;
}

class CudaBatchNorm : public Kernels {};

TEST_F(CudaBatchNorm, StatisticsMatchDouble) {
  for (const Case& c : cases) {
    const Values x = inputs(c, 1);
    Memory<float> device_x(x, c.channels % 2 == 0 ? 0 : 1);
    Memory<std::int64_t> sums(c.sums() + 1, 0);
    cuda::batch_norm_moments(nullptr, shards_of(c.parts, cuts(c.rows, 5)), c.shape(), device_x.data(), sums.data());
    EXPECT_EQ(sums[c.sums()], 0);
    const std::vector<double> moments = moments_of(c, x);
    Memory<float> statistics(c.sums(), nan);
    const auto channels = static_cast<std::size_t>(c.channels);
    const Values before = draws(2 * channels, 2);
    Memory<float> running(before);
    cuda::batch_norm_statistics(nullptr, c.parts, c.shape(), sums.data(), statistics.data(), running.data());
    const std::vector<double> expected = statistics_of(c, moments);
    const Values actual = statistics.host();
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(static_cast<double>(actual[i]), expected[i], 2e-6 * (1 + std::abs(expected[i])))
          << c.text() << " " << i;
    std::vector<double> then(before.begin(), before.end());
    const auto count = static_cast<double>(c.positions());
    for (std::size_t part = 0; part < static_cast<std::size_t>(c.parts); ++part)
      for (std::size_t i = 0; i < then.size(); ++i)
        then[i] = 0.9 * then[i] + 0.1 * moments[part * then.size() + i] * (i < channels ? 1 : count / (count - 1));
    expect_close(running.host(), then, 2e-6, "running " + c.text());
  }
}

TEST_F(CudaBatchNorm, PassesMatchDouble) {
  for (std::size_t n = 0; n < cases.size(); ++n) {
    const Case& c = cases[n];
    const Activation& sigma = activations[n % activations.size()];
    const auto channels = static_cast<std::size_t>(c.channels);
    const Values x = inputs(c, 1);
    const Values delta = draws(c.elements(), 2);
    const Values gamma = draws(channels, 3);
    const Values beta = draws(channels, 4);
    const Values statistics = as_floats(statistics_of(c, moments_of(c, x)));
    Memory<float> device_x(x);
    Memory<float> device_delta(delta);
    Memory<float> device_statistics(statistics);
    Memory<float> device_gamma(gamma);
    Memory<float> device_beta(beta);
    const auto normal = [&](std::size_t i, std::size_t part, std::size_t channel) {
      return (static_cast<double>(x[i]) - static_cast<double>(statistics[place(c, part, 0, channel)])) *
             static_cast<double>(statistics[place(c, part, 1, channel)]);
    };

    std::vector<double> y(c.elements());
    std::vector<double> adjoints(c.sums());
    visit_elements(c, [&](std::size_t i, std::size_t part, std::size_t channel) {
      const double normalised = normal(i, part, channel);
      y[i] = value_of(sigma, static_cast<double>(gamma[channel]) * normalised + static_cast<double>(beta[channel]));
      adjoints[place(c, part, 0, channel)] += static_cast<double>(delta[i]);
      adjoints[place(c, part, 1, channel)] += static_cast<double>(delta[i]) * normalised;
    });
    Memory<float> to(c.elements(), nan);
    cuda::batch_norm_forward(nullptr, c.parts, c.rows, c.shape(), device_x.data(), device_statistics.data(),
                             device_gamma.data(), device_beta.data(), sigma.kind, sigma.parameter, to.data());
    expect_close(to.host(), y, 3e-6, "forward " + c.text());

    Memory<std::int64_t> sums(c.sums() + 1, 0);
    cuda::batch_norm_adjoints(nullptr, shards_of(c.parts, cuts(c.rows, 7)), c.shape(), device_x.data(),
                              device_delta.data(), device_statistics.data(), sums.data());
    EXPECT_EQ(sums[c.sums()], 0);
    expect_close(as_floats(as_doubles(sums.host(), 1)), adjoints, 3e-6, "adjoints " + c.text());

    std::vector<double> delta_in(c.elements());
    visit_elements(c, [&](std::size_t i, std::size_t part, std::size_t channel) {
      const auto count = static_cast<double>(c.positions());
      delta_in[i] = slope_of(sigma, static_cast<double>(x[i])) * static_cast<double>(gamma[channel]) *
                    static_cast<double>(statistics[place(c, part, 1, channel)]) *
                    (static_cast<double>(delta[i]) - (adjoints[place(c, part, 0, channel)] +
                                                      normal(i, part, channel) * adjoints[place(c, part, 1, channel)]) /
                                                         count);
    });
    Memory<float> backward(c.elements(), nan);
    cuda::batch_norm_backward_data(nullptr, c.parts, c.rows, c.shape(), device_x.data(), device_delta.data(),
                                   device_statistics.data(), device_gamma.data(), sums.data(), sigma.kind,
                                   sigma.parameter, backward.data());
    expect_close(backward.host(), delta_in, 5e-6, "backward " + c.text());

    std::vector<double> gradients(2 * channels);  // γ's, β's
    for (std::size_t part = 0; part < static_cast<std::size_t>(c.parts); ++part)
      for (std::size_t channel = 0; channel < channels; ++channel) {
        gradients[channel] += adjoints[place(c, part, 1, channel)];
        gradients[channels + channel] += adjoints[place(c, part, 0, channel)];
      }
    for (const bool exact : {false, true}) {
      Target dgamma(channels, exact);
      Target dbeta(channels, exact);
      for (const int times : {1, 2}) {
        cuda::batch_norm_gradients(nullptr, c.parts, c.shape(), sums.data(), times == 2, dgamma.sum(), dbeta.sum());
        Values actual = dgamma.as_values();
        const Values more = dbeta.as_values();
        actual.insert(actual.end(), more.begin(), more.end());
        std::vector<double> expected = gradients;
        for (double& value : expected) value *= times;
        expect_close(actual, expected, 3e-6, "gradients " + c.text());
      }
      EXPECT_EQ(dgamma.overflow() + dbeta.overflow(), 0);
    }
  }
}

TEST_F(CudaBatchNorm, FrozenStatisticsAreTheRunningOnes) {
  constexpr std::size_t channels = 300;
  Values running = draws(2 * channels, 1);
  for (std::size_t i = channels; i < running.size(); ++i) running[i] = std::abs(running[i]);
  Memory<float> device_running(running);
  Memory<float> statistics(2 * channels, nan);
  cuda::batch_norm_frozen(nullptr, {1, channels, 0, 1e-5F, 0.1F}, device_running.data(), statistics.data());
  for (std::size_t i = 0; i < channels; ++i) {
    EXPECT_EQ(statistics[i], running[i]);
    const double expected = 1 / std::sqrt(static_cast<double>(running[channels + i]) + 1e-5);
    EXPECT_NEAR(static_cast<double>(statistics[channels + i]), expected, 1e-6 * expected);
  }
}

TEST_F(CudaBatchNorm, VarianceIsNotBelowZero) {
  // Of equal values, E x² may come out below mean².
  constexpr int rows = 37;
  Memory<float> x(Values(rows, 3.3333333F));
  const BatchNormShape shape{1, 1, rows, 1e-5F, 0.1F};
  Memory<std::int64_t> sums(3, 0);
  cuda::batch_norm_moments(nullptr, shards_of(1, {0, rows}), shape, x.data(), sums.data());
  Memory<float> statistics(2, nan);
  Memory<float> running(2, 1.0F);
  cuda::batch_norm_statistics(nullptr, 1, shape, sums.data(), statistics.data(), running.data());
  EXPECT_NEAR(statistics[0], 3.3333333F, 1e-6F);
  EXPECT_LE(statistics[1], 1 / std::sqrt(1e-5F) + 1e-3F);
  EXPECT_GT(statistics[1], 300.0F);
}

TEST_F(CudaBatchNorm, AShardsContributionIsItsOwn) {
  // One by one, and by other numbers of blocks, the shards add up to the same bits.
  const Case c{2, 60, 25, 37};
  const std::vector<int> begin = {0, 7, 7, 20, 21, 29, 37, 48, 49, 60};
  const Values x = inputs(c, 1);
  const Values delta = draws(c.elements(), 2);
  Memory<float> statistics(as_floats(statistics_of(c, moments_of(c, x))));
  const auto sums = [&](const cuda::Shards& shards, const Values& some_x, const Values& some_delta,
                        Memory<std::int64_t>& moments, Memory<std::int64_t>& adjoints) {
    Memory<float> device_x(some_x);
    Memory<float> device_delta(some_delta);
    cuda::batch_norm_moments(nullptr, shards, c.shape(), device_x.data(), moments.data());
    cuda::batch_norm_adjoints(nullptr, shards, c.shape(), device_x.data(), device_delta.data(), statistics.data(),
                              adjoints.data());
  };
  Memory<std::int64_t> moments(c.sums() + 1, 0);
  Memory<std::int64_t> adjoints(c.sums() + 1, 0);
  sums(shards_of(2, begin), x, delta, moments, adjoints);
  Memory<std::int64_t> moments_apart(c.sums() + 1, 0);
  Memory<std::int64_t> adjoints_apart(c.sums() + 1, 0);
  for (std::size_t i = 0; i + 1 < begin.size(); ++i) {
    const auto both = [&](const Values& values) {
      const int columns = c.pixels * c.channels;
      Values rows = slice(values, columns, begin[i], begin[i + 1]);
      const Values second = slice(values, columns, c.rows + begin[i], c.rows + begin[i + 1]);
      rows.insert(rows.end(), second.begin(), second.end());
      return rows;
    };
    sums(shards_of(2, {0, begin[i + 1] - begin[i]}), both(x), both(delta), moments_apart, adjoints_apart);
  }
  expect_same_bits(moments_apart.host(), moments.host(), "moments");
  expect_same_bits(adjoints_apart.host(), adjoints.host(), "adjoints");
}

TEST_F(CudaBatchNorm, WhatDoesNotFitIsSeen) {
  const Case c{2, 6, 4, 3};
  Values x = inputs(c, 1);
  x[5] = infinity;
  Memory<float> device_x(x);
  Memory<std::int64_t> sums(c.sums() + 1, 0);
  const cuda::Shards shards = shards_of(2, {0, 3, 6});
  cuda::batch_norm_moments(nullptr, shards, c.shape(), device_x.data(), sums.data());
  EXPECT_EQ(sums[c.sums()], 2);
  const Values before = draws(6, 2);
  Memory<float> running(before);
  Memory<float> statistics(c.sums(), 0.0F);
  cuda::batch_norm_statistics(nullptr, 2, c.shape(), sums.data(), statistics.data(), running.data());
  for (std::size_t i = 0; i < c.sums(); ++i) EXPECT_TRUE(std::isnan(statistics[i]));
  expect_same_bits(running.host(), before, "running");

  // Adjoints: in the gradients of both kinds, and in what goes to the layer below.
  Memory<float> finite_x(inputs(c, 1));
  Values delta = draws(c.elements(), 3);
  delta[1] = 1e6F;
  Memory<float> device_delta(delta);
  Memory<float> good(Values(c.sums(), 1.0F));
  Memory<float> gamma(draws(3, 4));
  Memory<std::int64_t> adjoints(c.sums() + 1, 0);
  cuda::batch_norm_adjoints(nullptr, shards, c.shape(), finite_x.data(), device_delta.data(), good.data(),
                            adjoints.data());
  const std::int64_t lost = adjoints[c.sums()];
  EXPECT_GE(lost, 1);
  Memory<float> delta_in(c.elements(), 0.0F);
  cuda::batch_norm_backward_data(nullptr, 2, 6, c.shape(), finite_x.data(), device_delta.data(), good.data(),
                                 gamma.data(), adjoints.data(), 0, 0, delta_in.data());
  EXPECT_TRUE(std::isnan(delta_in[0]));
  Target dgamma(3, false);
  Target dbeta(3, false);
  cuda::batch_norm_gradients(nullptr, 2, c.shape(), adjoints.data(), false, dgamma.sum(), dbeta.sum());
  EXPECT_TRUE(std::isnan(dgamma.values()[0]));
  EXPECT_TRUE(std::isnan(dbeta.values()[0]));
  Target fixed_dgamma(3, true);
  Target fixed_dbeta(3, true);
  cuda::batch_norm_gradients(nullptr, 2, c.shape(), adjoints.data(), false, fixed_dgamma.sum(), fixed_dbeta.sum());
  EXPECT_EQ(fixed_dgamma.overflow() + fixed_dbeta.overflow(), lost);
}

TEST_F(CudaBatchNorm, BitsDoNotDependOnTheOrderOfThreads) {
  const Case c{2, 40, 30, 37};
  const Values x = inputs(c, 1);
  Memory<float> device_x(x);
  Memory<float> delta(draws(c.elements(), 2));
  Memory<float> gamma(draws(37, 3));
  Memory<float> beta(draws(37, 4));
  Memory<float> statistics(as_floats(statistics_of(c, moments_of(c, x))));
  Fixed first_moments;
  Fixed first_adjoints;
  Values first_y;
  Values first_delta;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    emulation::set_seed(seed);
    Memory<std::int64_t> moments(c.sums() + 1, 0);
    Memory<std::int64_t> adjoints(c.sums() + 1, 0);
    Memory<float> y(c.elements(), nan);
    Memory<float> delta_in(c.elements(), nan);
    const cuda::Shards shards = shards_of(2, {0, 11, 40});
    cuda::batch_norm_moments(nullptr, shards, c.shape(), device_x.data(), moments.data());
    cuda::batch_norm_adjoints(nullptr, shards, c.shape(), device_x.data(), delta.data(), statistics.data(),
                              adjoints.data());
    cuda::batch_norm_forward(nullptr, 2, 40, c.shape(), device_x.data(), statistics.data(), gamma.data(), beta.data(),
                             4, 0, y.data());
    cuda::batch_norm_backward_data(nullptr, 2, 40, c.shape(), device_x.data(), delta.data(), statistics.data(),
                                   gamma.data(), adjoints.data(), 1, 0, delta_in.data());
    if (seed == 0) {
      first_moments = moments.host();
      first_adjoints = adjoints.host();
      first_y = y.host();
      first_delta = delta_in.host();
    }
    expect_same_bits(moments.host(), first_moments, "moments");
    expect_same_bits(adjoints.host(), first_adjoints, "adjoints");
    expect_same_bits(y.host(), first_y, "forward");
    expect_same_bits(delta_in.host(), first_delta, "backward");
  }
}

}  // namespace
}  // namespace ganymede::testing
