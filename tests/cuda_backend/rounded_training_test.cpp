// Trainings with products of bfloat16, on a GPU for each rank of this mpirun, against those that the definition of such
// products gives (tests/support/rounding_device.hpp), and against float32's.
//
// What is compared are the ways that weights went. The optimiser is one that is linear in the gradient: Adam's first
// steps are as long whatever the gradient is, and would make differences between small ones large.
#include <gtest/gtest.h>

#include "comm/mpi.hpp"
#include "cuda_backend/gpu.hpp"
#include "cuda_backend/training.hpp"
#include "distributed/distributed.hpp"
#include "ganymede/error.hpp"
#include "support/relative_distance.hpp"
#include "support/rounding_device.hpp"

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
         o.spectral_norm = true;
       }},
  };
  return all;
}

TrainOptions linear_options(const GanSetting& setting) {
  TrainOptions o = options_of(setting, false);
  o.optimizer = "sgd";
  o.learning_rate = 0.5;
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
  const std::vector<float> gpu = way(*trained());
  std::printf("definition %g stale %g truncated %g\n", distance(gpu, way_of<RoundingDevice>()),
              distance(gpu, way_of<StaleWeights>()), distance(gpu, way_of<Truncating>()));
  options_.steps = 0;
  auto cpu = on(make_cpu_device(1), *alone_);
  cpu->go(1);
  auto g1 = trained(1);
  std::printf("float32 1 step %g\n", distance(way(*g1), way(*cpu)));
}

INSTANTIATE_TEST_SUITE_P(Cuda, GpuRoundedTraining, ::testing::Range(std::size_t{0}, settings().size()),
                         [](const auto& info) { return settings()[info.param].name; });

}  // namespace
}  // namespace ganymede::testing
