// Latent space: slopes beside closed forms and double precision, singular vectors beside what they are defined by.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "eval/latent_directions.hpp"
#include "gan/sampler.hpp"
#include "support/small_gan.hpp"

namespace ganymede::eval {
namespace {

double product(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

TEST(Latent, InterpolationStaysOnTheSphereOrTheLine) {
  const std::vector<float> a = {3, 0, 4};
  const std::vector<float> b = {0, 5, 0};
  std::vector<float> middle(3);
  interpolate(a.data(), b.data(), 3, 0.5, true, middle.data());
  EXPECT_NEAR(std::hypot(middle[0], middle[1], middle[2]), 5, 1e-5);
  EXPECT_NEAR(middle[1], 5 / std::sqrt(2.0), 1e-5);
  interpolate(a.data(), b.data(), 3, 0.5, false, middle.data());
  EXPECT_EQ(middle, (std::vector<float>{1.5F, 2.5F, 2}));
  for (const bool spherical : {false, true}) {
    interpolate(a.data(), b.data(), 3, 0, spherical, middle.data());
    EXPECT_EQ(middle, a);
    // Between a point and itself there is no circle.
    interpolate(a.data(), a.data(), 3, 0.3, spherical, middle.data());
    for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(middle[i], a[i], 1e-6);
  }
}

// G of smooth layers beside the same in double precision, whose differences can be a hundred times as narrow.
TEST(Latent, TheJacobianIsThatOfDoublePrecision) {
  TrainOptions options = testing::small_options();
  options.latent = 6;
  options.generator_hidden = {9, 7};
  options.generator_activation = "tanh";
  const auto device = make_cpu_device(1);
  Gan gan = make_gan(options, {{4, 4, 1}, 0}, *device);
  const testing::reference::Mlp reference = testing::reference_of(gan.generator);
  Sampler sampler(gan.generator, options, 0, 5);
  const std::vector<float> z = sampler.latents(3, math::Stream::noise_for_samples, 0, 1);
  const std::vector<double> found = latent_jacobian(
      [&](const std::vector<float>& points) { return sampler.images(gan.generator.parameter_array(), points, {}); }, z);
  ASSERT_EQ(found.size(), 6U * 16);
  double error = 0;
  double norm = 0;
  for (std::size_t i = 0; i < 6; ++i) {
    constexpr double step = 1e-4;
    testing::Doubles up(z.begin(), z.end());
    testing::Doubles down = up;
    up[i] += step;
    down[i] -= step;
    const testing::Doubles above = reference.forward(up);
    const testing::Doubles below = reference.forward(down);
    for (std::size_t p = 0; p < 16; ++p) {
      const double slope = (above[p] - below[p]) / (2 * step);
      error += std::pow(found[i * 16 + p] - slope, 2);
      norm += slope * slope;
    }
  }
  EXPECT_LT(std::sqrt(error / norm), 1e-3);
  EXPECT_GT(norm, 0);
}

// Beside the power iteration, which knows no eigenvalues.
TEST(Latent, TheDirectionsAreTheLeadingSingularVectors) {
  constexpr int latent = 7;
  constexpr std::size_t size = 12;
  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  std::vector<double> jacobian(latent * size);
  for (double& value : jacobian) value = normal(random);
  const auto image_change = [&](const std::vector<double>& v) {
    std::vector<double> change(size);
    for (std::size_t i = 0; i < latent; ++i)
      for (std::size_t p = 0; p < size; ++p) change[p] += v[i] * jacobian[i * size + p];
    return change;
  };
  const LatentDirections found = leading_directions(jacobian, latent, 3);
  ASSERT_EQ(found.directions.size(), 3U);
  EXPECT_NEAR(found.squares, product(jacobian, jacobian), 1e-9);
  std::vector<std::vector<double>> before;
  for (std::size_t k = 0; k < 3; ++k) {
    std::vector<double> v(latent, 1.0);
    double length = 0;
    for (int step = 0; step < 20'000; ++step) {
      for (const std::vector<double>& other : before) {
        const double along = product(v, other);
        for (std::size_t i = 0; i < latent; ++i) v[i] -= along * other[i];
      }
      const std::vector<double> change = image_change(v);
      for (std::size_t i = 0; i < latent; ++i) {
        v[i] = 0;
        for (std::size_t p = 0; p < size; ++p) v[i] += jacobian[i * size + p] * change[p];
      }
      length = std::sqrt(product(v, v));
      for (double& component : v) component /= length;
    }
    EXPECT_NEAR(found.singular_values[k], std::sqrt(length), 1e-6) << k;
    EXPECT_NEAR(std::abs(product(found.directions[k], v)), 1, 1e-6) << k;
    before.push_back(v);
  }
  EXPECT_EQ(leading_directions(jacobian, latent, 100).directions.size(), std::size_t{latent});
}

}  // namespace
}  // namespace ganymede::eval
