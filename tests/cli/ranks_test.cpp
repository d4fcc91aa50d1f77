// The program on several ranks: the same bytes, failures of one rank that end all, signals through launchers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>

#include "cli/process.hpp"
#include "support/environment.hpp"

namespace ganymede::test {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace fs = std::filesystem;

class Ranks : public ::testing::Test {
 protected:
  [[nodiscard]] const fs::path& here() const { return folder_.path(); }

  // A program in front of each rank: it leaves the rank's process id behind and then runs `shell`, in which
  // $rank is the rank and "$@" the program.
  Words wrapped(const std::string& shell, const Words& program) {
    write(here() / "wrapper",
          "rank=$OMPI_COMM_WORLD_RANK\necho $$ > pid.$rank.part && mv pid.$rank.part pid.$rank\n" + shell + "\n");
    return Words{"sh", "wrapper"} + program;
  }
  [[nodiscard]] pid_t rank_process(int rank) const {
    const std::string text = content(here() / ("pid." + std::to_string(rank)));
    return text.empty() ? -1 : static_cast<pid_t>(std::stol(text));
  }
  void expect_all_gone(int ranks) const {
    for (int rank = 0; rank < ranks; ++rank) {
      const pid_t pid = rank_process(rank);
      ASSERT_GT(pid, 0);
      EXPECT_TRUE(eventually([&] { return ::kill(pid, 0) != 0 && errno == ESRCH; }))
          << "rank " << rank << " is still there";
    }
  }
  static void expect_one_message(const Ending& ending, int code, const std::string& says) {
    EXPECT_EQ(ending.code, code) << ending.err;
    EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
    EXPECT_THAT(ending.err, AllOf(StartsWith("ganymede: "), HasSubstr(says)));
  }
  void expect_same_weights(const std::string& a, const std::string& b) {
    for (const char* name : {"generator.safetensors", "discriminator.safetensors"}) {
      EXPECT_NE(content(here() / a / name), "");
      EXPECT_TRUE(content(here() / a / name) == content(here() / b / name)) << a << " and " << b << ": " << name;
    }
  }

  TemporaryFolder folder_;
};

const Words exact = {"--reproducible", "--log-every", "1", "--checkpoint-every", "0"};

TEST_F(Ranks, OneRankThatCannotWriteEndsAll) {
  fs::create_directories(here() / "run/logs/rank-0001.log");
  const Ending ending =
      run(mpirun({"-n", "3"}, wrapped("exec \"$@\"", tiny_training("run", {"--steps", "3"}))), here());
  expect_one_message(ending, 3, "rank-0001.log");
  EXPECT_THAT(ending.err, HasSubstr("rank 1 on "));
  expect_all_gone(3);
}

TEST_F(Ranks, RanksThatWereToldDifferentThings) {
  const std::string here_is = [] {
    std::array<char, 256> name{};
    ::gethostname(name.data(), name.size() - 1);
    return std::string(name.data());
  }();
  const auto expect_refused = [&](const Words& first, const Words& second, const std::string& with,
                                  const std::string& other) {
    const Ending ending = run(mpirun({"-n", "2"}, first) + Words{":", "-n", "1"} + second, here());
    expect_one_message(ending, 2,
                       "rank 0 on " + here_is + " was started " + with + ", rank 2 on " + here_is + " " + other +
                           ": start all ranks with the same command line\n");
  };
  const auto training = [](const Words& more) { return tiny_training("run", Words{"--steps", "3"} + more); };
  expect_refused(training({"--learning-rate", "0.1", "--r1", "5"}), training({"--learning-rate", "0.2", "--r1", "5"}),
                 "with '--learning-rate 0.1'", "with '--learning-rate 0.2'");
  expect_refused(training({}), training({"--resume"}), "without '--resume'", "with it");
  expect_refused(training({"--resume", "--seed", "1"}), training({"--seed", "1"}), "with '--resume'", "without it");
  expect_refused(ganymede({"recipes"}), ganymede({"--version"}), "with 'recipes'", "with '--version'");
  EXPECT_FALSE(fs::exists(here() / "run"));
}

// Ranks on hosts that share no folder: rank 0's files count, and the others need none of them.
TEST_F(Ranks, OnlyTheFirstNeedsToSeeTheFiles) {
  write(here() / "0/c.ini",
        "batch = 20\nsteps = 4\nseed = 9\nreproducible = true\nloss = wasserstein\nr1 = 0\nr2 = 10\n"
        "d-burst = 2\noptimizer = rmsprop\nclip-weights = 0.05\n");
  write(here() / "1/c.ini", "batch = 30\n");
  fs::create_directory(here() / "2");
  const auto apart = [&](const Words& words) {
    return run(mpirun({"-n", "3"}, wrapped("cd $rank && exec \"$@\"", ganymede(words))), here());
  };
  const auto expect_trained = [&](const Words& words) {
    const Ending ending = apart(words);
    EXPECT_EQ(ending.code, 0) << ending.err;
    EXPECT_EQ(ending.err, "");
  };
  fs::copy_file(here() / "0/c.ini", here() / "whole.ini");
  expect_trained({"train", "--out", "run", "--config", "c.ini", "--threads", "1"});
  expect_trained({"train", "--out", "run", "--resume", "--steps", "6"});
  EXPECT_FALSE(fs::exists(here() / "1/run/config.ini"));
  const Ending whole = run(ganymede({"train", "--out", "whole", "--config", "whole.ini", "--steps", "6"}), here());
  EXPECT_EQ(whole.code, 0) << whole.err;
  expect_same_weights("0/run", "whole");
  // What is wrong with rank 0's is said once.
  fs::remove(here() / "0/c.ini");
  expect_one_message(apart({"train", "--out", "new", "--config", "c.ini"}), 2, "c.ini");
}

// Terabytes for the latent vectors of a batch, on every rank: found out where they cannot agree on it any more.
TEST_F(Ranks, OneSaysThatThereIsTooLittleMemory) {
  write(here() / "set/train-images-idx3-ubyte", std::string("\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01X", 17));
  const auto words = [&](const std::string& batch) {
    return ganymede({"train", "--out", "run", "--data", "set", "--batch", batch, "--latent", "65536",
                     "--generator-hidden", "2", "--discriminator-hidden", "2", "--steps", "1"});
  };
  expect_one_message(run(mpirun({"-n", "3"}, words("16777216")), here()), 4,
                     "the training needs 4 TiB for the 3 ranks of this host");
  EXPECT_FALSE(fs::exists(here() / "run"));
  // Less than the host has, and more than a process may take.
  expect_one_message(run(mpirun({"-n", "3"}, wrapped("exec prlimit --as=2000000000 \"$@\"", words("30000"))), here()),
                     4, "no memory for ");
  EXPECT_FALSE(fs::exists(here() / "run"));
}

TEST_F(Ranks, AKilledRankEndsAll) {
  Process training(Words{GANYMEDE_LAUNCH "/mpirun", "-n", "2"} +
                       wrapped("exec \"$@\"", tiny_training("run", exact + Words{"--steps", "1000000000"})),
                   here());
  ASSERT_TRUE(eventually([&] { return !content(here() / "run/metrics.jsonl").empty(); }));
  ::kill(rank_process(1), SIGKILL);
  const Ending ending = training.wait();
  expect_one_message(ending, 6, "Complete checkpoints stand, where there are any, and --resume goes on");
  EXPECT_THAT(ending.err, HasSubstr("rank 1 on "));
  expect_all_gone(2);
}

// As for someone who has the launchers' folder on the path: the launcher must not take itself for Open MPI's.
TEST_F(Ranks, TheLauncherOnThePathStartsOpenMpi) {
  const char* const path = std::getenv("PATH");
  ASSERT_NE(path, nullptr);
  const Ending ending =
      run(Words{"env", "PATH=" GANYMEDE_LAUNCH ":" + std::string(path), "timeout", "30", "mpirun", "-n", "2"} +
              tiny_training("run", {"--steps", "3"}),
          here());
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.out, HasSubstr("2 ranks on 1 host"));
}

// The launcher with an mpirun of the test's, this shell script, in place of Open MPI's.
class ScriptedMpirun : public Ranks {
 protected:
  Ending launched(const std::string& script) {
    write(here() / "bin/mpirun", "#!/bin/sh\n" + script);
    fs::permissions(here() / "bin/mpirun", fs::perms::owner_all);
    const char* const path = std::getenv("PATH");
    return run(Words{"env", "PATH=" + (here() / "bin").string() + ":" + std::string(path ? path : ""), "timeout", "30",
                     GANYMEDE_LAUNCH "/mpirun", "-n", "2"} +
                   tiny_training("run", {"--steps", "3"}),
               here());
  }
};

// Open MPI's may wait for ever when a rank dies as it joins: this one does once its rank is gone.
TEST_F(ScriptedMpirun, IsEndedWhenItHangsWithoutRanks) {
  const Ending ending = launched("sleep 2\nexec sleep 1000\n");
  EXPECT_EQ(ending.code, 6) << ending.err;
  EXPECT_EQ(ending.err,
            "launch/mpirun: a rank was lost, and mpirun hung when all were gone; its complete checkpoints stand, where "
            "there are any\n");
}

// One rank's death makes others, and the daemons, stumble: who died is said, and not who stumbled.
TEST_F(ScriptedMpirun, ItsWordsAboutWhatARanksDeathEntailsAreNotPassedOn) {
  const Ending ending = launched(R"(cat >&2 <<'END'
[h1][[36730,1],0][../../opal/mca/btl/tcp/btl_tcp_frag.c:135:mca_btl_tcp_frag_send] mca_btl_tcp_frag_send: writev failed: Connection reset by peer (104)
[h3][[36730,1],2][../../opal/mca/btl/tcp/btl_tcp_frag.c:241:mca_btl_tcp_frag_recv] mca_btl_tcp_frag_recv: readv failed: Connection reset by peer (104)
[h1][[36730,1],0][../../opal/mca/btl/tcp/btl_tcp_endpoint.c:1065:mca_btl_tcp_endpoint_send_handler] invalid connection state (2)
[h1:05519] [[36730,0],0] ORTE_ERROR_LOG: Data unpack would read past end of buffer in file base/oob_base.c at line 8
a rank's own words
--------------------------------------------------------------------------
mpirun noticed that process rank 1 with PID 5531 on node h2 exited on signal 9 (Killed).
--------------------------------------------------------------------------
END
exit 137
)");
  EXPECT_EQ(ending.code, 6) << ending.err;
  EXPECT_EQ(ending.err,
            "a rank's own words\nlaunch/mpirun: rank 1 on h2 died of signal 9; its complete checkpoints stand, where "
            "there are any\n");
}

// A batch system may have given one host or many. The ranks here have ended, and mpirun, of which they are children
// still, waits for a lock: as Open MPI's was found.
TEST_F(ScriptedMpirun, IsEndedUnderABatchSystemWhenItWaitsForALock) {
  const Environment job("SLURM_JOB_ID", "1");
  const Ending ending =
      launched("sleep 1 &\nexec python3 -c 'import threading; l = threading.Lock(); l.acquire(); l.acquire()'\n");
  EXPECT_EQ(ending.code, 6) << ending.err;
  EXPECT_EQ(ending.err,
            "launch/mpirun: a rank was lost, and mpirun hung when all were gone; its complete checkpoints stand, where "
            "there are any\n");
}

// A watchdog that could not speak any more: the launcher does.
TEST_F(ScriptedMpirun, ACodeWithoutASentenceGetsOne) {
  const std::string warning = "ganymede: warning: the log is incomplete";
  EXPECT_EQ(
      launched("echo '" + warning + "' >&2\nexit 6\n").err,
      warning + "\nlaunch/mpirun: the ranks ended with code 6; its complete checkpoints stand, where there are any\n");
  const std::string sentence = "ganymede: rank 1 on h2: MPI could not add up";
  const Ending told = launched("echo '" + sentence + "' >&2\nexit 6\n");
  EXPECT_EQ(told.code, 6);
  EXPECT_EQ(told.err, sentence + "\n");
}

// What the launcher sets is the user's to set, too: Open MPI refuses a parameter that is there twice.
TEST_F(Ranks, TheUsersParametersGoBeforeTheLaunchers) {
  const auto probes = [&](const Words& before, const Words& options) {
    return run(before + Words{GANYMEDE_LAUNCH "/mpirun"} + options +
                   Words{"-n", "1", "sh", "-c", "echo $OMPI_MCA_oob_tcp_keepalive_probes"},
               here());
  };
  EXPECT_EQ(probes({}, {}).out, "3\n");
  for (const char* option : {"--mca", "-mca", "--gmca"}) {
    const Ending ending = probes({}, {option, "oob_tcp_keepalive_probes", "7"});
    EXPECT_EQ(ending.code, 0) << ending.err;
    EXPECT_EQ(ending.out, "7\n");
  }
  EXPECT_EQ(probes({"env", "OMPI_MCA_oob_tcp_keepalive_probes=8"}, {}).out, "8\n");
}

// One line that says how to mend it, and 2 for wrong usage, 4 where the ranks cannot be started.
TEST_F(Ranks, TheLauncherSaysWhyNothingStarts) {
  struct Refused {
    Words words;
    int code;
    std::string says;
  };
  const Words recipes = ganymede({"recipes"});
  for (const Refused& wrong : std::vector<Refused>{
           {{"-n", "2"}, 2, "no program is named"},
           {Words{"-n", "-3"} + recipes, 2, "-n takes the number of ranks"},
           {Words{"-np", "2.5"} + recipes, 2, "-np takes the number of ranks, 1 or more, not '2.5'"},
           {{"-n"}, 2, "-n wants a value"},
           {Words{"--hostfile", "nowhere", "-n", "2"} + recipes, 4, "unable to open the hostfile: nowhere"},
           {Words{"--host", "localhost", "-n", "4"} + recipes, 4, "--oversubscribe"},
           {{"-n", "1", "no-such-program"}, 4, "there is no program 'no-such-program'"},
           {{"-n", "2", "/no/such/program"}, 4, "there is no program '/no/such/program'"},
           {{"-n", "0", "ganymede", "--version"}, 2, "-n takes the number of ranks, 1 or more"},
           {{"-n", "1000000", "ganymede", "--version"}, 2, "1000000 ranks do not fit in this machine's memory"},
           {{"-n", "100000000000000000000", "ganymede", "--version"}, 2, "ranks do not fit in this machine's memory"},
       }) {
    const Ending ending = run(Words{GANYMEDE_LAUNCH "/mpirun"} + wrong.words, here());
    EXPECT_EQ(ending.code, wrong.code) << ending.err;
    EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
    EXPECT_THAT(ending.err, AllOf(StartsWith("launch/mpirun: "), HasSubstr(wrong.says)));
    EXPECT_EQ(ending.out, "");
  }
  // What a program ends with is its own affair.
  const Ending own = run({GANYMEDE_LAUNCH "/mpirun", "-n", "1", "sh", "-c", "exit 1"}, here());
  EXPECT_EQ(own.code, 1);
  EXPECT_EQ(own.err, "");
  const Ending unknown = run({GANYMEDE_LAUNCH "/mpirun", "--no-such-option", "-n", "1", "true"}, here());
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("unknown option"));
  // The host's name is one that is reserved for never being there.
  const Ending unreachable =
      run(Words{GANYMEDE_LAUNCH "/mpirun", "--host", "nowhere.invalid", "-n", "1"} + recipes, here());
  EXPECT_EQ(unreachable.code, 4);
  EXPECT_THAT(unreachable.err, HasSubstr("launch/mpirun: a host could not be reached"));
}

TEST_F(Ranks, TheLauncherGoesOnWhenNobodyReadsItsOutput) {
  const auto piped = [&](const std::string& name, const std::string& reader) {
    return run(Words{"bash", "-c", "\"$@\" | " + reader + "; exit ${PIPESTATUS[0]}", "bash", GANYMEDE_LAUNCH "/mpirun",
                     "-n", "2"} +
                   tiny_training(name, {"--steps", "2000", "--log-every", "1"}),
               here());
  };
  const Ending cut = piped("cut", "head -1");
  EXPECT_EQ(cut.code, 0) << cut.err;
  EXPECT_EQ(cut.err, "");
  EXPECT_TRUE(fs::exists(here() / "cut/generator.safetensors"));
  const Ending closed = run(Words{"bash", "-c", "\"$@\" >&-", "bash", GANYMEDE_LAUNCH "/mpirun", "-n", "2"} +
                                tiny_training("closed", {"--steps", "20"}),
                            here());
  EXPECT_EQ(closed.code, 0) << closed.err;
  EXPECT_EQ(closed.err, "");
  EXPECT_TRUE(fs::exists(here() / "closed/generator.safetensors"));
  const Ending whole = piped("whole", "cat");
  EXPECT_EQ(whole.code, 0) << whole.err;
  EXPECT_THAT(whole.out, HasSubstr("done: 2000 steps"));
}

TEST_F(Ranks, TheLaunchersProgramIsTheFirstWordThatIsNoOptions) {
  const auto says = [&](const Words& words) {
    const Ending ending = run(Words{GANYMEDE_LAUNCH "/mpirun"} + words, here());
    EXPECT_EQ(ending.code, 0) << ending.err;
    return ending.out;
  };
  EXPECT_EQ(says({"-n", "1", "echo", "ganymede"}), "ganymede\n");
  EXPECT_EQ(says({"-n", "1", "-x", "A=ganymede", "--mca", "ganymede", "1", "sh", "-c", "echo $A"}), "ganymede\n");
  EXPECT_THAT(says({"-n", "1", "ganymede", "--version", ":", "-n", "1", "ganymede", "--version"}),
              HasSubstr("ganymede "));
}

TEST_F(Ranks, AnInterruptBeforeTheRanksListenIsNoSuccess) {
  Process launcher({GANYMEDE_LAUNCH "/mpirun", "-n", "1", "sh", "-c", "echo > started; sleep 60"}, here());
  ASSERT_TRUE(eventually([&] { return fs::exists(here() / "started"); }));
  launcher.send(SIGINT);
  const Ending ending = launcher.wait();
  EXPECT_EQ(ending.code, 6);
  EXPECT_THAT(ending.err, EndsWith("launch/mpirun: stopped, with nothing more saved\n"));
}

// Also while the launcher prepares itself, and mpirun is being started.
TEST_F(Ranks, AnInterruptAtAnyInstantIsHeard) {
  for (const int after : {20, 80, 140, 220}) {
    Process launcher({GANYMEDE_LAUNCH "/mpirun", "-n", "1", "sleep", "5"}, here());
    std::this_thread::sleep_for(std::chrono::milliseconds(after));
    launcher.send(SIGINT);
    EXPECT_NE(launcher.wait().code, 0) << after << " ms";
  }
}

TEST_F(Ranks, ASecondInterruptEndsTheLaunchersRanksAtOnce) {
  // Steps of seconds, so that the second comes before the first has been answered.
  Process training(Words{GANYMEDE_LAUNCH "/mpirun", "-n", "2"} +
                       wrapped("exec \"$@\"", ganymede({"train", "--out", "run", "--generator-hidden", "1024,1024",
                                                        "--discriminator-hidden", "1024,1024", "--batch", "8000",
                                                        "--threads", "1", "--sample-count", "1"})),
                   here());
  ASSERT_TRUE(eventually([&] { return fs::exists(here() / "run/samples/step-00000000.png"); }));
  training.send(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  training.send(SIGINT);
  const Ending ending = training.wait();
  EXPECT_EQ(ending.code, 6) << ending.err;
  EXPECT_THAT(ending.err, HasSubstr("ended at once"));
  expect_all_gone(2);
}

// Someone who waits for a slow disk, and asks once more.
TEST_F(Ranks, AnInterruptSecondsAfterTheFirstIsNoSecondOne) {
  const Words program = Words{"env", "LD_PRELOAD=" GANYMEDE_FAILING_CALLS_LIBRARY,
                              "GANYMEDE_FAILING_CALLS=/checkpoints/:0:1000000000:-60"} +
                        tiny_training("one", {"--steps", "1000000000", "--checkpoint-every", "0"});
  Words on_ranks = program;
  *std::find(on_ranks.begin(), on_ranks.end(), "one") = "two";
  Process alone(program, here());
  Process launcher(Words{GANYMEDE_LAUNCH "/mpirun", "-n", "2"} + on_ranks, here());
  for (const char* name : {"one", "two"})
    ASSERT_TRUE(eventually([&] { return !content(here() / name / "metrics.jsonl").empty(); }));
  for (const Process* training : {&alone, &launcher}) training->send(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(2300));
  // Checkpoints that are complete by now would show nothing.
  for (const char* name : {"one", "two"})
    for (const auto& entry : fs::directory_iterator(here() / name / "checkpoints"))
      EXPECT_THAT(entry.path().filename().string(), HasSubstr("partial")) << name;
  for (const Process* training : {&alone, &launcher}) training->send(SIGINT);
  for (Process* training : {&alone, &launcher}) {
    const Ending ending = training->wait();
    EXPECT_EQ(ending.code, 75) << ending.signal << ending.err;
    EXPECT_EQ(ending.err, "");
  }
}

// mpirun, which is ending then, would die of being told to.
TEST_F(Ranks, ASecondInterruptWhileTheRanksEndIsNoFault) {
  for (const int after : {50, 100, 150, 200, 400}) {
    const std::string name = "run" + std::to_string(after);
    Process training(Words{GANYMEDE_LAUNCH "/mpirun", "-n", "2"} +
                         wrapped("exec \"$@\"", tiny_training(name, {"--steps", "1000000000"})),
                     here());
    ASSERT_TRUE(eventually([&] { return !content(here() / name / "metrics.jsonl").empty(); }));
    training.send(SIGINT);
    std::this_thread::sleep_for(std::chrono::milliseconds(after));
    training.send(SIGINT);
    const Ending ending = training.wait();
    SCOPED_TRACE(std::to_string(after) + " ms: " + std::to_string(ending.code));
    if (ending.code == 75) {
      EXPECT_EQ(ending.err, "");
      EXPECT_FALSE(fs::is_empty(here() / name / "checkpoints"));
    } else {
      EXPECT_EQ(ending.code, 6);
      EXPECT_EQ(ending.err,
                "launch/mpirun: the ranks were ended at once; its complete checkpoints stand, where there are any\n");
    }
  }
}

TEST_F(Ranks, SignalsThroughTheLaunchersSaveAndTheRunGoesOnOnAnyNumberOfRanks) {
  struct Stop {
    Words launcher;
    int signal;
  };
  // Whatever started the tests may have it ignored, and a program keeps that.
  std::signal(SIGHUP, SIG_DFL);
  const Words ours = {GANYMEDE_LAUNCH "/mpirun", "-n", "2"};
  int number = 0;
  for (const Stop& stop : std::vector<Stop>{
           {mpirun({"-n", "2"}, {}), SIGUSR1}, {ours, SIGUSR1}, {ours, SIGINT}, {ours, SIGTERM}, {ours, SIGHUP}}) {
    SCOPED_TRACE(stop.launcher[0] + " " + std::to_string(stop.signal));
    const std::string name = "run" + std::to_string(number++);
    Process training(
        stop.launcher + wrapped("exec \"$@\"", tiny_training(name, exact + Words{"--steps", "1000000000"})), here());
    ASSERT_TRUE(eventually([&] { return !content(here() / name / "metrics.jsonl").empty(); }));
    training.send(stop.signal);
    const Ending ending = training.wait();
    EXPECT_EQ(ending.code, 75) << ending.err;
    EXPECT_EQ(ending.err, "");
    EXPECT_THAT(ending.out, HasSubstr("with a complete checkpoint"));
    expect_all_gone(2);
  }
  // From two ranks to three, against one process that never stopped.
  const auto steps = lines(content(here() / "run0/metrics.jsonl")).size() + 5;
  const Words to_the_end = exact + Words{"--steps", std::to_string(steps)};
  const Ending resumed = run(mpirun({"-n", "3"}, tiny_training("run0", to_the_end + Words{"--resume"})), here());
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  ASSERT_EQ(run(tiny_training("whole", to_the_end), here()).code, 0);
  expect_same_weights("run0", "whole");
}

// Its own code says nothing, and SIGKILL follows after a second, in which the ranks have saved.
TEST_F(Ranks, BareMpirunThatIsToldToEndLetsTheRanksSave) {
  Process training(
      mpirun({"-n", "2"}, wrapped("exec \"$@\"", tiny_training("run", exact + Words{"--steps", "1000000000"}))),
      here());
  ASSERT_TRUE(eventually([&] { return !content(here() / "run/metrics.jsonl").empty(); }));
  training.send(SIGTERM);
  EXPECT_EQ(training.wait().code, 1);
  expect_all_gone(2);
  std::vector<std::string> saved;
  for (const auto& entry : fs::directory_iterator(here() / "run/checkpoints")) saved.push_back(entry.path().filename());
  ASSERT_EQ(saved.size(), 1U);
  const std::size_t steps = lines(content(here() / "run/metrics.jsonl")).size();
  EXPECT_THAT(saved[0], EndsWith("0" + std::to_string(steps)));
  const Ending resumed =
      run(tiny_training("run", exact + Words{"--resume", "--steps", std::to_string(steps + 1)}), here());
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_THAT(resumed.out, HasSubstr("resumed from " + saved[0]));
  EXPECT_EQ(lines(content(here() / "run/metrics.jsonl")).size(), steps + 1);
}

// The power goes at so many arbitrary instants, from the start of the ranks to the middle of a checkpoint, and each
// time the run goes on with another number of ranks. GANYMEDE_KILLS: another number of them, at other instants.
TEST_F(Ranks, KilledAtAnyInstantTheRunEndsAsIfItHadNotBeen) {
  const char* given = std::getenv("GANYMEDE_KILLS");
  const int kills = given == nullptr ? 50 : std::atoi(given);
  const Words options = {"--reproducible", "--log-every", "5", "--checkpoint-every", "7", "--keep", "2"};
  // What Open MPI leaves behind when it is killed lies in this folder.
  const Words launcher = {"--mca",        "orte_tmpdir_base", here().string(), "--mca", "btl_vader_backing_directory",
                          here().string()};
  const auto on = [&](int ranks, const Words& more) {
    const Words training = tiny_training("run", options + more);
    return ranks == 1 ? training : mpirun(launcher + Words{"-n", std::to_string(ranks)}, training);
  };
  const auto newest = [&] {
    std::uint64_t step = 0;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(here() / "run/checkpoints", error)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("step-")) step = std::max<std::uint64_t>(step, std::stoull(name.substr(5)));
    }
    return step;
  };
  // Checkpoints that were being written when it was killed, by their hidden names, in which each start has its number.
  const auto unfinished = [&] {
    std::set<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(here() / "run/checkpoints", error))
      if (const std::string name = entry.path().filename().string();
          name.find(".partial-") != std::string::npos && !name.ends_with(".partial-0"))
        names.insert(name);
    return names;
  };
  std::mt19937 random(static_cast<unsigned>(kills));
  const auto some_time = [&](int most) {
    std::this_thread::sleep_for(std::chrono::microseconds(random() % (1000U * static_cast<unsigned>(most))));
  };
  int inside = 0;
  for (int kill = 0; kill < kills; ++kill) {
    const std::uint64_t before = newest();
    // Every fourth time on two to four ranks: starting those takes longest.
    const int ranks = kill % 4 == 0 ? 2 + kill / 4 % 3 : 1;
    const std::set<std::string> left_before = unfinished();
    Process training(on(ranks, {"--steps", "1000000000", "--resume"}), here());
    // Wherever it is in its start, or some steps on.
    if (kill % 3 == 1)
      some_time(ranks == 1 ? 100 : 600);
    else
      ASSERT_TRUE(eventually([&] { return newest() > before; })) << "after " << kill << " kills";
    some_time(20);
    training.kill_tree();
    const std::set<std::string> left = unfinished();
    inside += std::includes(left_before.begin(), left_before.end(), left.begin(), left.end()) ? 0 : 1;
    EXPECT_GE(newest(), before) << "a checkpoint is lost";
  }
  EXPECT_GE(inside, kills / 10) << "few kills met a checkpoint";
  const Words to_the_end = {"--steps", std::to_string(newest() + 10)};
  const Ending ending = run(on(2, to_the_end + Words{"--resume"}), here());
  ASSERT_EQ(ending.code, 0) << ending.err;
  EXPECT_EQ(ending.err, "");
  EXPECT_THAT(ending.out, HasSubstr("resumed from step-"));
  ASSERT_EQ(run(tiny_training("whole", options + to_the_end), here()).code, 0);
  expect_same_weights("run", "whole");
  // Every step that is due is recorded once.
  const auto recorded = [&](const std::string& name) {
    std::vector<std::string> steps;
    for (const std::string& line : lines(content(here() / name / "metrics.jsonl")))
      steps.push_back(line.substr(0, line.find(',')));
    return steps;
  };
  EXPECT_EQ(recorded("run"), recorded("whole"));
  for (const char* name : {"manifest.json", "generator.safetensors", "generator-average.safetensors"}) {
    std::string step = std::to_string(newest());
    step.insert(0, 8 - std::min<std::size_t>(8, step.size()), '0');
    const std::string file = "checkpoints/step-" + step + "/" + name;
    EXPECT_NE(content(here() / "run" / file), "");
    EXPECT_TRUE(content(here() / "run" / file) == content(here() / "whole" / file)) << file;
  }
}

TEST_F(Ranks, BenchSaysHowMuchOfASumIsHidden) {
  const Words options = {
      "bench", "--rounds", "2", "--round-steps", "3", "--generator-hidden", "8", "--discriminator-hidden", "8"};
  const Ending ending = run(mpirun({"-n", "2"}, ganymede(options + Words{"--json"})), here());
  ASSERT_EQ(ending.code, 0) << ending.err;
  const auto sum = nlohmann::json::parse(ending.out)["discriminator_sum"];
  EXPECT_EQ(sum["bytes"], (785 * 8 + 9 + 6) * 4);  // and six sums more
  const double alone = sum["seconds_alone"].get<double>();
  EXPECT_GT(alone, 0);
  EXPECT_DOUBLE_EQ(sum["hidden_share"].get<double>(), std::max(0.0, 1 - sum["seconds_waited"].get<double>() / alone));
  const std::string out = run(mpirun({"-n", "2"}, ganymede(options + Words{"--roofline", "H100"})), here()).out;
  EXPECT_THAT(out, HasSubstr("\nsum over ranks  D's gradient, 25 kB, takes "));
  // Of D's gradient and of G's.
  std::vector<std::string> sums;
  for (const std::string& line : lines(out))
    if (line.find("  sum over ranks  ") != std::string::npos) sums.push_back(line);
  ASSERT_EQ(sums.size(), 2U);
  EXPECT_THAT(sums[0], HasSubstr(std::to_string(785 * 8 + 9 + 6)));
}

// Rank 0 alone has the records: the others hear of it, when a diagnosis finds it.
TEST_F(Ranks, AllEndOnCollapse) {
  const Words collapsing = {"--recipe",  "gan-literal", "--learning-rate", "0.02", "--log-every",      "10000",
                            "--stop-on", "collapse",    "--sample-every",  "0",    "--diagnose-every", "20",
                            "--steps",   "3000"};
  const Ending ending = run(mpirun({"-n", "2"}, tiny_training("run", collapsing)), here());
  EXPECT_EQ(ending.code, 5) << ending.err;
  EXPECT_THAT(ending.err, HasSubstr(" by --stop-on collapse: its samples, in run/samples/step-"));
}

TEST_F(Ranks, EachKeepsALogAndSaysWhatItsTimeWentTo) {
  const Ending ending = run(mpirun({"-n", "2"}, tiny_training("run", {"--steps", "3"})), here());
  ASSERT_EQ(ending.code, 0) << ending.err;
  EXPECT_EQ(ending.err, "");
  EXPECT_THAT(ending.out, HasSubstr("2 ranks on 1 host"));
  for (const char* rank : {"0", "1"})
    EXPECT_THAT(content(here() / "run/logs" / (std::string("rank-000") + rank + ".log")),
                AllOf(HasSubstr(std::string("rank ") + rank + " of 2"), HasSubstr("done: 3 steps")));
  // On fewer ranks, which is another start.
  ASSERT_EQ(run(tiny_training("run", {"--steps", "8", "--resume"}), here()).code, 0);
  const std::vector<std::string> timing = lines(content(here() / "run/timing.jsonl"));
  ASSERT_EQ(timing.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    const nlohmann::json line = nlohmann::json::parse(timing[i]);
    EXPECT_EQ(line["start"], i < 2 ? 1 : 2);
    EXPECT_EQ(line["rank"], i % 2);
    EXPECT_EQ(line["first_step"], i < 2 ? 0 : 3);
    EXPECT_EQ(line["last_step"], i < 2 ? 3 : 8);
    EXPECT_EQ(line["steps"], i < 2 ? 3 : 5);
    std::array<char, 256> name{};
    ::gethostname(name.data(), name.size() - 1);
    EXPECT_EQ(line["host"], name.data());
    double sum = line["waiting"];
    for (const auto& [part, seconds] : line["parts"].items()) {
      EXPECT_GE(seconds.get<double>(), 0) << part;
      sum += seconds.get<double>();
    }
    EXPECT_NEAR(sum, line["seconds"].get<double>(), 1e-4);  // a microsecond a part
    // Every rank does the step; rank 0 draws for all, and the others wait for it. One rank waits for nobody.
    EXPECT_GT(line["parts"]["D backward"], 0);
    EXPECT_GT(line["parts"]["update"], 0);
    if (i == 1) {
      EXPECT_GT(line["waiting"], 0);
    }
    if (i == 2) {
      EXPECT_EQ(line["waiting"], 0);
    }
  }
  EXPECT_GT(nlohmann::json::parse(timing[0])["parts"]["picture"], nlohmann::json::parse(timing[1])["parts"]["picture"]);
  const std::string page = content(here() / "run/report.html");
  EXPECT_THAT(page, HasSubstr(R"("timing":{"start":2,"first_step":3,"last_step":8,"steps":5,"ranks":1)"));
}

}  // namespace
}  // namespace ganymede::test
