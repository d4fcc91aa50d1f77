// Ranks that die, are stopped or hang: each time the whole job ends in time, with the code that the README names and
// one sentence that names the rank, and no process stays behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "cli/process.hpp"

namespace ganymede::test {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int ranks = 3;
constexpr int deadline = 3;  // seconds; MPI alone may take one to start

class Fault : public ::testing::Test {
 protected:
  [[nodiscard]] const fs::path& here() const { return folder_.path(); }

  // Under launch/mpirun; every rank leaves its process id behind.
  Words job(const Words& program) {
    write(here() / "wrapper",
          "rank=$OMPI_COMM_WORLD_RANK\necho $$ > pid.$rank.part && mv pid.$rank.part pid.$rank\nexec \"$@\"\n");
    return Words{GANYMEDE_LAUNCH "/mpirun", "-n", std::to_string(ranks), "sh", "wrapper"} + program;
  }
  static Words endless(const std::string& out) {
    return tiny_training(out, {"--steps", "1000000000", "--log-every", "10", "--checkpoint-every", "50", "--timeout",
                               std::to_string(deadline)});
  }
  [[nodiscard]] pid_t rank_process(int rank) const {
    const std::string text = content(here() / ("pid." + std::to_string(rank)));
    return text.empty() ? -1 : static_cast<pid_t>(std::stol(text));
  }
  void expect_all_gone() const {
    for (int rank = 0; rank < ranks; ++rank)
      EXPECT_TRUE(eventually([&] { return ::kill(rank_process(rank), 0) != 0 && errno == ESRCH; }))
          << "rank " << rank << " is still there";
  }
  static double seconds_since(Clock::time_point then) {
    return std::chrono::duration<double>(Clock::now() - then).count();
  }

  [[nodiscard]] std::uint64_t newest_checkpoint(const std::string& run) const {
    std::uint64_t step = 0;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(here() / run / "checkpoints", error)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("step-")) step = std::max<std::uint64_t>(step, std::stoull(name.substr(5)));
    }
    return step;
  }

  // SIGKILL or SIGSTOP for one rank once `ready` holds, then what must follow.
  template <class Ready>
  void strike(int rank, int signal, const Ready& ready) {
    SCOPED_TRACE("rank " + std::to_string(rank) + ", signal " + std::to_string(signal));
    for (int r = 0; r < ranks; ++r) fs::remove(here() / ("pid." + std::to_string(r)));
    fs::remove_all(here() / "run");
    Process training(job(endless("run")), here());
    ASSERT_TRUE(eventually([&] { return rank_process(rank) > 0; }));
    ready();
    const Clock::time_point struck = Clock::now();
    ASSERT_EQ(::kill(rank_process(rank), signal), 0);
    const Ending ending = training.wait();
    EXPECT_EQ(ending.code, 6) << ending.err;
    EXPECT_LT(seconds_since(struck), deadline + 5) << ending.err;
    EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
    if (signal == SIGSTOP) {
      EXPECT_THAT(ending.err, ContainsRegex("rank " + std::to_string(rank) + " on [^ ]* holds the others up in "));
      EXPECT_THAT(ending.err, AllOf(HasSubstr("it is stopped"), HasSubstr("only wait")));
    } else if (fs::exists(here() / "run/metrics.jsonl")) {
      EXPECT_THAT(ending.err, ContainsRegex("rank " + std::to_string(rank) + " on [^ ]* died in "));
    }
    expect_all_gone();
  }
  void training() const {
    ASSERT_TRUE(eventually([&] { return !content(here() / "run/metrics.jsonl").empty(); }));
  }

  TemporaryFolder folder_;
};

using EveryFault = Fault;

TEST_F(Fault, AStoppedFirstRankIsNamedByTheOthers) {
  strike(0, SIGSTOP, [&] { training(); });
  // Each has left its part of the story.
  EXPECT_THAT(content(here() / "run/logs/rank-0001.log"),
              AnyOf(HasSubstr("waiting in the sum of gradients"), HasSubstr("waiting in a sum over all ranks")));
  EXPECT_THAT(content(here() / "run/logs/rank-0002.log"), HasSubstr("watchdog: "));
}

TEST_F(Fault, AKilledRankIsNamedByTheOthers) {
  strike(1, SIGKILL, [&] { training(); });
}

// An evaluation in the midst of a training is a stage of its own, and says what it measures.
TEST_F(Fault, ARankThatIsStoppedInAnEvaluationIsNamedWithIt) {
  Process training_process(
      job(tiny_training("run", {"--steps", "1000", "--log-every", "1", "--eval-every", "2", "--eval-samples", "20000",
                                "--eval-metrics", "parzen", "--timeout", std::to_string(deadline)})),
      here());
  training();
  // It takes seconds, and a step some thousandths of one.
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  ASSERT_EQ(::kill(rank_process(1), SIGSTOP), 0);
  const Ending ending = training_process.wait();
  EXPECT_EQ(ending.code, 6) << ending.err;
  EXPECT_THAT(ending.err, ContainsRegex("rank 1 on [^ ]* holds the others up in evaluation after step 2, parzen"));
  expect_all_gone();
}

// A file that is never there holds rank 0 up before the training begins.
TEST_F(Fault, ARankThatIsStuckNamesItself) {
  ASSERT_EQ(::mkfifo((here() / "config.ini").c_str(), 0600), 0);
  const Words stuck = ganymede({"train", "--out", "run", "--config", "config.ini", "--timeout", "3"});
  const Ending several = run(job(stuck), here());
  EXPECT_EQ(several.code, 6);
  EXPECT_EQ(lines(several.err).size(), 1U) << several.err;
  EXPECT_THAT(several.err, AllOf(ContainsRegex("rank 0 on [^ ]* holds the others up in set-up: it is at work there"),
                                 HasSubstr("ranks 1 and 2 only wait")));
  expect_all_gone();
  const Ending alone = run(stuck, here());
  EXPECT_EQ(alone.code, 6);
  EXPECT_THAT(alone.err, AllOf(HasSubstr("nothing was completed for 3 s: in set-up"), Not(HasSubstr("rank"))));
}

// A folder that stands still from some call on, on the rank that this is started on.
std::string standing_still(int first) {
  return "GANYMEDE_FAILING_CALLS=run/:" + std::to_string(first) + ":1000000000:-60000";
}
const Words hanging = {"env", "LD_PRELOAD=" GANYMEDE_FAILING_CALLS_LIBRARY};
Words watched(int seconds) {
  return tiny_training("run", {"--steps", "1000000000", "--log-every", "1", "--timeout", std::to_string(seconds)});
}

// A file server that stops answering holds up rank 0, and whoever writes to a log.
TEST_F(Fault, AFolderThatNoLongerAnswersEndsTheJobInTime) {
  const auto expect_an_end = [&](const Words& words, int within) {
    Process training_process(words, here());
    training();
    std::string records;
    Clock::time_point last = Clock::now();
    while (seconds_since(last) < 0.7) {
      if (const std::string now = content(here() / "run/metrics.jsonl"); now != records) {
        records = now;
        last = Clock::now();
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    const Ending ending = training_process.wait();
    EXPECT_EQ(ending.code, 6);
    EXPECT_LT(seconds_since(last), within + 5);
    EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
    EXPECT_THAT(ending.err, AllOf(HasSubstr("in record after step "), HasSubstr("it is at work there")));
    return ending.err;
  };
  (void)expect_an_end(hanging + Words{standing_still(300)} + watched(1), 1);
  // The others' logs can be opened once and hold what a training begins with.
  const auto first_lines = static_cast<int>(lines(content(here() / "run/logs/rank-0000.log")).size());
  fs::remove_all(here() / "run");
  write(here() / "by-rank", "[ $OMPI_COMM_WORLD_RANK = 0 ] && export " + standing_still(300) + " || export " +
                                standing_still(first_lines + 1) + "\nexec \"$@\"\n");
  EXPECT_THAT(expect_an_end(job(hanging + Words{"sh", "by-rank"} + watched(deadline)), deadline),
              ContainsRegex("rank 0 on [^ ]* holds the others up"));
  expect_all_gone();
}

// That nobody reads what it prints is no reason for a training to stand still, and for its watchdog none to wait.
TEST_F(Fault, ATerminalThatTakesNothingHidesNoHang) {
  TerminalProcess training_process(hanging + Words{standing_still(2000)} + watched(1), here());
  training();
  training_process.type("\x13");
  const Clock::time_point stopped = Clock::now();
  const Ending ending = training_process.wait();
  EXPECT_EQ(ending.code, 6);
  EXPECT_LT(seconds_since(stopped), 15);
}

// Every command is watched: this one's rank 0 draws, and the others wait for it.
TEST_F(Fault, ACommandThatIsNoTrainingEndsInTimeToo) {
  ASSERT_EQ(
      run(ganymede({"train", "--out", "run", "--steps", "1", "--batch", "8", "--sample-count", "4"}), here()).code, 0);
  Process sample(job(ganymede({"sample", "run", "--count", "100000", "--timeout", std::to_string(deadline)})), here());
  ASSERT_TRUE(eventually([&] { return rank_process(0) > 0; }));
  // It takes more than ten seconds, of which it begins to draw in the first two.
  std::this_thread::sleep_for(std::chrono::seconds(2));
  const Clock::time_point struck = Clock::now();
  ASSERT_EQ(::kill(rank_process(0), SIGSTOP), 0);
  const Ending ending = sample.wait();
  EXPECT_EQ(ending.code, 6) << ending.err;
  EXPECT_LT(seconds_since(struck), deadline + 5) << ending.err;
  EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
  EXPECT_THAT(ending.err, ContainsRegex("rank 0 on [^ ]* holds the others up in sample: it is stopped"));
  EXPECT_THAT(
      ending.err,
      HasSubstr("ranks 1 and 2 only wait. Its last file may be missing, or in a pipe cut short: start it again\n"));
  expect_all_gone();
  EXPECT_FALSE(fs::exists(here() / "samples.png"));
}

// A rank that does not answer ends the doctor, and is what it says.
TEST_F(Fault, ARankThatIsStoppedUnderTheDoctorIsNamed) {
  // Meanwhile rank 0 waits for the disk.
  Process doctor(job(Words{"env", "LD_PRELOAD=" GANYMEDE_FAILING_CALLS_LIBRARY,
                           "GANYMEDE_FAILING_CALLS=.ganymede-doctor:3:3:-30000"} +
                     ganymede({"doctor", "--timeout", std::to_string(deadline)})),
                 here());
  ASSERT_TRUE(eventually([&] {
    return std::any_of(fs::directory_iterator(here()), fs::directory_iterator(),
                       [](const auto& entry) { return entry.path().filename().string().starts_with(".ganymede"); });
  }));
  const Clock::time_point struck = Clock::now();
  ASSERT_EQ(::kill(rank_process(1), SIGSTOP), 0);
  const Ending ending = doctor.wait();
  EXPECT_EQ(ending.code, 6) << ending.err;
  EXPECT_LT(seconds_since(struck), deadline + 5) << ending.err;
  EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
  // Rank 0 may come to the folder while rank 1 still looks around.
  EXPECT_THAT(ending.err, ContainsRegex("rank 1 on [^ ]* holds the others up in doctor, "
                                        "(looking around|the folder): it is stopped"));
  expect_all_gone();
}

// Who reads page by page takes as long as that takes: the program that waits in a write is not hung.
TEST_F(Fault, AReaderOfTheOutputMayTakeItsTime) {
  std::string records;
  for (int step = 1; step <= 6000; ++step) records += "{\"step\":" + std::to_string(step) + "}\n";
  write(here() / "run/metrics.jsonl", records);
  write(here() / "run/config.ini", "");
  const std::string command = "set -o pipefail; '" + ganymede({})[0] + "' metrics run --csv --timeout 1 | ";
  const Ending prompt = run({"bash", "-c", command + "cat"}, here());
  ASSERT_EQ(prompt.code, 0) << prompt.err;
  ASSERT_GT(prompt.out.size(), std::size_t{1} << 17);  // more than a pipe holds
  const Ending slow = run({"bash", "-c", command + "(sleep 3; cat)"}, here());
  EXPECT_EQ(slow.code, 0) << slow.err;
  EXPECT_EQ(slow.out, prompt.out);
}

// Under srun, which sets no variable of Open MPI's: a rank that is stopped while MPI starts, when nobody can be asked.
TEST_F(Fault, ARankThatIsStoppedBeforeTheRanksMeetIsNamedUnderSrunAsWell) {
  write(here() / "as-srun",
        "exec env -u OMPI_COMM_WORLD_RANK -u OMPI_COMM_WORLD_SIZE SLURM_STEP_NUM_TASKS=$OMPI_COMM_WORLD_SIZE sh -c "
        "'[ $PMIX_RANK = 1 ] && kill -STOP $$; exec \"$@\"' sh \"$@\"\n");
  const Ending ending =
      run(job(Words{"sh", "as-srun"} + tiny_training("run", {"--timeout", std::to_string(deadline)})), here());
  EXPECT_EQ(ending.code, 6) << ending.err;
  EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
  EXPECT_THAT(ending.err, AllOf(ContainsRegex("rank 1 on [^ ]* holds the others up in "), HasSubstr("it is stopped")));
  expect_all_gone();
}

// Data that end too early, on the only rank that reads them.
TEST_F(Fault, ARankThatFailsInTheData) {
  write(here() / "set/train-images-idx3-ubyte", std::string("\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x01X", 17));
  const Ending ending = run(job(ganymede({"train", "--out", "run", "--data", "set"})), here());
  EXPECT_EQ(ending.code, 3) << ending.err;
  EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
  EXPECT_THAT(ending.err, AllOf(HasSubstr("rank 0 on "), HasSubstr("train-images-idx3-ubyte")));
  expect_all_gone();
}

// The second rank's device, of a kind that stands in for a GPU: none is there, or it fails in a step.
TEST_F(Fault, ARankWhoseDeviceIsAbsentOrFailsInAStep) {
  const auto train = [&](const std::string& wrong) {
    fs::remove_all(here() / "run");
    write(here() / "by-rank",
          "[ $OMPI_COMM_WORLD_RANK != 1 ] || export GANYMEDE_TEST_DEVICE='" + wrong + "'\nexec \"$@\"\n");
    return run(job(Words{"env", "GANYMEDE_CUDA_MODULE=" GANYMEDE_FAILING_DEVICE, "sh", "by-rank"} +
                   tiny_training("run", {"--device", "cuda", "--steps", "9", "--log-every", "1"})),
               here());
  };
  const Ending sound = train("nothing");
  EXPECT_EQ(sound.code, 0) << sound.err;
  expect_all_gone();
  const auto expect_end = [&](const std::string& wrong, const std::string& says) {
    const Ending ending = train(wrong);
    EXPECT_EQ(ending.code, 4) << ending.err;
    EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
    EXPECT_THAT(ending.err, ContainsRegex("^ganymede: rank 1 on [^ ]*: " + says));
    expect_all_gone();
  };
  expect_end("absent", "the NVIDIA driver sees no GPU that this process may use");
  EXPECT_FALSE(fs::exists(here() / "run"));
  const std::string failed = "the device has failed; this was in step 3, loss\n";
  expect_end("step 3", failed);
  // The others, which the end of the job meets in a sum, know nothing of it.
  EXPECT_THAT(content(here() / "run/logs/rank-0001.log"), ContainsRegex(" error " + failed));
}

// From some moment on the rank that writes gets no more memory, and finds that out in a checkpoint.
TEST_F(Fault, ARankThatFailsInACheckpoint) {
  Process training_process(job(endless("run")), here());
  ASSERT_TRUE(eventually([&] { return newest_checkpoint("run") > 0; }));
  const rlimit no_more = {1, RLIM_INFINITY};
  ASSERT_EQ(::prlimit(rank_process(0), RLIMIT_AS, &no_more, nullptr), 0);
  const Ending ending = training_process.wait();
  EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
  if (ending.code == 4) {  // it was about to write a record, which now and then needs memory first
    const std::string where = "out of memory; .*; this was in .*step [0-9]+";
    EXPECT_THAT(ending.err, ContainsRegex("^ganymede: (rank 0 on [^ ]*: )?" + where));
    EXPECT_THAT(content(here() / "run/logs/rank-0000.log"), ContainsRegex(where));
    return expect_all_gone();
  }
  EXPECT_EQ(ending.code, 3) << ending.err;
  EXPECT_THAT(ending.err, ContainsRegex("^ganymede: rank 0 on [^ ]*: the checkpoint of step [0-9]* could not be written"
                                        "(: out of memory|, as no thread could be started for it: .*); "
                                        "the checkpoint of step [0-9]* in run still stands"));
  expect_all_gone();
}

// A file system that stands still under a checkpoint, which is noticed when the next one is due.
TEST_F(Fault, ACheckpointThatHangsEndsTheJobAndIsNamed) {
  const std::string hang = "GANYMEDE_FAILING_CALLS=/checkpoints/:5:1000000000:-60000";
  const Clock::time_point began = Clock::now();
  const Ending ending = run(job(hanging + Words{hang} +
                                tiny_training("run", {"--steps", "100", "--checkpoint-every", "50", "--timeout", "2"})),
                            here());
  EXPECT_EQ(ending.code, 6) << ending.err;
  EXPECT_LT(seconds_since(began), 2 + 5 + 5) << "two to begin in, and MPI's start";
  EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
  EXPECT_THAT(ending.err,
              ContainsRegex("rank 0 on [^ ]* holds the others up in checkpoint after step 100, being written: "
                            "it is at work there"));
  expect_all_gone();
}

// A file system that takes longer for the last checkpoint than the deadline, and gets on.
TEST_F(Fault, ACheckpointThatTakesLongerThanTheDeadlineIsWaitedFor) {
  const int delay = 120;  // ms, of each system call
  Process training_process(
      job(Words{"env", "LD_PRELOAD=" GANYMEDE_FAILING_CALLS_LIBRARY,
                "GANYMEDE_FAILING_CALLS=/checkpoints:0:1000000000:" + std::to_string(-delay)} +
          tiny_training("run", {"--steps", "1000000000", "--log-every", "10", "--timeout", std::to_string(deadline)})),
      here());
  training();
  const Clock::time_point asked = Clock::now();
  training_process.send(SIGUSR1);
  const Ending ending = training_process.wait();
  EXPECT_EQ(ending.code, 75) << ending.err;
  EXPECT_EQ(ending.err, "");
  EXPECT_GT(seconds_since(asked), deadline + 2);
  EXPECT_THAT(content(here() / "run/logs/rank-0001.log"), HasSubstr("being written"));
  expect_all_gone();
}

// A rank on a host that is overloaded works at one step for longer than the deadline, and says so when it is asked.
TEST_F(EveryFault, AStepThatTakesLongerThanTheDeadlineIsWaitedFor) {
  Process training_process(job(ganymede({"train", "--out", "run", "--generator-hidden", "512", "--discriminator-hidden",
                                         "512", "--batch", "9000", "--threads", "1", "--sample-count", "4", "--steps",
                                         "1000000000", "--log-every", "1", "--timeout", "2"})),
                           here());
  ASSERT_TRUE(eventually([&] { return lines(content(here() / "run/metrics.jsonl")).size() > 2; }));
  const Clock::time_point slowed = Clock::now();
  while (seconds_since(slowed) < 9) {
    ::kill(rank_process(1), SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(475));
    ::kill(rank_process(1), SIGCONT);
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  training_process.send(SIGUSR1);
  const Ending ending = training_process.wait();
  EXPECT_EQ(ending.code, 75) << ending.err;
  EXPECT_EQ(ending.err, "");
  EXPECT_THAT(content(here() / "run/logs/rank-0000.log"), ContainsRegex("waiting on for rank 1 on .*: step [0-9]"));
  EXPECT_THAT(content(here() / "run/logs/rank-0001.log"),
              ContainsRegex("rank 0 asks where the others are; this rank: step [0-9].*, since [0-9]+ s\n"));
  expect_all_gone();
}

// What takes longer than the deadline, and gets on, ends nothing; nor does a job that was stopped as a whole, by
// Ctrl-Z.
TEST_F(Fault, AJobThatIsStoppedAndContinuedGoesOn) {
  Process training_process(
      job(tiny_training("run", {"--steps", "1000000000", "--log-every", "10", "--timeout", std::to_string(deadline)})),
      here());
  training();
  training_process.send(SIGTSTP);
  std::this_thread::sleep_for(std::chrono::milliseconds(1000));
  const std::string before = content(here() / "run/metrics.jsonl");
  std::this_thread::sleep_for(std::chrono::milliseconds(1000 * deadline - 500));
  EXPECT_EQ(content(here() / "run/metrics.jsonl"), before) << "the ranks went on";
  training_process.send(SIGCONT);
  ASSERT_TRUE(eventually([&] { return content(here() / "run/metrics.jsonl").size() > before.size() + 500; }));
  training_process.send(SIGUSR1);
  const Ending ending = training_process.wait();
  EXPECT_EQ(ending.code, 75) << ending.err;
  EXPECT_EQ(ending.err, "");
  expect_all_gone();
  // It ends where it was saved.
  std::string step = std::to_string(newest_checkpoint("run"));
  EXPECT_THAT(ending.out, HasSubstr("stopped at step " + step + " with a complete checkpoint"));
  EXPECT_THAT(lines(content(here() / "run/metrics.jsonl")).back(), HasSubstr("{\"step\":" + step + ","));
}

// A rank 0 whose host is cut off from the file server loses its lock there, and another training takes the folder over.
TEST_F(Fault, WhoHasLostTheFolderWritesNothingMoreToIt) {
  const Words options = {"--reproducible", "--log-every", "10", "--checkpoint-every", "20"};
  Process lost(tiny_training("run", options + Words{"--steps", "1000000000", "--resume"}), here());
  ASSERT_TRUE(eventually([&] { return newest_checkpoint("run") > 0; }));
  lost.send(SIGSTOP);
  // What a lock server does that gives up a client: the same file, and nobody's lock.
  fs::copy_file(here() / "run/.lock", here() / "copy");
  fs::rename(here() / "copy", here() / "run/.lock");
  const Ending next =
      run(tiny_training("run", options + Words{"--steps", std::to_string(newest_checkpoint("run") + 50), "--resume"}),
          here());
  ASSERT_EQ(next.code, 0) << next.err;
  const Snapshot before = snapshot(here() / "run");
  lost.send(SIGCONT);
  const Ending ending = lost.wait();
  EXPECT_EQ(ending.code, 3);
  EXPECT_THAT(ending.err, ContainsRegex("the run's folder was taken over by process [0-9]+ on [^ ]* since "));
  // Its log, and a record that was under way when it was stopped, are all that it adds.
  Snapshot after = snapshot(here() / "run");
  for (const auto& [file, state] : before) {
    const bool may_grow = file.find("logs/") != std::string::npos || file.find("metrics.jsonl") != std::string::npos;
    EXPECT_TRUE(may_grow || after[file] == state) << file;
  }
  EXPECT_EQ(after.size(), before.size());
}

// Sums of --reproducible hold what is below 1024: this learning rate leads out of them three times, near steps 5, 8 and
// 51.
TEST_F(Fault, ATrainingGoesBackFromNumbersThatAreNotFinite) {
  const Words wild = {"--discriminator-hidden",
                      "8,8,8,8,8,8,8,8",
                      "--discriminator-activation",
                      "leaky-relu",
                      "--checkpoint-every",
                      "10",
                      "--log-every",
                      "1",
                      "--reproducible"};
  const auto train = [&](const std::string& out, const Words& more, const std::string& learning_rate = "0.5",
                         const std::string& batch = "24") {
    Words words = ganymede({"train", "--out", out, "--latent", "4", "--generator-hidden", "8", "--batch", batch,
                            "--threads", "1", "--sample-count", "4"});
    return words + wild + Words{"--learning-rate", learning_rate} + more;
  };
  const Ending whole = run(train("whole", {"--steps", "60"}), here());
  ASSERT_EQ(whole.code, 0) << whole.err;
  EXPECT_THAT(whole.err, AllOf(HasSubstr("back to the initial weights, with half the learning rate (roll-back 2 of 3)"),
                               HasSubstr("back to step-00000040, with half the learning rate (roll-back 3 of 3)")));
  // The log shows each step once, with the learning rate that it was made with.
  const std::vector<std::string> records = lines(content(here() / "whole/metrics.jsonl"));
  ASSERT_EQ(records.size(), 60U);
  EXPECT_THAT(records[39], AllOf(HasSubstr("\"step\":40,"), HasSubstr("\"g_learning_rate\":0.125,")));
  EXPECT_THAT(records[40], AllOf(HasSubstr("\"step\":41,"), HasSubstr("\"g_learning_rate\":0.0625,")));
  EXPECT_THAT(content(here() / "whole/logs/rank-0000.log"), HasSubstr("roll-back 3 of 3"));

  // On other numbers of ranks, and with interruptions in between, one of them after the last regular checkpoint.
  for (const auto& [steps, count] : {std::pair{"40", "2"}, std::pair{"46", "1"}, std::pair{"60", "3"}}) {
    const Ending part = run(mpirun({"-n", count}, train("parts", {"--steps", steps, "--resume"})), here());
    ASSERT_EQ(part.code, 0) << part.err;
  }
  for (const char* name : {"generator.safetensors", "discriminator.safetensors"})
    EXPECT_TRUE(content(here() / "whole" / name) == content(here() / "parts" / name)) << name;

  // Nor does it matter which checkpoints are kept: what a roll-back leads to is.
  for (const char* steps : {"46", "60"}) {
    const Ending part = run(train("one", {"--steps", steps, "--keep", "1", "--resume"}), here());
    ASSERT_EQ(part.code, 0) << part.err;
  }
  EXPECT_TRUE(content(here() / "whole/generator.safetensors") == content(here() / "one/generator.safetensors"));

  // A damaged one is passed over, and named.
  ASSERT_EQ(run(train("damaged", {"--steps", "46"}), here()).code, 0);
  damage(here() / "damaged/checkpoints/step-00000040/discriminator.safetensors");
  const Ending further = run(mpirun({"-n", "2"}, train("damaged", {"--steps", "60", "--resume"})), here());
  EXPECT_EQ(further.code, 0) << further.err;
  EXPECT_THAT(further.err,
              ContainsRegex("warning: damaged/checkpoints/step-00000040/discriminator.safetensors[^\n]*\n"
                            "[^\n]*back to step-00000030, with half the learning rate \\(roll-back 3 of 3\\)"));
  EXPECT_THAT(content(here() / "damaged/logs/rank-0000.log"), HasSubstr("step-00000040/discriminator.safetensors"));

  // Images are counted from where it went back to, also when batches have been of another size since.
  ASSERT_EQ(run(train("counted", {"--steps", "46"}), here()).code, 0);
  const Ending larger =
      run(train("counted", {"--steps", "60", "--resume", "--allow-change", "batch"}, "0.5", "48"), here());
  ASSERT_EQ(larger.code, 0) << larger.err;
  EXPECT_THAT(larger.err, HasSubstr("back to step-00000040"));
  const std::vector<std::string> counted = lines(content(here() / "counted/metrics.jsonl"));
  ASSERT_EQ(counted.size(), 60U);
  EXPECT_THAT(counted[40], HasSubstr("\"step\":41,\"images_seen\":" + std::to_string(40 * 24 + 48) + ","));

  // A fourth time is one too many; --on-nan stop and skip do as they say.
  const Ending lost = run(train("lost", {"--steps", "60"}, "3"), here());
  EXPECT_EQ(lost.code, 5) << lost.err;
  EXPECT_THAT(lost.err, HasSubstr("nor did it help to go back 3 times"));
  const Ending skipped = run(train("skipped", {"--steps", "2000", "--on-nan", "skip"}), here());
  EXPECT_EQ(skipped.code, 5) << skipped.err;
  EXPECT_THAT(skipped.err, HasSubstr("nor that of the 99 before it"));
  const Ending stopped = run(train("stopped", {"--steps", "60", "--on-nan", "stop"}), here());
  EXPECT_EQ(stopped.code, 5) << stopped.err;
  EXPECT_EQ(lines(stopped.err).size(), 1U) << stopped.err;
}

// What keeps a training from going back is what it ends with, not that it had to.
TEST_F(Fault, ATrainingThatCannotGoBackSaysWhy) {
  Words wild = diverging_training("run");
  std::replace(wild.begin(), wild.end(), std::string("stop"), std::string("rollback"));
  Words calm = wild;
  std::replace(calm.begin(), calm.end(), std::string("1000"), std::string("0.001"));
  std::replace(calm.begin(), calm.end(), std::string("2000"), std::string("1"));
  std::replace(calm.begin(), calm.end(), std::string("run"), std::string("before"));
  ASSERT_EQ(run(calm, here()).code, 0);
  // Its weights are opened and closed once at the start, and cannot be opened when it goes back to them.
  const Words unreadable = {"env", "LD_PRELOAD=" GANYMEDE_FAILING_CALLS_LIBRARY,
                            "GANYMEDE_FAILING_CALLS=before/generator:2:1000000000:" + std::to_string(EIO)};
  const Ending ending = run(unreadable + wild + Words{"--init-from", "before/generator.safetensors"}, here());
  EXPECT_EQ(ending.code, 3) << ending.err;
  EXPECT_THAT(ending.err, AllOf(HasSubstr("are not finite, and the training cannot go back: "),
                                HasSubstr("before/generator.safetensors"), HasSubstr("Input/output error")));
}

TEST_F(EveryFault, EachRankAndSignalAtAnyInstant) {
  std::mt19937 random(5);
  for (const int signal : {SIGSTOP, SIGKILL})
    for (int rank = 0; rank < ranks; ++rank) {
      const auto wait = [&](unsigned most) { std::this_thread::sleep_for(std::chrono::milliseconds(random() % most)); };
      // From the start of the ranks on, MPI's included.
      strike(rank, signal, [&] { wait(300); });
      strike(rank, signal, [&] {
        training();
        wait(500);
      });
    }
}

}  // namespace
}  // namespace ganymede::test
