// Instance noise: on what, how much, when, and drawn from what. (What it does to a training: fixture_test.cpp.)
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "gan/step.hpp"
#include "quality/forwarding_device.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {
namespace {

/// Remembers the noise that it is asked for.
class Recorder final : public quality::ForwardingDevice {
 public:
  using ForwardingDevice::ForwardingDevice;
  void add_noise(std::uint64_t seed, std::uint32_t stream, StepCount first, const FallingDeviation& deviation, int rows,
                 int columns, const float* x, float* out) override {
    std::vector<double> noise;
    const std::vector<float> before(x, x + count_of(rows, columns));
    ForwardingDevice::add_noise(seed, stream, first, deviation, rows, columns, x, out);
    for (std::size_t i = 0; i < before.size(); ++i)
      noise.push_back(static_cast<double>(out[i]) - static_cast<double>(before[i]));
    calls_.push_back(std::move(noise));
  }
  [[nodiscard]] std::vector<std::vector<double>> take() { return std::exchange(calls_, {}); }

 private:
  std::vector<std::vector<double>> calls_;
};

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

class InstanceNoise : public ::testing::Test {
 protected:
  // What every step of a training asks for.
  std::vector<std::vector<std::vector<double>>> record(const TrainOptions& o, int steps) {
    Recorder device(*cpu_);
    Gan gan = make_gan(o, images_.set().shape(), device);
    GanStep step(device, *alone_, gan, images_.set(), o);
    std::vector<std::vector<std::vector<double>>> all;
    for (int i = 0; i < steps; ++i) {
      step.run(false);
      all.push_back(device.take());
    }
    return all;
  }
  static TrainOptions options() {
    TrainOptions o = small_options();
    o.batch = 100;
    o.instance_noise = 0.5;
    o.instance_noise_end = 0.5;
    o.steps = 8;
    return o;
  }

  std::unique_ptr<Device> cpu_ = make_cpu_device(1);
  std::unique_ptr<Communicator> alone_ = make_local_communicator();
  RandomImages images_{250, small_side, 1};
};

// Real images, generated ones and G's own: as much on each, falling in proportion, and unlike each other and those of
// the step before.
TEST_F(InstanceNoise, FallsOnAllImagesAlike) {
  const auto steps = record(options(), 6);
  for (std::size_t step = 0; step < steps.size(); ++step) {
    const double expected = step < 4 ? 0.5 * (1 - 0.25 * static_cast<double>(step)) : 0;
    ASSERT_EQ(steps[step].size(), 3U);
    for (const std::vector<double>& noise : steps[step]) {
      const auto n = static_cast<double>(noise.size());
      double mean = 0;
      double square = 0;
      for (const double x : noise) {
        mean += x / n;
        square += x * x / n;
      }
      EXPECT_NEAR(mean, 0, 4 * expected / std::sqrt(n) + 1e-9) << step;
      EXPECT_NEAR(square, expected * expected, 4 * expected * expected * std::sqrt(2 / n) + 1e-9) << step;
    }
  }
  std::vector<std::vector<double>> all = steps[0];
  all.insert(all.end(), steps[1].begin(), steps[1].end());
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      EXPECT_NEAR(correlation(all[i], all[j]), 0, 4 / std::sqrt(static_cast<double>(all[i].size()))) << i << " " << j;
}

// In the simultaneous scheme G's update is on the images that D has seen. With a loss that sees real images in G's
// step, these are D's last ones, under the same noise.
TEST_F(InstanceNoise, IsThatOfTheImage) {
  TrainOptions o = options();
  o.scheme = "simultaneous";
  EXPECT_EQ(record(o, 1)[0].size(), 2U);
  o.scheme = "alternating";
  o.loss = "relativistic";
  o.d_steps = 2;
  const auto noise = record(o, 1)[0];
  ASSERT_EQ(noise.size(), 6U);  // D's twice, G's
  EXPECT_EQ(noise[4], noise[2]);
  EXPECT_NE(noise[4], noise[0]);
  EXPECT_NE(noise[5], noise[3]);
}

TEST_F(InstanceNoise, IsNotDrawnWithoutTheOption) {
  TrainOptions o = options();
  o.instance_noise = 0;
  EXPECT_TRUE(record(o, 1)[0].empty());
}

}  // namespace
}  // namespace ganymede::testing
