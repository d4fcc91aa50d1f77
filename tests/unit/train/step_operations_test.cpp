// The list of a step's operations: its arithmetic against the networks' own count, and a line of it by hand. (How many
// kernels a GPU makes of them: tests/cuda_backend/device_test.cpp.)
#include "train/step_operations.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "gan/gan.hpp"
#include "gan/step.hpp"
#include "support/gan_settings.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {
namespace {

class OperationsOfAStep : public ::testing::Test {
 protected:
  std::vector<Operation> of(const TrainOptions& o, std::uint64_t step = 10) {
    return operations_of_step(o, *alone_, shown(images_.set(), o), step);
  }
  static double flops(const std::vector<Operation>& operations) {
    double sum = 0;
    for (const Operation& each : operations) sum += each.flops;
    return sum;
  }
  std::unique_ptr<Communicator> alone_ = make_local_communicator();
  RandomImages images_{20, small_side, 1};
};

TEST_F(OperationsOfAStep, ComputeWhatTheNetworksTake) {
  const std::unique_ptr<Device> cpu = make_cpu_device(1);
  int compared = 0;
  for (const GanSetting& setting : gan_settings()) {
    SCOPED_TRACE(setting.name);
    TrainOptions o = small_options();
    setting.change(o);
    // Of networks alone: their count has a mean over all steps, and something for elements that are no product.
    if (o.d_burst > 0 || o.penalty_every > 1 || o.model != "mlp" || o.dropout > 0 || o.condition != "none") continue;
    if (o.generator_norm != "none" || o.discriminator_norm != "none" || o.spectral_norm) continue;
    const ImageSet images = shown(images_.set(), o);
    Gan gan = make_gan(o, images.shape(), *cpu);
    const GanStep step(*cpu, *alone_, gan, images, o);
    EXPECT_DOUBLE_EQ(flops(of(o)), step.flops());
    ++compared;
  }
  EXPECT_GE(compared, 5);
}

TEST_F(OperationsOfAStep, AreThatStepsOwn) {
  TrainOptions o = small_options();
  o.loss = "wasserstein";
  o.d_steps = 2;
  o.d_burst = 7;
  o.d_burst_first = 1;
  const auto updates = [&](std::uint64_t step) {
    const std::vector<Operation> all = of(o, step);
    return std::count_if(all.begin(), all.end(), [](const Operation& each) { return each.name == "optimiser"; });
  };
  EXPECT_EQ(updates(0), 7 + 1);
  EXPECT_EQ(updates(10), 2 + 1);
}

TEST_F(OperationsOfAStep, TouchEachOperandOnce) {
  TrainOptions o = small_options();
  const std::vector<Operation> all = of(o);
  // G's first layer, for D and for G at once.
  const auto layer = std::find_if(all.begin(), all.end(), [](const Operation& each) { return each.name == "layer"; });
  ASSERT_NE(layer, all.end());
  EXPECT_EQ(layer->part, "G forward");
  EXPECT_EQ(layer->shape, "12 × 3 → 5");
  EXPECT_EQ(layer->flops, 2 * 12 * 3 * 5);
  EXPECT_EQ(layer->bytes, 4 * (12 * 3 + 3 * 5 + 5 + 12 * 5));
  // Adam: the gradient, and weights and two moments there and back.
  EXPECT_EQ(all.end()[-2].name, "optimiser");
  const double weights = 3 * 5 + 5 + 5 * 4 + 4 + 4 * 16 + 16;
  EXPECT_EQ(all.end()[-2].bytes, 4 * 7 * weights);
  o.ema = 0.999;
  EXPECT_EQ(of(o).end()[-2].bytes, 4 * 9 * weights);
}

}  // namespace
}  // namespace ganymede::testing
