// Replicas that part are found and named: a rank whose sums come back with one bit turned over, as faulty memory
// would have it, ends the training on all ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "distributed/distributed.hpp"
#include "ganymede/trainer.hpp"
#include "support/forwarding_communicator.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// The inner reduction, but from `faulty_from` on one bit of this rank's copy of the sum is wrong.
class FaultyReduction final : public Reduction<float> {
 public:
  FaultyReduction(std::unique_ptr<Reduction<float>> inner, int faulty_from)
      : inner_(std::move(inner)), sound_sums_(faulty_from), copy_(inner_->size()) {
    size_ = inner_->size();
    data_ = inner_->data();
    sum_ = copy_.data();
  }
  void start() override { inner_->start(); }
  void finish() override {
    inner_->finish();
    std::copy_n(inner_->sum(), size_, copy_.begin());
    if (sound_sums_-- > 0) return;
    std::uint32_t bits = 0;
    std::memcpy(&bits, &copy_[0], sizeof bits);
    bits ^= 1U << 22U;
    std::memcpy(&copy_[0], &bits, sizeof bits);
  }

 private:
  std::unique_ptr<Reduction<float>> inner_;
  int sound_sums_;
  std::vector<float> copy_;
};

/// The world, in which one rank's sums are wrong after some steps.
class FaultyWorld final : public test::ForwardingCommunicator {
 public:
  FaultyWorld(int faulty_rank, int faulty_from)
      : ForwardingCommunicator(world()), faulty_rank_(faulty_rank), faulty_from_(faulty_from) {}

  [[nodiscard]] std::unique_ptr<Reduction<float>> make_float_reduction(std::size_t count) override {
    auto inner = ForwardingCommunicator::make_float_reduction(count);
    if (rank() != faulty_rank_) return inner;
    return std::make_unique<FaultyReduction>(std::move(inner), faulty_from_);
  }

 private:
  int faulty_rank_;
  int faulty_from_;
};

/// The folder that rank 0 made, on all ranks.
std::string shared_path(const test::TemporaryFolder& mine) {
  return world().all_gather((mine.path() / "run").string()).front();
}

TrainOptions tiny_training(const std::string& out) {
  TrainOptions options;
  options.out = out;
  options.latent = 4;
  options.generator_hidden = options.discriminator_hidden = {8};
  options.batch = 24;
  options.threads = 1;
  options.steps = 30;
  options.sample_count = 1;
  options.drift_every = 10;
  options.checkpoint_every = 8;
  return options;
}

TEST(Drift, ReplicasThatAgreeTrainToTheEnd) {
  const test::TemporaryFolder folder;
  const std::string out = shared_path(folder);
  EXPECT_EQ(train(tiny_training(out), world()).steps, 30U);
  world().barrier();
}

TEST(Drift, ARankThatPartsIsNamedOnAllRanks) {
  const test::TemporaryFolder folder;
  const std::string out = shared_path(folder);
  FaultyWorld ranks(1, 12);
  const std::string on = " on " + host_name();
  EXPECT_THAT(refusal<AgreedError>(ExitCode::training_failed, [&] { train(tiny_training(out), ranks); }),
              AllOf(HasSubstr("differ at step 20"),
                    HasSubstr(world().size() > 2 ? "rank 1" + on + " is not as the others"
                                                 : "ranks 0" + on + ", 1" + on + " do not agree"),
                    HasSubstr("the checkpoint of step 16")));
  EXPECT_FALSE(std::filesystem::exists(out + "/generator.safetensors"));
  world().barrier();
}

}  // namespace
}  // namespace ganymede::testing
