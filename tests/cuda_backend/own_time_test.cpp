// What ranks on GPUs take for their own part of a step, and which of them are slow by that: on simulated GPUs alone,
// whose clock shows what waits for what.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cuda_backend/gpu.hpp"
#include "cuda_sim/cuda_sim.hpp"
#include "distributed/distributed.hpp"
#include "support/forwarding_communicator.hpp"
#include "support/gan_settings.hpp"
#include "support/small_gan.hpp"
#include "support/training.hpp"
#include "train/stragglers.hpp"

namespace ganymede::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using namespace std::chrono_literals;

enum class Way { graph, plain, through_mpi };

bool is_last() { return world().rank() == world().size() - 1; }

/// All ranks, of which the last is late with each sum by MPI, so that the hosts of the others wait.
class LateSums : public test::ForwardingCommunicator {
 public:
  LateSums() : ForwardingCommunicator(world()) {}
  std::unique_ptr<Reduction<float>> make_float_reduction(std::size_t count) override {
    return std::make_unique<Sum>(ForwardingCommunicator::make_float_reduction(count));
  }

 private:
  class Sum : public Reduction<float> {
   public:
    explicit Sum(std::unique_ptr<Reduction<float>> sum) : inner_(std::move(sum)) {
      size_ = inner_->size();
      data_ = inner_->data();
      sum_ = inner_->sum();
    }
    void start() override { inner_->start(); }
    void finish() override {
      inner_->finish();
      if (!is_last()) cuda_sim::pass(100s);
    }

   private:
    std::unique_ptr<Reduction<float>> inner_;
  };
};

class OwnTime : public ::testing::TestWithParam<Way> {
 protected:
  void SetUp() override { prepare_gpus(world().node_size(), 1 + static_cast<std::uint64_t>(world().rank())); }
  static Training make_training(const RandomImages& images, Communicator& ranks) {
    CudaOptions options;
    options.graph = GetParam() == Way::graph;
    options.through_mpi = GetParam() == Way::through_mpi;
    TrainOptions o;
    o.latent = 2;
    o.generator_hidden = o.discriminator_hidden = {3};
    o.batch = 4;
    return {make_gpu(ranks, options), o, ranks, images.set()};
  }
  /// Settles the training: each rank's seconds a step since the last time.
  std::vector<double> seconds_a_step(Training& training) {
    training.step.settle();
    const GanStep::OwnTime own = training.step.take_own_time();
    EXPECT_GT(own.steps, 0U);
    told_ = world().all_gather(Stragglers::text(own));
    std::vector<double> each(static_cast<std::size_t>(world().size()));
    each[static_cast<std::size_t>(world().rank())] = own.seconds / static_cast<double>(own.steps);
    world().all_sum(each);
    return each;
  }
  /// What is said of as many steps like these as it takes.
  [[nodiscard]] std::vector<std::string> said() const {
    Stragglers stragglers(true);
    std::vector<std::string> all;
    for (std::uint64_t window = 0; window < Stragglers::least_steps; ++window)
      for (std::string& sentence : stragglers.judge(told_, {"a", "b"})) all.push_back(std::move(sentence));
    return all;
  }
  RandomImages images_{40, 2, 3};
  std::vector<std::string> told_;  // by rank
};

// A kernel takes seconds: what the simulation itself takes is little beside them.
TEST_P(OwnTime, IsThatOfTheRanksKernelsAlone) {
  Training training = make_training(images_, world());
  for (const int slower : {1, 3}) {
    cuda_sim::set_kernel_time(is_last() ? slower * 10s : 10s);
    for (int i = 0; i < 3; ++i) training.step.run(false);
    const std::vector<double> seconds = seconds_a_step(training);
    EXPECT_NEAR(seconds.back() / seconds.front(), slower, 0.1 * slower);
    if (slower == 1)
      EXPECT_THAT(said(), IsEmpty());
    else
      EXPECT_THAT(said(), ElementsAre(StartsWith("rank 1 on b is slower than the others")));
    // Of a rank that waits in each sum: all kernels but the two sums and the timer's four.
    if (GetParam() == Way::graph && slower > 1) {
      EXPECT_NEAR(seconds.front() / 10, training.step.recorded() - 2 - 4, 0.5);
    }
  }
}

// A host that is late with the next step keeps its own GPU waiting, and through it the others. What is done between
// steps, when all that was begun has ended, is not the step's.
TEST_P(OwnTime, IsTheLateHosts) {
  LateSums ranks;
  Training training = make_training(images_, ranks);
  training.go(1);
  seconds_a_step(training);
  for (int i = 0; i < 3; ++i) {
    if (i > 0 && is_last()) cuda_sim::pass(100s);
    training.step.run(false);
  }
  std::vector<double> seconds = seconds_a_step(training);
  EXPECT_GT(seconds.back(), 190.0 / 3);
  EXPECT_LT(seconds.front(), 10);

  if (is_last()) cuda_sim::pass(100s);
  training.step.run(false);
  EXPECT_LT(seconds_a_step(training).back(), 10);
}

INSTANTIATE_TEST_SUITE_P(
    Cuda, OwnTime, ::testing::Values(Way::graph, Way::plain, Way::through_mpi), [](const auto& info) {
      return std::string(info.param == Way::graph ? "Graph" : info.param == Way::plain ? "Plain" : "ThroughMpi");
    });

}  // namespace
}  // namespace ganymede::testing
