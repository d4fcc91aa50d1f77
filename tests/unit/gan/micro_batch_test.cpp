// A batch in slices: the same training as without, to the bit where sums are in fixed point, and less memory. (That the
// training without is right is step_test.cpp's and fixture_test.cpp's to say; on several ranks: tests/distributed.)
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gan/step.hpp"
#include "quality/forwarding_device.hpp"
#include "support/gan_settings.hpp"
#include "support/relative_distance.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {
namespace {

constexpr int side = 8;
constexpr int steps = 6;

struct Result {
  std::map<std::string, std::string> state;  // weights, moments and average, byte by byte
  std::vector<float> generator, discriminator;
  StepMeans means;
};

class MicroBatch : public ::testing::Test {
 protected:
  Result train(const TrainOptions& o) {
    const ImageSet images = shown(images_.set(), o);
    Gan gan = make_gan(o, images.shape(), *device_);
    GanStep step(*device_, *alone_, gan, images, o);
    for (int i = 0; i < steps; ++i) step.run(false);
    EXPECT_TRUE(step.finite());
    Result result;
    for (const auto& [name, file] : gan.save()) result.state[name] = file.serialize();
    result.generator = gan.generator.parameter_array().host();
    result.discriminator = gan.discriminator.parameter_array().host();
    result.means = step.take_means();
    return result;
  }
  // With and without --reproducible, in slices of each of these sizes.
  void expect_same_training(TrainOptions o, const std::vector<int>& sizes) {
    for (const bool exact : {true, false}) {
      o.reproducible = exact;
      o.micro_batch = 0;
      const Result whole = train(o);
      for (const int size : sizes) {
        SCOPED_TRACE((exact ? "reproducible, " : "default, ") + std::to_string(size));
        o.micro_batch = size;
        const Result sliced = train(o);
        const double tolerance = exact ? 0 : 1e-4;
        if (exact) {
          for (const auto& [name, bytes] : whole.state) EXPECT_TRUE(bytes == sliced.state.at(name)) << name;
        } else {
          EXPECT_LT(distance(sliced.generator, whole.generator), tolerance);
          EXPECT_LT(distance(sliced.discriminator, whole.discriminator), tolerance);
        }
        EXPECT_NEAR(sliced.means.discriminator_loss, whole.means.discriminator_loss, tolerance);
        EXPECT_NEAR(sliced.means.generator_loss, whole.means.generator_loss, tolerance);
        EXPECT_NEAR(sliced.means.penalty, whole.means.penalty, tolerance);
        EXPECT_NEAR(sliced.means.real_accuracy, whole.means.real_accuracy, tolerance);
        EXPECT_NEAR(sliced.means.fake_accuracy, whole.means.fake_accuracy, tolerance);
        EXPECT_NEAR(sliced.means.real_score, whole.means.real_score, tolerance);
        EXPECT_NEAR(sliced.means.fake_score, whole.means.fake_score, tolerance);
      }
    }
  }

  std::unique_ptr<Device> device_ = make_cpu_device(1);
  std::unique_ptr<Communicator> alone_ = make_local_communicator();
  RandomImages images_{50, side, 4};
};

TrainOptions options() {
  TrainOptions o;
  o.latent = 5;
  o.generator_hidden = o.discriminator_hidden = {12, 9};
  o.discriminator_activation = "leaky-relu";
  o.batch = 26;
  o.shards = 6;  // of 4 and 5 images
  o.r1 = 0;
  o.epsilon = cancels;
  return o;
}

// Slices of whole shards of which the last is another size, of a shard each, and one that is all.
const std::vector<int> sizes = {10, 5, 26};

TEST_F(MicroBatch, IsTheSameTraining) {
  for (const char* model : {"mlp", "dcgan"})
    for (const char* scheme : {"alternating", "simultaneous"})
      for (const char* condition : {"none", "concat", "projection"})
        for (const bool penalties : {false, true}) {
          TrainOptions o = options();
          o.model = model;
          if (o.model == "dcgan") {
            o.generator_hidden = o.discriminator_hidden = TrainOptions().generator_hidden;
            o.channels = {2, 3};
            o.fully_connected = 4;
          }
          o.scheme = scheme;
          o.condition = condition;
          SCOPED_TRACE(o.model + " " + scheme + ", condition " + condition + (penalties ? ", penalties" : ""));
          if (penalties) {
            o.r1 = o.r2 = o.gradient_penalty = 1;
            o.penalty_every = 2;
          }
          expect_same_training(o, penalties ? sizes : std::vector{10});
        }
}

TEST_F(MicroBatch, IsTheSameTrainingWithEverySetting) {
  for (const GanSetting& setting : gan_settings()) {
    TrainOptions o = options();
    setting.change(o);
    if (o.generator_norm == "batch" || o.discriminator_norm == "batch") continue;
    o.epsilon = cancels;
    SCOPED_TRACE(setting.name);
    const int largest_shard = (o.batch + o.shards - 1) / o.shards;
    expect_same_training(o, {largest_shard, 2 * largest_shard});
  }
}

// By default a slice is any rows, down to one.
TEST_F(MicroBatch, TakesAnyNumberOfRows) {
  TrainOptions o = options();
  o.loss = "relativistic";
  o.r1 = 1;
  o.micro_batch = 0;
  const Result whole = train(o);
  for (const int size : {1, 3, 25}) {
    o.micro_batch = size;
    const Result sliced = train(o);
    EXPECT_LT(distance(sliced.generator, whole.generator), 1e-4) << size;
    EXPECT_LT(distance(sliced.discriminator, whole.discriminator), 1e-4) << size;
  }
}

/// Adds up what it is asked for.
class CountingDevice final : public quality::ForwardingDevice {
 public:
  using ForwardingDevice::ForwardingDevice;
  [[nodiscard]] void* allocate(std::size_t bytes) override {
    bytes_ += bytes;
    return ForwardingDevice::allocate(bytes);
  }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_ = 0;
};

// A step takes the memory of its largest slice, however large the batch is.
TEST_F(MicroBatch, TakesTheMemoryOfASlice) {
  const auto bytes = [&](int batch, int micro_batch) {
    TrainOptions o = options();
    o.scheme = "simultaneous";
    o.condition = "concat";
    o.gradient_penalty = 1;
    o.batch = batch;
    o.micro_batch = micro_batch;
    CountingDevice device(*device_);
    Gan gan = make_gan(o, images_.set().shape(), device);
    GanStep step(device, *alone_, gan, images_.set(), o);
    step.run(false);
    return device.bytes();
  };
  EXPECT_EQ(bytes(6400, 100), bytes(100, 0));
  EXPECT_EQ(bytes(6399, 100), bytes(100, 0));
  EXPECT_GT(bytes(6400, 0), 10 * bytes(100, 0));
}

}  // namespace
}  // namespace ganymede::testing
