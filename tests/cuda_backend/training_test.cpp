// Trainings on GPUs, one for each rank of this mpirun, against the CPU's and against one GPU's alone. (With fewer real
// GPUs than ranks, ranks share them and add up through MPI alone.)
//
// Where GPUs are simulated, the simulation runs what is enqueued in any order that streams, events and graph edges
// allow, and ends the process where two operations race, where memory is used that is not there any more, and where the
// host looks at what the GPU may still write: every training here is also a search for those.
#include "cuda_backend/training.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "comm/mpi.hpp"
#include "cuda_backend/gpu.hpp"
#include "distributed/distributed.hpp"
#include "support/relative_distance.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {
namespace {

/// `means`: b's since its start.
void expect_near(Training& a, const Training& b, const StepMeans& means, double tolerance) {
  EXPECT_LT(distance(a.gan.generator.parameter_array(), b.gan.generator.parameter_array()), tolerance);
  EXPECT_LT(distance(a.gan.discriminator.parameter_array(), b.gan.discriminator.parameter_array()), tolerance);
  if (a.gan.average.size() > 0) {
    EXPECT_LT(distance(a.gan.average, b.gan.average), tolerance);
  }
  const StepMeans x = a.step.take_means();
  const StepMeans& y = means;
  EXPECT_NEAR(x.discriminator_loss, y.discriminator_loss, tolerance);
  EXPECT_NEAR(x.generator_loss, y.generator_loss, tolerance);
  EXPECT_NEAR(x.penalty, y.penalty, tolerance);
  EXPECT_NEAR(x.real_accuracy, y.real_accuracy, 1e-6);
  EXPECT_NEAR(x.fake_accuracy, y.fake_accuracy, 1e-6);
}

/// The host runs ahead of its GPU all the way.
void go_ahead(Training& gpu) {
  const NoWaitingCopies none;
  gpu.go(steps);
}

class GpuTraining : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    prepare_gpus(ranks_->node_size(), GetParam() + 10 * static_cast<std::size_t>(ranks_->rank()));
    nccl_ = gpu_for_each(*ranks_);
  }
  void TearDown() override { EXPECT_EQ(gpu_leaks(), std::vector<std::string>{}); }
  /// Options for all ranks' GPUs.
  [[nodiscard]] CudaOptions options() const {
    CudaOptions o;
    o.through_mpi = !nccl_;
    return o;
  }
  bool nccl_ = true;
  Communicator* ranks_ = &world();
  std::unique_ptr<Communicator> alone_ = make_local_communicator();
  RandomImages images_{40, side, 3};
};

TEST_P(GpuTraining, IsTheCpus) {
  // Two ranks see every setting; and of all three have the bits of one GPU, below, whose own way is the default's
  // alone.
  if (ranks_->size() > 2 && GetParam() % 3 != 0) return;
  for (const bool reproducible : {false, true}) {
    if (reproducible && ranks_->size() == 1) continue;
    const TrainOptions o = options_of(gan_settings()[GetParam()], reproducible);
    Training cpu(make_cpu_device(1), o, *alone_, images_.set());
    cpu.go(steps);
    const StepMeans means = cpu.step.take_means();
    for (const bool graph : {true, false}) {
      // Without a graph the calls are the same: two settings show that.
      if (!graph && (reproducible || GetParam() > 1)) continue;
      SCOPED_TRACE(std::string(reproducible ? "reproducible" : "default") + (graph ? ", graph" : ", no graph"));
      CudaOptions cuda = options();
      cuda.graph = graph;
      cuda.reproducible = reproducible;
      Training gpu(make_gpu(*ranks_, cuda), o, *ranks_, images_.set());
      go_ahead(gpu);
      EXPECT_EQ(gpu.step.recorded() > 0, graph && (nccl_ || ranks_->size() == 1));
      // Of several GPUs: two sums more, two kernels that time each, G's three layers again, and the flag that asks for
      // a stop.
      if (simulated_gpus() && graph && !reproducible && GetParam() == 0) {
        EXPECT_EQ(gpu.step.recorded(), ranks_->size() == 1 ? 32 : 42);
      }
      expect_near(gpu, cpu, means, 1e-4);
    }
  }
}

// What a --reproducible training on one GPU ends in, known to all ranks. Each computes one of as many settings as there
// are ranks: the simulation is slow.
std::string digests_on_one_gpu(std::size_t setting, const ImageSet& images) {
  static std::map<std::size_t, std::string> own;
  Communicator& ranks = world();
  const auto size = static_cast<std::size_t>(ranks.size());
  const std::size_t mine = setting / size * size + static_cast<std::size_t>(ranks.rank());
  if (mine < gan_settings().size() && own.count(mine) == 0) {
    const std::unique_ptr<Communicator> alone = make_local_communicator();
    CudaOptions cuda;
    cuda.reproducible = true;
    Training one(make_gpu(*alone, cuda), options_of(gan_settings()[mine], true), *alone, images);
    one.go(steps);
    own[mine] = one.digests();
  }
  return ranks.all_gather(own[mine])[setting % size];
}

// Bits: those of a training on one GPU, whatever the number of GPUs, by whatever way they add up; and in slices.
TEST_P(GpuTraining, HasTheSameBitsOnAnyNumberOfGpus) {
  // In slices alone, which two see, too.
  if (ranks_->size() == 1 && GetParam() % 3 != 0) return;
  TrainOptions o = options_of(gan_settings()[GetParam()], true);
  const std::string expected = digests_on_one_gpu(GetParam(), images_.set());
  if (ranks_->size() > o.shards) return;
  CudaOptions cuda;
  cuda.reproducible = true;
  for (const bool through_mpi : {false, true}) {
    if (through_mpi ? ranks_->size() == 1 : !nccl_) continue;
    cuda.through_mpi = through_mpi;
    const bool whole = through_mpi || o.generator_norm == "batch" || o.discriminator_norm == "batch";
    o.micro_batch = whole ? 0 : (o.batch + o.shards - 1) / o.shards;
    Training all(make_gpu(*ranks_, cuda), o, *ranks_, images_.set());
    go_ahead(all);
    EXPECT_EQ(all.digests(), expected) << (through_mpi ? "through MPI" : "through NCCL");
  }
}

// How products are made is each GPU's own affair: the run on one rank sees it.
TEST_P(GpuTraining, GoesTheSameWayThroughCublas) {
  if (ranks_->size() > 1) return;
  const TrainOptions o = options_of(gan_settings()[GetParam()], false);
  Training cpu(make_cpu_device(1), o, *alone_, images_.set());
  cpu.go(steps);
  CudaOptions cuda = options();
  cuda.blas_from = 1;
  Training gpu(make_gpu(*ranks_, cuda), o, *ranks_, images_.set());
  go_ahead(gpu);
  expect_near(gpu, cpu, cpu.step.take_means(), 1e-4);
}

// Large ones lie in memory of NCCL's own.
TEST(GpuSums, OfAnySize) {
  Communicator& ranks = world();
  prepare_gpus(ranks.node_size(), 1);
  CudaOptions options;
  options.through_mpi = !gpu_for_each(ranks);
  {
    const std::unique_ptr<Device> device = make_gpu(ranks, options);
    for (const std::size_t count : {std::size_t{7}, std::size_t{1} << 19}) {
      const std::unique_ptr<Reduction<float>> sum = device->make_reduction<float>(ranks, count);
      std::vector<float> values(count);
      for (std::size_t i = 0; i < count; ++i)
        values[i] = static_cast<float>(i % 1000) + static_cast<float>(ranks.rank());
      device->upload(sum->data(), values.data(), count * sizeof(float));
      sum->start();
      sum->finish();
      device->download(values.data(), sum->sum(), count * sizeof(float));
      const auto n = static_cast<float>(ranks.size());
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < count; ++i)
        wrong += values[i] == n * static_cast<float>(i % 1000) + n * (n - 1) / 2 ? 0 : 1;
      EXPECT_EQ(wrong, 0U) << count;
    }
  }
  EXPECT_EQ(gpu_leaks(), std::vector<std::string>{});
}

// One GPU is enough for all that a rank does with NCCL but the adding: it joins, has memory taken and registered, sums
// beside kernels on a stream of its own, in a graph that is replayed, and leaves.
TEST(GpuSums, OfARankAlone) {
  Communicator& ranks = world();
  if (ranks.size() > 1) return;
  prepare_gpus(1, 1);
  CudaOptions options;
  options.nccl_alone = true;
  {
    const std::unique_ptr<Device> device = make_gpu(ranks, options);
    // The second lies in memory of NCCL's own.
    for (const std::size_t count : {std::size_t{7}, std::size_t{1} << 18}) {
      SCOPED_TRACE(count);
      const std::size_t looked_at = std::min<std::size_t>(count, 1000);
      DeviceArray<float> part(*device, count);
      DeviceArray<double> parts(*device, looked_at);
      DeviceArray<double> sums(*device, looked_at);
      const std::unique_ptr<Reduction<float>> sum = device->make_reduction<float>(ranks, count);
      const std::unique_ptr<Routine> routine = device->make_routine([&] {
        device->copy(sum->data(), part.data(), part.bytes());
        sum->start();
        device->add_to(looked_at, part.data() + count - looked_at, parts.data());
        sum->finish();
        device->add_to(looked_at, sum->sum() + count - looked_at, sums.data());
      });
      std::vector<double> expected(looked_at);
      std::vector<float> values(count);
      for (int run = 0; run < 5; ++run) {
        std::iota(values.begin(), values.end(), static_cast<float>(run));
        for (std::size_t i = 0; i < looked_at; ++i) expected[i] += values[count - looked_at + i];
        part.assign(values.data());
        routine->run();
      }
      EXPECT_EQ(parts.host(), expected);
      EXPECT_EQ(sums.host(), expected);
      // A copy, two additions and the timer's two kernels; of one rank's sum NCCL itself need not make a node.
      EXPECT_GE(routine->recorded(), 5);
      if (simulated_gpus()) {
        EXPECT_EQ(routine->recorded(), 6);
      }
    }
  }
  EXPECT_EQ(gpu_leaks(), std::vector<std::string>{});
}

// Two settings are enough for what no loss or layer takes part in.
class GpuStop : public GpuTraining {};

TEST_P(GpuStop, IsAtTheSameStepOnAllRanks) {
  const TrainOptions o = options_of(gan_settings()[GetParam()], false);
  Training run(make_gpu(*ranks_, options()), o, *ranks_, images_.set());
  std::int64_t known_at = -1;
  for (int step = 0; step < steps && !run.step.stop_agreed(); ++step) {
    run.step.run(step >= 3 && ranks_->rank() == ranks_->size() - 1);
    known_at = step;
  }
  run.step.settle();
  EXPECT_TRUE(run.step.stop_agreed());
  EXPECT_LE(known_at, 3 + run.device->steps_ahead());
  std::int64_t most = known_at;
  ranks_->all_max(std::span(&most, 1));
  EXPECT_EQ(known_at, most);
}

// A training whose passes have sums over ranks, too: batch normalisation's, of integers.
class GpuAlone : public GpuTraining {};

TEST_P(GpuAlone, HasTheSameBitsThroughNccl) {
  if (ranks_->size() > 1) return;
  const TrainOptions o = options_of(gan_settings()[GetParam()], false);
  CudaOptions cuda;
  Training without(make_gpu(*ranks_, cuda), o, *ranks_, images_.set());
  cuda.nccl_alone = true;
  Training with(make_gpu(*ranks_, cuda), o, *ranks_, images_.set());
  go_ahead(without);
  go_ahead(with);
  EXPECT_GT(with.step.recorded(), without.step.recorded());
  EXPECT_EQ(with.digests(), without.digests());
}

INSTANTIATE_TEST_SUITE_P(Cuda, GpuAlone, ::testing::Values(std::size_t{7}),
                         [](const auto& info) { return gan_settings()[info.param].name; });
INSTANTIATE_TEST_SUITE_P(Cuda, GpuStop, ::testing::Values(std::size_t{1}, std::size_t{2}),
                         [](const auto& info) { return gan_settings()[info.param].name; });
INSTANTIATE_TEST_SUITE_P(Cuda, GpuTraining, ::testing::Range(std::size_t{0}, gan_settings().size()),
                         [](const auto& info) { return gan_settings()[info.param].name; });

}  // namespace
}  // namespace ganymede::testing
