// Checkpoints that cannot be written, on one rank and two: training stops or goes on, as it was told, and what stands
// is sound. The disk's failures come from tests/support/failing_calls.
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
using ::testing::Not;
using ::testing::StartsWith;
namespace fs = std::filesystem;

const Words often = {"--checkpoint-every", "5", "--log-every", "3"};

class CheckpointFailure : public ::testing::TestWithParam<int> {
 protected:
  [[nodiscard]] const fs::path& here() const { return folder_.path(); }

  // A training in which calls on files whose path contains `path` fail.
  static Words failing(const std::string& path, int error, const Words& more) {
    const Words program = Words{"env", "LD_PRELOAD=" GANYMEDE_FAILING_CALLS_LIBRARY,
                                "GANYMEDE_FAILING_CALLS=" + path + ":0:1000000000:" + std::to_string(error)} +
                          training("run", more);
    return GetParam() == 1 ? program : mpirun({"-n", std::to_string(GetParam())}, program);
  }
  static Words training(const std::string& out, const Words& more) {
    return tiny_training(out, Words{"--reproducible"} + more);
  }
  [[nodiscard]] std::vector<std::string> checkpoints() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(here() / "run/checkpoints"))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  // The run goes on, and ends as one that met no failure.
  void expect_sound(const std::string& resumed_from) {
    const Ending ending = run(training("run", often + Words{"--steps", "30", "--resume"}), here());
    EXPECT_EQ(ending.code, 0) << ending.err;
    EXPECT_EQ(ending.err, "");
    EXPECT_THAT(ending.out, HasSubstr("resumed from " + resumed_from));
    ASSERT_EQ(run(training("whole", often + Words{"--steps", "30"}), here()).code, 0);
    for (const char* name : {"generator.safetensors", "discriminator.safetensors"}) {
      EXPECT_NE(content(here() / "run" / name), "");
      EXPECT_TRUE(content(here() / "run" / name) == content(here() / "whole" / name)) << name;
    }
  }

  TemporaryFolder folder_;
};

TEST_P(CheckpointFailure, EndsTheTrainingAndTheOneBeforeStands) {
  const Ending ending = run(failing("step-00000015", ENOSPC, often + Words{"--steps", "1000000000"}), here());
  EXPECT_EQ(ending.code, 3);
  EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
  EXPECT_THAT(ending.err, AllOf(StartsWith("ganymede: "), HasSubstr("the checkpoint of step 15 could not be written"),
                                HasSubstr("No space left on device"),
                                HasSubstr("the checkpoint of step 10 in run still stands"), HasSubstr("--resume")));
  EXPECT_THAT(checkpoints(), ::testing::Contains("step-00000010"));
  EXPECT_THAT(checkpoints(), Not(::testing::Contains("step-00000015")));
  expect_sound("step-00000010");
}

TEST_P(CheckpointFailure, IsWarnedOfAndTheNextIsWritten) {
  const Ending ending = run(
      failing("step-00000015", EROFS, often + Words{"--steps", "30", "--checkpoint-failure", "warn", "--keep", "0"}),
      here());
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
  EXPECT_THAT(ending.err,
              AllOf(StartsWith("ganymede: warning: "), HasSubstr("the checkpoint of step 15 could not be written"),
                    HasSubstr("Read-only file system"), HasSubstr("training goes on")));
  EXPECT_THAT(content(here() / "run/logs/rank-0000.log"), HasSubstr("warning the checkpoint of step 15"));
  EXPECT_THAT(checkpoints(), AllOf(::testing::Contains("step-00000010"), ::testing::Contains("step-00000020")));
  expect_sound("step-00000030");
}

TEST_P(CheckpointFailure, OfTheLastStateIsAnErrorAllTheSame) {
  // Steps 25 and 30. The final weights are there: nothing of the training is lost.
  const Ending ending =
      run(failing("/checkpoints/.step-0000002", EIO, often + Words{"--steps", "29", "--checkpoint-failure", "warn"}),
          here());
  EXPECT_EQ(ending.code, 3);
  EXPECT_THAT(ending.err,
              AllOf(HasSubstr("the checkpoint of step 29 could not be written"), HasSubstr("Input/output error"),
                    HasSubstr("the checkpoint of step 15 in run still stands")));
  EXPECT_EQ(lines(ending.err).size(), 3U) << ending.err;  // warnings of steps 20 and 25
  EXPECT_NE(content(here() / "run/generator.safetensors"), "");
  expect_sound("step-00000015");
}

// 75 says that nothing is lost: not so when the state cannot be saved.
TEST_P(CheckpointFailure, AStopThatCannotBeSavedIsAnError) {
  for (const char* policy : {"warn", "stop"}) {
    SCOPED_TRACE(policy);
    fs::remove_all(here() / "run");
    Process training(failing("run/checkpoints/.", ENOSPC,
                             {"--steps", "1000000000", "--checkpoint-every", "0", "--log-every", "3",
                              "--checkpoint-failure", policy}),
                     here());
    ASSERT_TRUE(eventually([&] { return !content(here() / "run/metrics.jsonl").empty(); }));
    training.send(SIGUSR1);
    const Ending ending = training.wait();
    EXPECT_EQ(ending.code, 3) << ending.err;
    EXPECT_THAT(ending.err, AllOf(HasSubstr("could not be written"), HasSubstr("no checkpoint was written before it")));
    EXPECT_THAT(ending.out, Not(HasSubstr("with a complete checkpoint")));
  }
}

// A full disk takes no records and pictures either.
TEST_P(CheckpointFailure, NorDoRecordsAndPicturesEndATrainingThatIsToGoOn) {
  struct Case {
    const char* path;
    int error;
    const char* says;
  };
  for (const Case& c :
       {Case{"run/metrics.jsonl", 0, "records are missing"}, Case{"run/samples/.", ENOSPC, "pictures are missing"}}) {
    SCOPED_TRACE(c.path);
    fs::remove_all(here() / "run");
    const Words options = often + Words{"--steps", "30", "--sample-every", "10"};
    const Ending warned = run(failing(c.path, c.error, options + Words{"--checkpoint-failure", "warn"}), here());
    EXPECT_EQ(warned.code, 0) << warned.err;
    EXPECT_EQ(lines(warned.err).size(), 1U) << warned.err;
    EXPECT_THAT(warned.err, AllOf(StartsWith("ganymede: warning: "), HasSubstr(c.says), HasSubstr(" on ")));
    expect_sound("step-00000030");
    fs::remove_all(here() / "run");
    fs::remove_all(here() / "whole");
    EXPECT_EQ(run(failing(c.path, c.error, options), here()).code, 3);
  }
}

// A disk that has room for one of the two alone must leave no G of one step beside a D of another.
TEST_P(CheckpointFailure, FinalWeightsThatCannotBeWrittenLeaveThePairBefore) {
  ASSERT_EQ(run(training("run", often + Words{"--steps", "30"}), here()).code, 0);
  for (const char* broken : {"run/.generator", "run/.discriminator"}) {
    SCOPED_TRACE(broken);
    const Ending ending = run(failing(broken, ENOSPC, often + Words{"--steps", "60", "--resume"}), here());
    EXPECT_EQ(ending.code, 3);
    EXPECT_THAT(ending.err, AllOf(HasSubstr("No space left on device"), HasSubstr("step 60 in run still stands")));
    for (const char* name : {"generator.safetensors", "discriminator.safetensors"})
      EXPECT_THAT(run(ganymede({"inspect", std::string("run/") + name}), here()).out, ContainsRegex("\nstep +30\n"));
  }
}

// What is lost at every step, or at every checkpoint, is told once.
TEST_P(CheckpointFailure, ALogAndAReportThatAreLostAreToldOfOnce) {
  fs::create_directories(here() / "run/logs");
  fs::create_symlink("/dev/full", here() / "run/logs/rank-0000.log");
  const Ending ending =
      run(failing("run/.report", ENOSPC, often + Words{"--steps", "30", "--checkpoint-failure", "warn"}), here());
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_EQ(lines(ending.err).size(), 2U) << ending.err;
  EXPECT_THAT(ending.err, AllOf(HasSubstr("ganymede: warning: the log is incomplete, training goes on: "),
                                HasSubstr("ganymede: warning: the report was not written: run/report.html"),
                                HasSubstr("No space left on device")));
}

// A disk so slow that a checkpoint takes seconds: training goes on meanwhile, up to where the next is due.
TEST_P(CheckpointFailure, ASlowDiskIsWaitedForOnlyWhenTheNextIsDue) {
  Process training(failing("step-00000100", -100,
                           {"--steps", "1000000000", "--checkpoint-every", "100", "--log-every", "1", "--keep", "0"}),
                   here());
  const auto steps = [&] { return lines(content(here() / "run/metrics.jsonl")).size(); };
  const auto written = [&] { return fs::exists(here() / "run/checkpoints/step-00000100"); };
  ASSERT_TRUE(eventually([&] { return steps() >= 150; }));
  EXPECT_FALSE(written());
  // Lines are counted first: what is there by then was there before the checkpoint was.
  std::size_t before = 0;
  ASSERT_TRUE(eventually([&] {
    const std::size_t now = steps();
    if (written()) return true;
    before = now;
    return false;
  }));
  EXPECT_EQ(before, 200U);
  training.send(SIGUSR1);
  const Ending ending = training.wait();
  ASSERT_EQ(ending.code, 75) << ending.err;
  std::string step = std::to_string(steps());
  step.insert(0, 8 - step.size(), '0');
  EXPECT_EQ(checkpoints().back(), "step-" + step) << "training went beyond what is saved";
  EXPECT_THAT(content(here() / "run/logs/rank-0000.log"),
              ::testing::ContainsRegex("[1-9][0-9]* checkpoints written, [1-9][0-9]* of them waited for"));
}

INSTANTIATE_TEST_SUITE_P(Ranks, CheckpointFailure, ::testing::Values(1, 2));

}  // namespace
}  // namespace ganymede::test
