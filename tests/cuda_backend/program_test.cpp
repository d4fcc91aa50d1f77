// The program on simulated GPUs, one of which a rank cannot use, or fails it in a step: the job ends with the
// documented code and one sentence that names the rank, and no process stays behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>

#include "cli/process.hpp"

namespace ganymede::test {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int ranks = 2;

class GpuFault : public ::testing::Test {
 protected:
  // A training with a GPU for each rank; `shell` is run before it, where $rank is the rank.
  Ending train(const std::string& shell, const std::string& device = "cuda") {
    write(folder_.path() / "wrapper", "rank=$OMPI_COMM_WORLD_RANK\nexport GANYMEDE_CUDA_SIM_DEVICES=H100,H100\n" +
                                          shell + "\necho $$ > pid.$rank\nexec \"$@\"\n");
    return run(Words{"env", "GANYMEDE_CUDA_MODULE=" GANYMEDE_SIMULATED_MODULE, GANYMEDE_LAUNCH "/mpirun", "-n",
                     std::to_string(ranks), "sh", "wrapper"} +
                   tiny_training("run", {"--steps", "3", "--sample-every", "0", "--device", device}),
               folder_.path());
  }
  void expect_one_message(const Ending& ending, int code, const std::string& expression) const {
    EXPECT_EQ(ending.code, code) << ending.err;
    EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
    EXPECT_THAT(ending.err, AllOf(StartsWith("ganymede: "), ContainsRegex(expression)));
    for (int rank = 0; rank < ranks; ++rank) {
      const std::string text = content(folder_.path() / ("pid." + std::to_string(rank)));
      ASSERT_NE(text, "");
      EXPECT_TRUE(eventually([&] { return ::kill(static_cast<pid_t>(std::stol(text)), 0) != 0 && errno == ESRCH; }))
          << "rank " << rank << " is still there";
    }
  }

  TemporaryFolder folder_;
};

TEST_F(GpuFault, TheProgramTrainsOnThem) {
  const Ending ending = train("");
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_EQ(ending.err, "");
  EXPECT_THAT(ending.out, AllOf(HasSubstr("simulated H100 (no GPU)"), HasSubstr("done: 3 steps")));
}

TEST_F(GpuFault, ARankThatCannotBindItsGpu) {
  const std::string rank_1 = "^ganymede: rank 1 on [^ ]*: ";
  expect_one_message(train("[ $rank = 0 ] || export GANYMEDE_CUDA_SIM_DEVICES=H100:busy"), 4,
                     rank_1 + ".*another process has the GPU to itself");
  expect_one_message(train("[ $rank = 0 ] || export CUDA_VISIBLE_DEVICES=7"), 4,
                     rank_1 + ".*no GPU that this process may use.*CUDA_VISIBLE_DEVICES says \"7\"");
  expect_one_message(train("[ $rank = 0 ] || export GANYMEDE_CUDA_SIM_DEVICES=H100", "cuda:1"), 4,
                     rank_1 + "there is no GPU 1 here: this process sees 1");
  expect_one_message(train("export CUDA_VISIBLE_DEVICES=0"), 4, "ranks 0 and 1 on [^ ]* share one GPU");
}

TEST_F(GpuFault, ARankThatFailsInAStep) {
  expect_one_message(train("[ $rank = 0 ] || export GANYMEDE_CUDA_SIM_FAIL=cudaGraphLaunch:1"), 4,
                     "^ganymede: rank 1 on [^ ]*: CUDA could not launch the step's graph");
}

}  // namespace
}  // namespace ganymede::test
