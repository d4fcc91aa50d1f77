// Replicas that part are found and named: a rank whose sums come back with one bit turned over, as faulty memory
// would have it, ends the training on all ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "distributed/distributed.hpp"
#include "ganymede/trainer.hpp"
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
class FaultyWorld final : public Communicator {
 public:
  FaultyWorld(int faulty_rank, int faulty_from) : faulty_rank_(faulty_rank), faulty_from_(faulty_from) {}

  [[nodiscard]] int rank() const override { return world_.rank(); }
  [[nodiscard]] int size() const override { return world_.size(); }
  [[nodiscard]] int node_rank() const override { return world_.node_rank(); }
  [[nodiscard]] int node_size() const override { return world_.node_size(); }
  [[nodiscard]] std::string description() const override { return world_.description(); }
  void barrier() override { world_.barrier(); }
  void node_barrier() override { world_.node_barrier(); }
  void broadcast(void* data, std::size_t bytes, int root) override { world_.broadcast(data, bytes, root); }
  void node_broadcast(void* data, std::size_t bytes) override { world_.node_broadcast(data, bytes); }
  void all_sum(std::span<float> values) override { world_.all_sum(values); }
  void all_sum(std::span<double> values) override { world_.all_sum(values); }
  void all_sum(std::span<std::int64_t> values) override { world_.all_sum(values); }
  void all_min(std::span<std::int64_t> values) override { world_.all_min(values); }
  void all_max(std::span<std::int64_t> values) override { world_.all_max(values); }
  [[nodiscard]] std::vector<std::string> all_gather(const std::string& mine) override {
    return world_.all_gather(mine);
  }
  [[nodiscard]] std::shared_ptr<void> node_shared(std::size_t bytes) override { return world_.node_shared(bytes); }
  [[nodiscard]] std::unique_ptr<Reduction<float>> make_float_reduction(std::size_t count) override {
    auto inner = world_.make_float_reduction(count);
    if (rank() != faulty_rank_) return inner;
    return std::make_unique<FaultyReduction>(std::move(inner), faulty_from_);
  }
  [[nodiscard]] std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(std::size_t count) override {
    return world_.make_fixed_reduction(count);
  }
  [[noreturn]] void abort(ExitCode code) noexcept override {
    world_.abort(code);
    std::abort();  // not reached; GCC does not see that of a virtual call
  }

 private:
  Communicator& world_ = world();
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
  try {
    train(tiny_training(out), ranks);
    ADD_FAILURE() << "trained to the end";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::training_failed);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("differ at step 20"),
                      HasSubstr(world().size() > 2 ? "rank 1 is not as the others" : "ranks 0, 1 do not agree"),
                      HasSubstr("the checkpoint of step 16")));
  }
  EXPECT_FALSE(std::filesystem::exists(out + "/generator.safetensors"));
  world().barrier();
}

}  // namespace
}  // namespace ganymede::testing
