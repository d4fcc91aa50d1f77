// Trainings with products of bfloat16, on a GPU for each rank of this mpirun, against those that the definition of such
// products gives (tests/support/rounding_device.hpp), and against float32's.
//
// What is compared are the ways that weights went. The optimiser is one that is linear in the gradient: Adam's first
// steps are as long whatever the gradient is, and would make differences between small ones large.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "comm/mpi.hpp"
#include "cuda_backend/gpu.hpp"
#include "cuda_backend/training.hpp"
#include "distributed/distributed.hpp"
#include "gan/sampler.hpp"
#include "ganymede/error.hpp"
#include "support/relative_distance.hpp"
#include "support/rounding_device.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {
namespace {

const std::vector<GanSetting>& settings() {
  static const std::vector<GanSetting> all = {
      {"gan", [](TrainOptions& o) { o.r1 = 0; }},
      {"gan_with_penalties",
       [](TrainOptions& o) {
         o.r1 = 1;
         o.discriminator_activation = "leaky-relu";
       }},
      {"dcgan",
       [](TrainOptions& o) {
         normalised_dcgan(o);
         o.condition = "concat";
       }},
      {"dcgan_spectral_norm",
       [](TrainOptions& o) {
         penalised_dcgan(o);
         o.channels = {4};  // arrays of bfloat16 that begin where cuDNN has engines
         o.spectral_norm = true;
         o.learning_rate = 0.1;
       }},
  };
  return all;
}

TrainOptions linear_options(const GanSetting& setting) {
  TrainOptions o = options_of(setting, false);
  o.optimizer = "sgd";
  if (o.learning_rate < 1e-3) o.learning_rate = 0.5;
  o.ema = 0.9;
  return o;
}

// How far both networks' weights have gone since the training began.
std::vector<float> way(Training& training) {
  std::vector<float> result;
  const std::unique_ptr<Device> cpu = make_cpu_device(1);
  for (const bool generator : {true, false}) {
    Network& now = generator ? training.gan.generator : training.gan.discriminator;
    const Gan fresh = make_gan(training.options, training.images.shape(), *cpu);
    const Network& before = generator ? fresh.generator : fresh.discriminator;
    const std::vector<float> a = now.parameter_array().host();
    const std::vector<float> b = before.parameter_array().host();
    for (std::size_t i = 0; i < now.parameter_count(); ++i) result.push_back(a[i] - b[i]);
  }
  return result;
}

class GpuRoundedTraining : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    prepare_gpus(ranks_->node_size(), GetParam() + 20 * static_cast<std::size_t>(ranks_->rank()));
    cuda_.precision = Precision::bfloat16;
    cuda_.blas_from = 1;
    cuda_.through_mpi = !gpu_for_each(*ranks_);
    try {
      make_gpu(*ranks_, cuda_)->synchronize();
    } catch (const Error& error) {
      if (!lacks_tensor_cores(error)) throw;
      GTEST_SKIP() << error.what();
    }
  }
  void TearDown() override { EXPECT_EQ(gpu_leaks(), std::vector<std::string>{}); }

  [[nodiscard]] std::unique_ptr<Training> on(std::unique_ptr<Device> device, Communicator& ranks) const {
    return std::make_unique<Training>(std::move(device), options_, ranks, images_.set());
  }
  /// The training of all ranks on their GPUs, after so many steps.
  [[nodiscard]] std::unique_ptr<Training> trained(int count = steps) {
    auto training = on(make_gpu(*ranks_, cuda_), *ranks_);
    training->go(count);
    return training;
  }
  template <class Definition>
  [[nodiscard]] std::vector<float> way_of(int count = steps) {
    auto training = on(std::make_unique<Definition>(make_cpu_device(1)), *alone_);
    training->go(count);
    return way(*training);
  }

  CudaOptions cuda_;
  Communicator* ranks_ = &world();
  std::unique_ptr<Communicator> alone_ = make_local_communicator();
  RandomImages images_{40, side, 3};
  TrainOptions options_ = linear_options(settings()[GetParam()]);
};

/// Weights as they were drawn, for ever.
class StaleWeights : public RoundingDevice {
 public:
  using RoundingDevice::RoundingDevice;
  void round(std::size_t count, const float* from, Bfloat16* to) override {
    if (++calls_ <= 2) RoundingDevice::round(count, from, to);
  }

 private:
  int calls_ = 0;
};

/// Numbers cut off instead of rounded.
class Truncating : public RoundingDevice {
 public:
  using RoundingDevice::RoundingDevice;

 protected:
  [[nodiscard]] float rounded_number(float x) const override { return bfloat16_value(bfloat16_bits(x)); }
};

TEST_P(GpuRoundedTraining, IsThatOfRoundedFactors) {
  // Ranks round their own parts of a convolution's gradients; and a GPU's sums, made in another order, may be rounded
  // to a neighbour now and then.
  const double tolerance = simulated_gpus() && ranks_->size() == 1 ? 1e-6 : 0x1p-6;
  const std::vector<float> gpu = way(*trained());
  EXPECT_LT(distance(gpu, way_of<RoundingDevice>()), tolerance);
  // Both would be seen.
  EXPECT_GT(distance(gpu, way_of<StaleWeights>()), 10 * tolerance);
  EXPECT_GT(distance(gpu, way_of<Truncating>()), tolerance);
}

// One step's gradients: on the longest way through both networks and back there are a dozen products, each of two
// factors, and most with a result, that are off by up to 2^-8.
TEST_P(GpuRoundedTraining, IsNearThatOfFloat32) {
  auto cpu = on(make_cpu_device(1), *alone_);
  cpu->go(1);
  const double off = distance(way(*trained(1)), way(*cpu));
  EXPECT_LT(off, 12 * 3 * 0x1p-8);
  EXPECT_GT(off, 0x1p-12) << "nothing was rounded";
}

// Two trainings to the same bits, of which one goes on from the other's files; and these are float32's.
TEST_P(GpuRoundedTraining, GoesOnFromFloat32s) {
  constexpr int whole = 3;
  auto first = trained(1);
  const std::map<std::string, TensorFile> files = first->gan.save();
  first->go(whole - 1);
  auto second = on(make_gpu(*ranks_, cuda_), *ranks_);
  second->gan.load(files, "memory");
  second->step.set_steps(1);
  second->go(whole - 1);
  EXPECT_EQ(second->digests(), first->digests());
  auto cpu = on(make_cpu_device(1), *alone_);
  for (const auto& [name, file] : cpu->gan.save()) {
    ASSERT_EQ(file.tensors.size(), files.at(name).tensors.size()) << name;
    for (std::size_t i = 0; i < file.tensors.size(); ++i) {
      EXPECT_EQ(file.tensors[i].name, files.at(name).tensors[i].name);
      EXPECT_EQ(file.tensors[i].shape, files.at(name).tensors[i].shape);
    }
  }
}

// What people see of it is float32's: samples of the weights as they are.
TEST_P(GpuRoundedTraining, DrawsInFloat32) {
  auto gpu = trained(1);
  auto cpu = on(make_cpu_device(1), *alone_);
  cpu->gan.load(gpu->gan.save(), "memory");
  const auto images = [&](Training& of) {
    Sampler sampler(of.gan.generator, options_, of.gan.data.classes, 8);
    return sampler.draw(of.gan.generator.parameter_array(), 1, math::Stream::noise_for_samples, 0, 8);
  };
  EXPECT_LT(distance(images(*gpu), images(*cpu)), 1e-5);
}

// With the optimiser that people use: D's loss falls, as it does with float32.
TEST_P(GpuRoundedTraining, Learns) {
  options_.optimizer = "adam";
  options_.learning_rate = 2e-3;
  auto gpu = on(make_gpu(*ranks_, cuda_), *ranks_);
  auto cpu = on(make_cpu_device(1), *alone_);
  double before = 10;
  for (int i = 0; i < 3; ++i) {
    gpu->go(steps);
    cpu->go(steps);
    const double loss = gpu->step.take_means().discriminator_loss;
    EXPECT_LT(loss, before);
    EXPECT_NEAR(loss, cpu->step.take_means().discriminator_loss, 0.01);
    before = loss;
  }
}

INSTANTIATE_TEST_SUITE_P(Cuda, GpuRoundedTraining, ::testing::Range(std::size_t{0}, settings().size()),
                         [](const auto& info) { return settings()[info.param].name; });

}  // namespace
}  // namespace ganymede::testing
