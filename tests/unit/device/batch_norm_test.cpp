// Batch normalisation on the CPU: each operation against plain loops in double, the whole of it against central
// differences of a reference of its own, and the promises on bits: sums depend neither on threads, instruction set nor
// the grouping of shards.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "math/fixed_point.hpp"
#include "support/activations.hpp"
#include "unit/device/cpu_testing.hpp"

namespace ganymede::testing {
namespace {

struct Shape {
  int rows, pixels, channels;
};

// Around the edges of vectors (2 … 16), rows (64 and 256 elements) and stretches (256 rows), and layers as networks
// have them: also such that many threads meet one stretch.
const std::vector<Shape> shapes = {{1, 1, 1},    {2, 1, 3},     {3, 5, 2},     {7, 1, 100},  {4, 9, 17},
                                   {5, 49, 8},   {129, 4, 1},   {6, 49, 64},   {3, 16, 65},  {13, 1, 97},
                                   {2, 196, 33}, {40, 1, 1024}, {9, 130, 130}, {3, 7000, 1}, {3, 600, 31}};

using Doubles = std::vector<double>;

std::string text(const Shape& s) {
  return std::to_string(s.rows) + "x" + std::to_string(s.pixels) + "x" + std::to_string(s.channels);
}

BatchLayout layout_of(int parts, int rows) { return {parts, rows, {0, rows}}; }

BatchNorm norm_of(const Shape& s) {
  BatchNorm norm;
  norm.pixels = s.pixels;
  norm.channels = s.channels;
  norm.count = static_cast<double>(s.rows) * s.pixels;
  return norm;
}

std::size_t size_of(const Shape& s, int parts) {
  return area(parts * s.rows, s.pixels) * static_cast<std::size_t>(s.channels);
}

// Sums over a part's pixels, [parts][channels].
Doubles sums_of(const Shape& s, int parts, const std::function<double(std::size_t)>& term) {
  Doubles sums(area(parts, s.channels));
  const std::size_t channels = static_cast<std::size_t>(s.channels);
  for (std::size_t i = 0; i < size_of(s, parts); ++i) sums[i / size_of(s, 1) * channels + i % channels] += term(i);
  return sums;
}

// Where element i's statistics are, and those after them a number of channels further on.
std::size_t place(const Shape& s, std::size_t i) {
  const std::size_t channels = static_cast<std::size_t>(s.channels);
  return i / size_of(s, 1) * 2 * channels + i % channels;
}

Doubles from_fixed(const std::vector<std::int64_t>& sums) {
  Doubles values;
  for (std::int64_t sum : sums) values.push_back(math::from_fixed_point(sum));
  return values;
}

// [parts][2][channels] of two kinds of sums.
Doubles joined(const Shape& s, int parts, const Doubles& first, const Doubles& second) {
  Doubles all;
  for (int part = 0; part < parts; ++part)
    for (const Doubles* sums : {&first, &second})
      all.insert(all.end(), sums->begin() + static_cast<std::ptrdiff_t>(area(part, s.channels)),
                 sums->begin() + static_cast<std::ptrdiff_t>(area(part + 1, s.channels)));
  return all;
}

void expect_sums(const std::vector<std::int64_t>& sums, const Doubles& expected, double relative,
                 const std::string& what) {
  ASSERT_EQ(sums.size(), expected.size() + 1) << what;
  EXPECT_EQ(sums.back(), 0) << what;
  for (std::size_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(math::from_fixed_point(sums[i]), expected[i], 1e-12 + relative * std::abs(expected[i]))
        << what << ", sum " << i;
}

// Statistics that a test makes up: means, then 1/√(variance + ε).
Values made_up_statistics(const Shape& s, int parts, unsigned seed) {
  Values statistics = draws(area(parts, 2 * s.channels), seed);
  for (std::size_t i = 0; i < statistics.size(); ++i)
    if (i / static_cast<std::size_t>(s.channels) % 2 == 1) statistics[i] = 1.5F + statistics[i];
  return statistics;
}

std::vector<std::int64_t> made_up_adjoints(const BatchNorm& norm, int parts, unsigned seed) {
  const Values values = draws(norm.sums(parts), seed, 20.0F);
  std::vector<std::int64_t> sums(values.size());
  for (std::size_t i = 0; i + 1 < sums.size(); ++i) sums[i] = math::to_fixed_point(values[i]);
  return sums;
}

class BatchNormalisation : public OnEveryMachine {};

TEST_P(BatchNormalisation, MomentsMatchDouble) {
  unsigned seed = 1;
  for (const Shape& s : shapes) {
    for (int parts = 1; parts <= 2; ++parts) {
      const BatchNorm norm = norm_of(s);
      const Values x = draws(size_of(s, parts), seed++, 3.0F);
      const auto at = [&](std::size_t i) { return static_cast<double>(x[i]); };
      const double unit = BatchNorm::moment_unit * norm.count;
      std::vector<std::int64_t> sums(norm.sums(parts), 77);
      device_->batch_norm_moments(layout_of(parts, s.rows), norm, x.data(), sums.data());
      expect_sums(sums,
                  joined(s, parts, sums_of(s, parts, [&](std::size_t i) { return at(i) / unit; }),
                         sums_of(s, parts, [&](std::size_t i) { return at(i) * at(i) / unit; })),
                  1e-12, text(s));
    }
  }
}

TEST_P(BatchNormalisation, AdjointsMatchDouble) {
  unsigned seed = 100;
  for (const Shape& s : shapes) {
    for (int parts = 1; parts <= 2; ++parts) {
      const BatchNorm norm = norm_of(s);
      const Values x = draws(size_of(s, parts), seed++, 3.0F);
      const Values delta = draws(size_of(s, parts), seed++, 0.1F);
      const Values statistics = made_up_statistics(s, parts, seed++);
      const auto normalised = [&](std::size_t i) {
        const float* mean = statistics.data() + place(s, i);
        return (static_cast<double>(x[i]) - static_cast<double>(mean[0])) * static_cast<double>(mean[s.channels]);
      };
      const auto at = [&](std::size_t i) { return static_cast<double>(delta[i]); };
      std::vector<std::int64_t> sums(norm.sums(parts), 77);
      device_->batch_norm_adjoints(layout_of(parts, s.rows), norm, x.data(), delta.data(), statistics.data(),
                                   sums.data());
      expect_sums(sums,
                  joined(s, parts, sums_of(s, parts, at),
                         sums_of(s, parts, [&](std::size_t i) { return at(i) * normalised(i); })),
                  1e-11, text(s));
    }
  }
}

TEST_P(BatchNormalisation, ForwardMatchesDouble) {
  unsigned seed = 200;
  for (const Shape& s : shapes) {
    for (int parts = 1; parts <= 2; ++parts) {
      const Values x = draws(size_of(s, parts), seed++);
      const Values statistics = made_up_statistics(s, parts, seed++);
      const Values gamma = draws(static_cast<std::size_t>(s.channels), seed++);
      const Values beta = draws(static_cast<std::size_t>(s.channels), seed++);
      for (const Activation& sigma : activations) {
        Doubles expected(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
          const float* mean = statistics.data() + place(s, i);
          const std::size_t c = i % static_cast<std::size_t>(s.channels);
          expected[i] = value_of(sigma, static_cast<double>(gamma[c]) *
                                                (static_cast<double>(x[i]) - static_cast<double>(mean[0])) *
                                                static_cast<double>(mean[s.channels]) +
                                            static_cast<double>(beta[c]));
        }
        Values y(x.size(), NAN);
        device_->batch_norm_forward(layout_of(parts, s.rows), norm_of(s), x.data(), statistics.data(), gamma.data(),
                                    beta.data(), sigma, y.data());
        // Activations are exact to some 1e-7 of one, as tanh near zero shows.
        for (std::size_t i = 0; i < y.size(); ++i)
          ASSERT_NEAR(static_cast<double>(y[i]), expected[i], 1e-6 * std::max(1.0, std::abs(expected[i])))
              << sigma.name() << " " << text(s) << ", element " << i;
      }
    }
  }
}

TEST_P(BatchNormalisation, BackwardDataMatchesDouble) {
  unsigned seed = 300;
  for (const Shape& s : shapes) {
    for (int parts = 1; parts <= 2; ++parts) {
      const BatchNorm norm = norm_of(s);
      const Values x = draws(size_of(s, parts), seed++);
      const Values delta = draws(size_of(s, parts), seed++);
      const Values statistics = made_up_statistics(s, parts, seed++);
      const Values gamma = draws(static_cast<std::size_t>(s.channels), seed++);
      const std::vector<std::int64_t> adjoints = made_up_adjoints(norm, parts, seed++);
      const Doubles sums = from_fixed(adjoints);
      for (const Activation& below : activations) {
        Doubles expected(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
          const std::size_t at = place(s, i);
          const std::size_t further = at + static_cast<std::size_t>(s.channels);
          const auto inverse = static_cast<double>(statistics[further]);
          const double normalised = (static_cast<double>(x[i]) - static_cast<double>(statistics[at])) * inverse;
          expected[i] = slope_of(below, static_cast<double>(x[i])) *
                        static_cast<double>(gamma[i % static_cast<std::size_t>(s.channels)]) * inverse *
                        (static_cast<double>(delta[i]) - (sums[at] + normalised * sums[further]) / norm.count);
        }
        Values delta_in(x.size(), NAN);
        device_->batch_norm_backward_data(layout_of(parts, s.rows), norm, x.data(), delta.data(), statistics.data(),
                                          gamma.data(), adjoints.data(), below, delta_in.data());
        expect_close(delta_in, expected, 1e-6, std::string(below.name()) + " " + text(s));
        // In place.
        Values same = delta;
        device_->batch_norm_backward_data(layout_of(parts, s.rows), norm, x.data(), same.data(), statistics.data(),
                                          gamma.data(), adjoints.data(), below, same.data());
        expect_close(same, expected, 1e-6, std::string(below.name()) + " in place");
      }
    }
  }
}

TEST_P(BatchNormalisation, PartsAreNormalisedApart) {
  const Shape s{5, 30, 20};
  const BatchNorm norm = norm_of(s);
  const Values x = draws(size_of(s, 2), 1);
  const Values delta = draws(size_of(s, 2), 2);
  const Values gamma = draws(20, 3);
  const Values beta = draws(20, 4);
  Values running = draws(40, 5);
  struct Passes {
    Values statistics, y, delta_in;
  };
  const auto run = [&](int parts, const float* from, const float* adjoint) {
    const BatchLayout layout = layout_of(parts, s.rows);
    std::vector<std::int64_t> sums(norm.sums(parts));
    Passes p{Values(area(parts, 40)), Values(size_of(s, parts)), Values(size_of(s, parts))};
    device_->batch_norm_moments(layout, norm, from, sums.data());
    device_->batch_norm_statistics(parts, norm, sums.data(), p.statistics.data(), running.data());
    device_->batch_norm_forward(layout, norm, from, p.statistics.data(), gamma.data(), beta.data(), activations[4],
                                p.y.data());
    device_->batch_norm_adjoints(layout, norm, from, adjoint, p.statistics.data(), sums.data());
    device_->batch_norm_backward_data(layout, norm, from, adjoint, p.statistics.data(), gamma.data(), sums.data(),
                                      activations[2], p.delta_in.data());
    return p;
  };
  const Values before = running;
  const Passes both = run(2, x.data(), delta.data());
  const Values after = running;
  running = before;
  const Passes first = run(1, x.data(), delta.data());
  const Passes second = run(1, x.data() + size_of(s, 1), delta.data() + size_of(s, 1));
  const auto compare = [](const Values& whole, Values one, const Values& other, const std::string& what) {
    one.insert(one.end(), other.begin(), other.end());
    expect_same_bits(whole, one, what);
  };
  compare(both.statistics, first.statistics, second.statistics, "statistics");
  compare(both.y, first.y, second.y, "forward");
  compare(both.delta_in, first.delta_in, second.delta_in, "backward");
  expect_same_bits(after, running, "running statistics");
}

// Σ weight · y over a whole batch, y = σ(γ · x̂ + β), where x = σ_below(a): without any of the code under test.
double reference_sum(const Shape& s, int parts, const Doubles& a, const Doubles& gamma, const Doubles& beta,
                     const Doubles& weights, const Activation& below, const Activation& sigma, double epsilon) {
  const auto channels = static_cast<std::size_t>(s.channels);
  const std::size_t pixels = area(s.rows, s.pixels);
  double total = 0;
  for (std::size_t part = 0; part < static_cast<std::size_t>(parts); ++part) {
    for (std::size_t c = 0; c < channels; ++c) {
      const std::size_t first = part * pixels * channels + c;
      double mean = 0;
      for (std::size_t p = 0; p < pixels; ++p) mean += value_of(below, a[first + p * channels]);
      mean /= static_cast<double>(pixels);
      double variance = 0;
      for (std::size_t p = 0; p < pixels; ++p) variance += std::pow(value_of(below, a[first + p * channels]) - mean, 2);
      variance /= static_cast<double>(pixels);
      for (std::size_t p = 0; p < pixels; ++p) {
        const std::size_t i = first + p * channels;
        const double normalised = (value_of(below, a[i]) - mean) / std::sqrt(variance + epsilon);
        total += weights[i] * value_of(sigma, gamma[c] * normalised + beta[c]);
      }
    }
  }
  return total;
}

TEST_P(BatchNormalisation, DerivativesMatchCentralDifferences) {
  const Activation sigma = Activation::named("tanh");
  const Activation below = Activation::named("sigmoid");
  unsigned seed = 400;
  for (const Shape& s : {Shape{4, 3, 5}, Shape{6, 1, 19}, Shape{2, 16, 1}}) {
    constexpr int parts = 2;
    const BatchLayout layout = layout_of(parts, s.rows);
    const BatchNorm norm = norm_of(s);
    const auto channels = static_cast<std::size_t>(s.channels);
    const Values drawn_gamma = draws(channels, seed++);
    const Values drawn_beta = draws(channels, seed++);
    const Values drawn_weights = draws(size_of(s, parts), seed++);
    const auto doubles = [](const Values& values) { return Doubles(values.begin(), values.end()); };
    Doubles a = doubles(draws(size_of(s, parts), seed++, 3.0F));
    Doubles gamma = doubles(drawn_gamma);
    Doubles beta = doubles(drawn_beta);
    const Doubles weights = doubles(drawn_weights);

    Values x(a.size());
    for (std::size_t i = 0; i < a.size(); ++i) x[i] = static_cast<float>(value_of(below, a[i]));
    std::vector<std::int64_t> sums(norm.sums(parts));
    Values statistics(2 * channels * parts);
    Values y(x.size());
    device_->batch_norm_moments(layout, norm, x.data(), sums.data());
    device_->batch_norm_statistics(parts, norm, sums.data(), statistics.data(), nullptr);
    device_->batch_norm_forward(layout, norm, x.data(), statistics.data(), drawn_gamma.data(), drawn_beta.data(), sigma,
                                y.data());
    double total = 0;
    Values delta(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto h = static_cast<double>(y[i]);
      total += weights[i] * h;
      delta[i] = static_cast<float>(weights[i] * slope_of(sigma, h));
    }
    Values dgamma(channels);
    Values dbeta(channels);
    Values delta_in(x.size());
    SumTarget to_gamma;
    SumTarget to_beta;
    to_gamma.values = dgamma.data();
    to_beta.values = dbeta.data();
    device_->batch_norm_adjoints(layout, norm, x.data(), delta.data(), statistics.data(), sums.data());
    device_->batch_norm_gradients(parts, norm, sums.data(), false, to_gamma, to_beta);
    device_->batch_norm_backward_data(layout, norm, x.data(), delta.data(), statistics.data(), drawn_gamma.data(),
                                      sums.data(), below, delta_in.data());

    const auto sum = [&] {
      return reference_sum(s, parts, a, gamma, beta, weights, below, sigma, static_cast<double>(norm.epsilon));
    };
    const auto differences = [&](Doubles& of) {
      Doubles result;
      for (double& value : of) {
        constexpr double step = 1e-5;
        const double middle = value;
        value = middle + step;
        const double above = sum();
        value = middle - step;
        result.push_back((above - sum()) / (2 * step));
        value = middle;
      }
      return result;
    };
    EXPECT_NEAR(total, sum(), 1e-5 * static_cast<double>(x.size())) << text(s);
    expect_close(dgamma, differences(gamma), 1e-5, "gamma, " + text(s));
    expect_close(dbeta, differences(beta), 1e-5, "beta, " + text(s));
    expect_close(delta_in, differences(a), 2e-5, "below, " + text(s));
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, BatchNormalisation, ::testing::ValuesIn(machines()), machine_name);

// --- statistics and gradients, which are the same code on every instruction set -----------------------------

std::vector<std::int64_t> moments_of(Device& device, const BatchLayout& layout, const BatchNorm& norm,
                                     const Values& x) {
  std::vector<std::int64_t> sums(norm.sums(layout.parts), 77);
  device.batch_norm_moments(layout, norm, x.data(), sums.data());
  return sums;
}

TEST(BatchNormStatistics, AreMeanDeviationAndPyTorchsRunningOnes) {
  const std::unique_ptr<Device> device = make_cpu_device(2);
  unsigned seed = 1;
  // The last one has a single element to a channel: no unbiased variance.
  for (const Shape& s : {Shape{6, 10, 7}, Shape{2, 1, 70}, Shape{1, 1, 3}}) {
    for (int parts = 1; parts <= 2; ++parts) {
      BatchNorm norm = norm_of(s);
      norm.momentum = 0.3F;
      norm.epsilon = 1e-3F;
      const Values x = draws(size_of(s, parts), seed++, 2.0F);
      const auto channels = static_cast<std::size_t>(s.channels);
      Values running = draws(2 * channels, seed++);
      Doubles expected_running(running.begin(), running.end());
      Doubles expected;
      for (int part = 0; part < parts; ++part) {
        Doubles mean;
        Doubles inverse;
        for (std::size_t c = 0; c < channels; ++c) {
          double sum = 0;
          double squares = 0;
          const float* first = x.data() + static_cast<std::size_t>(part) * size_of(s, 1) + c;
          const std::size_t pixels = area(s.rows, s.pixels);
          for (std::size_t i = 0; i < pixels; ++i) sum += static_cast<double>(first[i * channels]);
          mean.push_back(sum / norm.count);
          for (std::size_t i = 0; i < pixels; ++i)
            squares += std::pow(static_cast<double>(first[i * channels]) - mean.back(), 2);
          inverse.push_back(1 / std::sqrt(squares / norm.count + static_cast<double>(norm.epsilon)));
          // torch.nn.BatchNorm2d: momentum weighs the new; the variance is the unbiased one.
          const auto momentum = static_cast<double>(norm.momentum);
          double& running_mean = expected_running[c];
          double& running_variance = expected_running[channels + c];
          running_mean += momentum * (mean.back() - running_mean);
          running_variance += momentum * (squares / std::max(1.0, norm.count - 1) - running_variance);
        }
        expected.insert(expected.end(), mean.begin(), mean.end());
        expected.insert(expected.end(), inverse.begin(), inverse.end());
      }
      const std::vector<std::int64_t> moments = moments_of(*device, layout_of(parts, s.rows), norm, x);
      Values statistics(expected.size(), NAN);
      device->batch_norm_statistics(parts, norm, moments.data(), statistics.data(), nullptr);
      expect_close(statistics, expected, 1e-6, text(s));
      device->batch_norm_statistics(parts, norm, moments.data(), statistics.data(), running.data());
      expect_close(statistics, expected, 1e-6, text(s));
      expect_close(running, expected_running, 1e-6, "running, " + text(s));

      Values frozen(2 * channels, NAN);
      Doubles expected_frozen(running.begin(), running.end());
      for (std::size_t c = channels; c < 2 * channels; ++c) {
        running[c] = std::abs(running[c]);
        expected_frozen[c] = 1 / std::sqrt(static_cast<double>(running[c]) + static_cast<double>(norm.epsilon));
      }
      device->batch_norm_frozen(norm, running.data(), frozen.data());
      expect_close(frozen, expected_frozen, 1e-6, "frozen, " + text(s));
    }
  }
}

TEST(BatchNormStatistics, KeepTheVarianceOfANearlyConstantChannel) {
  const std::unique_ptr<Device> device = make_cpu_device(2);
  std::mt19937 generator(1);
  std::normal_distribution<float> normal(10.0F, 0.01F);
  const Shape s{64, 49, 3};
  BatchNorm norm = norm_of(s);
  norm.epsilon = 0;
  norm.momentum = 1;
  Values x(size_of(s, 1));
  for (float& value : x) value = normal(generator);
  BatchLayout layout = layout_of(1, s.rows);
  layout.shard_begin = {0, 8, 16, 24, 32, 40, 48, 56, 64};
  const std::vector<std::int64_t> moments = moments_of(*device, layout, norm, x);
  Values statistics(6);
  Values running(6);
  device->batch_norm_statistics(1, norm, moments.data(), statistics.data(), running.data());
  Doubles mean = sums_of(s, 1, [&](std::size_t i) { return static_cast<double>(x[i]) / norm.count; });
  const Doubles variance =
      sums_of(s, 1, [&](std::size_t i) { return std::pow(static_cast<double>(x[i]) - mean[i % 3], 2) / norm.count; });
  const Values gamma(3, 1.0F);
  const Values beta(3, 0.0F);
  Values y(x.size());
  device->batch_norm_forward(layout, norm, x.data(), statistics.data(), gamma.data(), beta.data(), {}, y.data());
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(static_cast<double>(running[3 + c]) * (norm.count - 1) / norm.count / variance[c], 1, 1e-3);
    EXPECT_NEAR(static_cast<double>(statistics[3 + c]) * std::sqrt(variance[c]), 1, 1e-3);
    for (std::size_t i = c; i < y.size(); i += 3)
      // The mean itself is a float.
      ASSERT_NEAR(static_cast<double>(y[i]), (static_cast<double>(x[i]) - mean[c]) / std::sqrt(variance[c]), 2e-3);
  }
}

TEST(BatchNormStatistics, AConstantChannelHasNoVariance) {
  const std::unique_ptr<Device> device = make_cpu_device(1);
  const Shape s{7, 11, 2};
  const BatchNorm norm = norm_of(s);
  const Values x(size_of(s, 1), 3.3F);
  const std::vector<std::int64_t> moments = moments_of(*device, layout_of(1, s.rows), norm, x);
  Values statistics(4);
  device->batch_norm_statistics(1, norm, moments.data(), statistics.data(), nullptr);
  EXPECT_FLOAT_EQ(statistics[0], 3.3F);
  EXPECT_NEAR(static_cast<double>(statistics[2]), 1 / std::sqrt(1e-5), 0.1);
}

TEST(BatchNormStatistics, AreNoneWhereSomethingDidNotFit) {
  const std::unique_ptr<Device> device = make_cpu_device(2);
  const Shape s{6, 40, 70};
  const BatchNorm norm = norm_of(s);
  BatchLayout layout = layout_of(2, s.rows);
  layout.shard_begin = {0, 2, 6};
  struct Bad {
    float value;
    int sums;  // that do not fit
  };
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Bad& bad : {Bad{std::nanf(""), 2}, Bad{-infinity, 2}, Bad{3e38F, 2}, Bad{1e5F, 1}}) {
    Values x = draws(size_of(s, 2), 1);
    x[size_of(s, 1) + 1234] = bad.value;
    std::vector<std::int64_t> moments = moments_of(*device, layout, norm, x);
    EXPECT_EQ(moments.back(), bad.sums) << bad.value;
    const Values before = draws(140, 2);
    Values running = before;
    Values statistics(280, 1.0F);
    device->batch_norm_statistics(2, norm, moments.data(), statistics.data(), running.data());
    for (float value : statistics) EXPECT_TRUE(std::isnan(value));
    expect_same_bits(running, before, "running statistics");
  }

  // Adjoints, and what comes of them.
  const Values x = draws(size_of(s, 2), 1);
  Values delta = draws(size_of(s, 2), 2);
  delta[55] = infinity;
  const Values statistics = made_up_statistics(s, 2, 3);
  const Values gamma = draws(70, 4);
  std::vector<std::int64_t> sums(norm.sums(2), 77);
  device->batch_norm_adjoints(layout, norm, x.data(), delta.data(), statistics.data(), sums.data());
  EXPECT_EQ(sums.back(), 2);
  Values values(140, 1.0F);
  SumTarget target;
  target.values = values.data();
  device->batch_norm_gradients(2, norm, sums.data(), true, target, target.at(70));
  for (float value : values) EXPECT_TRUE(std::isnan(value));
  std::vector<std::int64_t> fixed(140);
  std::int64_t overflow = 5;
  target = {nullptr, fixed.data(), &overflow};
  device->batch_norm_gradients(2, norm, sums.data(), false, target, {});
  EXPECT_EQ(overflow, 6);
  Values delta_in(x.size());
  device->batch_norm_backward_data(layout, norm, x.data(), delta.data(), statistics.data(), gamma.data(), sums.data(),
                                   {}, delta_in.data());
  for (float value : delta_in) ASSERT_TRUE(std::isnan(value));
}

TEST(BatchNormGradients, AreSumsOverParts) {
  const std::unique_ptr<Device> device = make_cpu_device(1);
  const Shape s{3, 4, 9};
  const BatchNorm norm = norm_of(s);
  for (int parts = 1; parts <= 3; ++parts) {
    const std::vector<std::int64_t> adjoints = made_up_adjoints(norm, parts, 1);
    std::vector<std::int64_t> expected(18);  // γ, then β
    for (int part = 0; part < parts; ++part)
      for (std::size_t c = 0; c < 9; ++c) {
        expected[9 + c] += adjoints[area(part, 18) + c];
        expected[c] += adjoints[area(part, 18) + 9 + c];
      }
    for (bool accumulate : {false, true}) {
      std::vector<std::int64_t> fixed(18, 1000);
      std::int64_t overflow = 0;
      SumTarget target{nullptr, fixed.data(), &overflow};
      device->batch_norm_gradients(parts, norm, adjoints.data(), accumulate, target, target.at(9));
      EXPECT_EQ(overflow, 0);
      Values values(18, 0.5F);
      target = {};
      target.values = values.data();
      device->batch_norm_gradients(parts, norm, adjoints.data(), accumulate, target, target.at(9));
      for (std::size_t i = 0; i < 18; ++i) {
        EXPECT_EQ(fixed[i], expected[i] + (accumulate ? 1000 : 0));
        EXPECT_EQ(values[i], static_cast<float>(math::from_fixed_point(expected[i])) + (accumulate ? 0.5F : 0.0F));
      }
      // Each alone.
      Values alone(9, 0.5F);
      target.values = alone.data();
      device->batch_norm_gradients(parts, norm, adjoints.data(), accumulate, {}, target);
      expect_same_bits(alone, slice(values, 9, 1, 2), "beta alone");
    }
  }
}

// --- bits ---------------------------------------------------------------------------------------------------

// Sums of a batch, both kinds.
std::vector<std::int64_t> both_sums(Device& device, const BatchLayout& layout, const BatchNorm& norm, const Values& x,
                                    const Values& delta, const Values& statistics) {
  std::vector<std::int64_t> sums(2 * norm.sums(layout.parts), 77);
  device.batch_norm_moments(layout, norm, x.data(), sums.data());
  device.batch_norm_adjoints(layout, norm, x.data(), delta.data(), statistics.data(),
                             sums.data() + norm.sums(layout.parts));
  return sums;
}

TEST(BatchNormBits, SumsDependNeitherOnThreadsNorOnInstructionSet) {
  for (const Shape& s : shapes) {
    BatchLayout layout = layout_of(2, s.rows);
    layout.shard_begin = {0, s.rows / 3, s.rows};
    const BatchNorm norm = norm_of(s);
    const Values x = draws(size_of(s, 2), 1);
    const Values delta = draws(size_of(s, 2), 2, 0.1F);
    const Values statistics = made_up_statistics(s, 2, 3);
    std::vector<std::int64_t> first;
    for (const Machine& machine : machines()) {
      const std::unique_ptr<Device> device = make_cpu_device(machine.threads, machine.instruction_set);
      const std::vector<std::int64_t> sums = both_sums(*device, layout, norm, x, delta, statistics);
      if (first.empty()) first = sums;
      expect_same_bits(sums, first, text(s) + " on " + machine.instruction_set);
    }
  }
}

TEST(BatchNormBits, PassesDependNeitherOnThreadsNorOnTheBatch) {
  for (const std::string& set : cpu_instruction_sets()) {
    for (const Shape& s : shapes) {
      const Values x = draws(size_of(s, 2), 1);
      const Values delta = draws(size_of(s, 2), 2);
      const Values statistics = made_up_statistics(s, 2, 3);
      const Values gamma = draws(static_cast<std::size_t>(s.channels), 4);
      const Values beta = draws(static_cast<std::size_t>(s.channels), 5);
      const BatchNorm norm = norm_of(s);
      const std::vector<std::int64_t> adjoints = made_up_adjoints(norm, 2, 6);
      std::vector<Values> forward;
      std::vector<Values> backward;
      for (int threads = 1; threads <= 3; ++threads) {
        const std::unique_ptr<Device> device = make_cpu_device(threads, set);
        Values y(x.size());
        Values delta_in(x.size());
        device->batch_norm_forward(layout_of(2, s.rows), norm, x.data(), statistics.data(), gamma.data(), beta.data(),
                                   activations[4], y.data());
        device->batch_norm_backward_data(layout_of(2, s.rows), norm, x.data(), delta.data(), statistics.data(),
                                         gamma.data(), adjoints.data(), activations[3], delta_in.data());
        forward.push_back(y);
        backward.push_back(delta_in);
        expect_same_bits(forward.back(), forward.front(), "forward, " + text(s));
        expect_same_bits(backward.back(), backward.front(), "backward, " + text(s));
      }
      // The first rows as a batch of their own, as another rank would have them.
      const std::unique_ptr<Device> device = make_cpu_device(2, set);
      const int rows = (s.rows + 1) / 2;
      const std::size_t size = area(rows, s.pixels) * static_cast<std::size_t>(s.channels);
      Values y(size);
      device->batch_norm_forward(layout_of(1, rows), norm, x.data(), statistics.data(), gamma.data(), beta.data(),
                                 activations[4], y.data());
      expect_same_bits(y, Values(forward[0].begin(), forward[0].begin() + static_cast<std::ptrdiff_t>(size)),
                       "first rows, " + text(s));
    }
  }
}

// The shards of a batch held by one rank, and each by a rank of its own, added up last shard first.
TEST(BatchNormBits, SumsDoNotDependOnTheGroupingOfShards) {
  const std::unique_ptr<Device> device = make_cpu_device(2);
  struct Batch {
    Shape shape;
    std::vector<int> shard_begin;
  };
  for (const Batch& batch : {Batch{{100, 5, 40}, {0, 12, 25, 37, 50, 62, 75, 87, 100}}, Batch{{7, 1, 33}, {0, 2, 3, 7}},
                             Batch{{90, 60, 9}, {0, 10, 80, 90}}, Batch{{3, 900, 1}, {0, 0, 1, 3}}}) {
    const Shape& s = batch.shape;
    const BatchNorm norm = norm_of(s);  // the count is that of all ranks
    for (int parts = 1; parts <= 2; ++parts) {
      const Values x = draws(size_of(s, parts), 7);
      const Values delta = draws(size_of(s, parts), 8, 0.1F);
      const Values statistics = made_up_statistics(s, parts, 9);
      const BatchLayout layout{parts, s.rows, batch.shard_begin};
      const std::vector<std::int64_t> together = both_sums(*device, layout, norm, x, delta, statistics);
      std::vector<std::int64_t> apart(together.size(), 0);
      for (int shard = layout.shards() - 1; shard >= 0; --shard) {
        const int first = batch.shard_begin[static_cast<std::size_t>(shard)];
        const int rows = batch.shard_begin[static_cast<std::size_t>(shard) + 1] - first;
        Values shard_x;
        Values shard_delta;
        for (int part = 0; part < parts; ++part) {
          const int top = part * s.rows + first;
          const auto append = [](Values& to, const Values& from) { to.insert(to.end(), from.begin(), from.end()); };
          append(shard_x, slice(x, s.pixels * s.channels, top, top + rows));
          append(shard_delta, slice(delta, s.pixels * s.channels, top, top + rows));
        }
        const std::vector<std::int64_t> sums =
            both_sums(*device, layout_of(parts, rows), norm, shard_x, shard_delta, statistics);
        for (std::size_t i = 0; i < sums.size(); ++i) apart[i] += sums[i];
      }
      expect_same_bits(together, apart, text(s));
    }
  }
}

}  // namespace
}  // namespace ganymede::testing
