// The number of ranks is no hyper-parameter: trainings of all ranks of this mpirun against the same training of one
// rank, which every rank computes for itself beside it. On one host, and with the ranks spread over hosts of one
// and of two ranks.
//
// (Rounding does not stay small for ever: where it changes the sign of a ReLU's sum, or of a gradient that Adam
// brings to full size, trainings part. Fifty steps at the recipe's learning rate stay clear of that.)
//
// What would be caught here of the mistakes that data-parallel programs make:
// - images or z chosen by the rank's number on its host: hosts would see the same rows, and the weights would part
//   by a hundredth in the first steps (tolerance: 1e-4);
// - initial weights drawn by rank or not shared: they are compared before the first step;
// - a mean of the ranks' means, or a division by the number of ranks: batches of 100 on 3 ranks and of 7 on 2, 3
//   and 4 give ranks different numbers of rows;
// - G's gradient reduced in D's step, or a gradient that is not reduced: replicas part, and are compared;
// - losses, accuracies or a request to stop that are one rank's own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "comm/mpi.hpp"
#include "distributed/distributed.hpp"
#include "gan/step.hpp"
#include "ganymede/error.hpp"
#include "ganymede/trainer.hpp"
#include "support/gan_settings.hpp"
#include "support/refusal.hpp"
#include "support/relative_distance.hpp"
#include "support/small_gan.hpp"
#include "support/training.hpp"

namespace ganymede::testing {
namespace {

TrainOptions options_of(const GanSetting& setting, bool reproducible) {
  TrainOptions o;
  o.latent = 20;
  o.generator_hidden = o.discriminator_hidden = {48, 40};
  o.seed = 99;
  o.reproducible = reproducible;
  setting.change(o);
  return o;
}

constexpr int side = 12;

void expect_same_means(const StepMeans& a, const StepMeans& b, double tolerance) {
  EXPECT_NEAR(a.discriminator_loss, b.discriminator_loss, tolerance);
  EXPECT_NEAR(a.generator_loss, b.generator_loss, tolerance);
  EXPECT_NEAR(a.penalty, b.penalty, tolerance);
  EXPECT_NEAR(a.real_accuracy, b.real_accuracy, tolerance);
  EXPECT_NEAR(a.fake_accuracy, b.fake_accuracy, tolerance);
  EXPECT_NEAR(a.real_score, b.real_score, tolerance);
  EXPECT_NEAR(a.fake_score, b.fake_score, tolerance);
  EXPECT_NEAR(a.discriminator_gradient_norm, b.discriminator_gradient_norm, tolerance);
  EXPECT_NEAR(a.generator_gradient_norm, b.generator_gradient_norm, tolerance);
}

struct Launch {
  int ranks_per_host;  // 0: one host
  const char* name;
};

class Trajectory : public ::testing::TestWithParam<Launch> {
 protected:
  void SetUp() override {
    ranks_ = comm::make_mpi_communicator({GetParam().ranks_per_host});
    alone_ = make_local_communicator();
  }
  void expect_equal_replicas(const std::string& mine) {
    for (const std::string& theirs : ranks_->all_gather(mine)) EXPECT_EQ(theirs, mine);
  }

  // Of which each rank has a piece: the least of them are for four ranks.
  [[nodiscard]] TrainOptions options_for(const GanSetting& setting, bool reproducible) const {
    TrainOptions options = options_of(setting, reproducible);
    options.batch = std::max(options.batch, ranks_->size());
    options.shards = std::max(options.shards, ranks_->size());
    return options;
  }

  std::unique_ptr<Communicator> ranks_;
  std::unique_ptr<Communicator> alone_;
  // Three batches of a hundred: fifty steps go through many epochs.
  RandomImages images_{310, side, 5};
};

TEST_P(Trajectory, IsTheSameToRounding) {
  for (const GanSetting& setting : gan_settings()) {
    SCOPED_TRACE(setting.name);
    const TrainOptions options = options_for(setting, false);
    Training together(make_cpu_device(1), options, *ranks_, images_.set());
    Training single(make_cpu_device(1), options, *alone_, images_.set());
    EXPECT_EQ(together.digests(), single.digests());
    const std::vector<float> start = single.gan.generator.parameter_array().host();
    together.go(50);
    single.go(50);

    EXPECT_LT(distance(together.gan.generator.parameter_array(), single.gan.generator.parameter_array()), 1e-4);
    EXPECT_LT(distance(together.gan.discriminator.parameter_array(), single.gan.discriminator.parameter_array()), 1e-4);
    if (options.ema > 0) {
      EXPECT_LT(distance(together.gan.average, single.gan.average), 1e-4);
    }
    expect_same_means(together.step.take_means(), single.step.take_means(), 1e-4);
    expect_equal_replicas(together.digests());
    // It would prove nothing about weights that hardly move.
    DeviceArray<float> before(*single.device, start.size());
    before.assign(start.data());
    EXPECT_GT(distance(single.gan.generator.parameter_array(), before), 0.01);
  }
}

TEST_P(Trajectory, IsTheSameBitForBitWhenReproducible) {
  for (const GanSetting& setting : gan_settings()) {
    SCOPED_TRACE(setting.name);
    const TrainOptions options = options_for(setting, true);
    Training together(make_cpu_device(1), options, *ranks_, images_.set());
    Training single(make_cpu_device(2), options, *alone_, images_.set());
    together.go(15);
    single.go(15);
    EXPECT_EQ(together.digests(), single.digests());
    expect_same_means(together.step.take_means(), single.step.take_means(), 0);
  }
}

// Slices are of whole shards, whichever rank has them.
TEST_P(Trajectory, DoesNotDependOnMicroBatchesWhenReproducible) {
  for (const GanSetting& setting : gan_settings()) {
    SCOPED_TRACE(setting.name);
    TrainOptions options = options_for(setting, true);
    if (options.generator_norm == "batch" || options.discriminator_norm == "batch") continue;
    Training single(make_cpu_device(1), options, *alone_, images_.set());
    options.micro_batch = options.batch / 4 + 1;
    Training together(make_cpu_device(1), options, *ranks_, images_.set());
    together.go(5);
    single.go(5);
    EXPECT_EQ(together.digests(), single.digests());
    expect_same_means(together.step.take_means(), single.step.take_means(), 0);
  }
}

TEST_P(Trajectory, DependsOnMicroBatchesToRoundingByDefault) {
  TrainOptions options = options_for(gan_settings()[1], false);
  Training single(make_cpu_device(1), options, *alone_, images_.set());
  options.micro_batch = 12;
  Training together(make_cpu_device(1), options, *ranks_, images_.set());
  together.go(50);
  single.go(50);
  EXPECT_LT(distance(together.gan.generator.parameter_array(), single.gan.generator.parameter_array()), 1e-4);
  EXPECT_LT(distance(together.gan.discriminator.parameter_array(), single.gan.discriminator.parameter_array()), 1e-4);
  expect_same_means(together.step.take_means(), single.step.take_means(), 1e-4);
}

TEST_P(Trajectory, DoesNotDependOnThreads) {
  for (const bool reproducible : {false, true}) {
    const TrainOptions options = options_for(gan_settings()[1], reproducible);
    Training one(make_cpu_device(1), options, *ranks_, images_.set());
    Training two(make_cpu_device(2), options, *ranks_, images_.set());
    one.go(10);
    two.go(10);
    EXPECT_EQ(one.digests(), two.digests());
  }
}

TEST_P(Trajectory, StopsOnAllRanksAtTheSameStep) {
  for (const bool reproducible : {false, true}) {
    Training run(make_cpu_device(1), options_for(gan_settings()[1], reproducible), *ranks_, images_.set());
    for (int step = 0; step < 4; ++step) {
      const bool asked = step == 2 && ranks_->rank() == ranks_->size() - 1;
      run.step.run(asked);
      EXPECT_EQ(run.step.stop_agreed(), step >= 2);
    }
  }
}

// A number that is not finite on one rank keeps the update from being made on all of them.
TEST_P(Trajectory, RefusesOneRanksBadNumbersOnAll) {
  for (const bool reproducible : {false, true})
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Training run(make_cpu_device(1), options_for(gan_settings()[1], reproducible), *ranks_, images_.set());
      run.go(1);
      if (ranks_->rank() == ranks_->size() - 1)
        run.gan.discriminator.parameters()[run.gan.discriminator.parameter_count() - 2] = bad;
      const std::string before = run.digests();
      run.step.run(false);
      EXPECT_FALSE(run.step.finite());
      EXPECT_EQ(run.digests(), before);
    }
}

// The whole program's way in: the same refusal on every rank, before anything is written.
TEST_P(Trajectory, NeedsAPieceOfWorkForEveryRank) {
  const int size = ranks_->size();
  struct Case {
    bool reproducible;
    int batch;
    int shards;
    bool enough;
  };
  for (const Case& c : {Case{false, size - 1, 1, false}, Case{true, 100, size - 1, false}, Case{false, size, 1, true},
                        Case{true, 100, size, true}}) {
    if (c.batch == 0 || c.shards == 0) continue;  // one rank always has a piece
    TrainOptions o = options_for(gan_settings()[1], c.reproducible);
    o.batch = c.batch;
    if (c.reproducible) o.shards = c.shards;
    if (c.enough) {
      Training run(make_cpu_device(1), o, *ranks_, images_.set());
      run.go(2);
      continue;
    }
    o.out = "must-not-be-made";
    EXPECT_THAT(refusal<AgreedError>(ExitCode::usage, [&] { train(o, *ranks_); }),
                ::testing::HasSubstr(std::to_string(size) + " ranks cannot share"))
        << "batch " << c.batch << ", shards " << c.shards << " on " << size << " ranks";
    EXPECT_FALSE(std::filesystem::exists(o.out));
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, Trajectory,
                         ::testing::Values(Launch{0, "one_host"}, Launch{1, "a_host_each"}, Launch{2, "hosts_of_two"}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace ganymede::testing
