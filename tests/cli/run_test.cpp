// What a run leaves behind, how it goes on, and what the other commands make of it; one process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "cli/process.hpp"

namespace ganymede::test {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
namespace fs = std::filesystem;
using Json = nlohmann::json;

class Run : public ::testing::Test {
 protected:
  [[nodiscard]] const fs::path& here() const { return folder_.path(); }
  Ending train(const std::string& out, const Words& more) { return run(tiny_training(out, more), here()); }
  void expect_trained(const std::string& out, const Words& more) {
    const Ending ending = train(out, more);
    ASSERT_EQ(ending.code, 0) << ending.err;
    EXPECT_EQ(ending.err, "");
  }
  // Both final networks, byte for byte.
  void expect_same_weights(const std::string& a, const std::string& b) {
    for (const char* name : {"generator.safetensors", "discriminator.safetensors"}) {
      EXPECT_NE(content(here() / a / name), "");
      EXPECT_TRUE(content(here() / a / name) == content(here() / b / name)) << a << " and " << b << ": " << name;
    }
  }
  std::vector<std::uint64_t> logged_steps(const std::string& run) {
    std::vector<std::uint64_t> steps;
    for (const std::string& line : lines(content(here() / run / "metrics.jsonl")))
      steps.push_back(Json::parse(line)["step"].get<std::uint64_t>());
    return steps;
  }
  Json inspected(const std::string& place) {
    const Ending ending = run(ganymede({"inspect", "--json", place}), here());
    EXPECT_EQ(ending.code, 0) << ending.err;
    return Json::parse(ending.out);
  }

  TemporaryFolder folder_;
};

TEST_F(Run, KeepsTheNewestCheckpointsAndThoseThatItIsToldTo) {
  expect_trained("run", {"--steps", "100", "--checkpoint-every", "10", "--keep", "2", "--keep-every", "40"});
  std::set<std::string> left;
  for (const auto& entry : fs::directory_iterator(here() / "run/checkpoints")) left.insert(entry.path().filename());
  EXPECT_THAT(left, ElementsAre("step-00000040", "step-00000080", "step-00000090", "step-00000100"));
}

// With steps as large as these, a GAN without any penalty soon makes one picture of every z.
TEST_F(Run, EndsOnCollapseWhereItIsToldTo) {
  const Ending ending =
      train("run", {"--recipe", "gan-literal", "--learning-rate", "0.02", "--steps", "3000", "--log-every", "20",
                    "--diagnose-every", "20", "--sample-every", "0", "--stop-on", "collapse"});
  EXPECT_EQ(ending.code, 5) << ending.err;
  EXPECT_THAT(ending.err, HasSubstr("warning: since step "));
  EXPECT_THAT(ending.err, HasSubstr("by --stop-on collapse: its samples, in run/samples/step-"));
  const std::vector<std::uint64_t> steps = logged_steps("run");
  ASSERT_FALSE(steps.empty());
  EXPECT_LT(steps.back(), 3000U);
  EXPECT_EQ(inspected("run")["step"], steps.back());
  EXPECT_THAT(content(here() / "run/logs/rank-0000.log"), HasSubstr("warning since step "));
  EXPECT_THAT(content(here() / "run/timing.jsonl"), HasSubstr("\"last_step\":" + std::to_string(steps.back())));
}

TEST_F(Run, WritesOverNothingThatIsNoRun) {
  fs::create_directory(here() / "final");
  write(here() / "final/generator.safetensors", "somebody's");
  const Ending refused = train("final", {"--steps", "2"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err,
              HasSubstr("holds no run, but final/generator.safetensors, which the training would write over"));
  EXPECT_EQ(content(here() / "final/generator.safetensors"), "somebody's");
}

TEST_F(Run, ShowsItsRecordsAndWritesThemAsATable) {
  expect_trained("run", {"--steps", "30", "--log-every", "1", "--diagnose-every", "10", "--sample-every", "0"});
  const Ending shown = run(ganymede({"metrics", "run"}), here());
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_THAT(shown.out, AllOf(HasSubstr("D loss"), HasSubstr("20 of 30 records")));
  EXPECT_EQ(lines(shown.out).size(), 22U);

  const Ending table = run(ganymede({"metrics", "run", "--csv"}), here());
  EXPECT_EQ(table.code, 0) << table.err;
  const std::vector<std::string> rows = lines(table.out);
  const std::vector<std::string> records = lines(content(here() / "run/metrics.jsonl"));
  ASSERT_EQ(rows.size(), records.size() + 1);
  const auto cells = [](const std::string& row) {
    std::vector<std::string> result = {""};
    for (const char c : row) {
      if (c == ',')
        result.emplace_back();
      else
        result.back() += c;
    }
    return result;
  };
  const std::vector<std::string> names = cells(rows[0]);
  for (std::size_t i = 0; i < records.size(); ++i) {
    const Json record = Json::parse(records[i]);
    const std::vector<std::string> values = cells(rows[i + 1]);
    ASSERT_EQ(values.size(), names.size());
    EXPECT_EQ(record.size(), names.size());
    for (std::size_t c = 0; c < names.size(); ++c) {
      ASSERT_TRUE(record.contains(names[c])) << names[c];
      if (record[names[c]].is_null())
        EXPECT_EQ(values[c], "");
      else
        EXPECT_EQ(std::stod(values[c]), record[names[c]].get<double>()) << names[c];
    }
  }
  EXPECT_EQ(run(ganymede({"metrics", "run", "--csv", "--out", "table.csv"}), here()).code, 0);
  EXPECT_EQ(content(here() / "table.csv"), table.out);
  EXPECT_EQ(run(ganymede({"metrics", "run", "--out", "table.csv"}), here()).code, 2);
  EXPECT_EQ(run(ganymede({"metrics", "nowhere"}), here()).code, 3);
}

TEST_F(Run, LeavesTheFolderOfTheContract) {
  const Ending ending = train(
      "run", {"--steps", "12", "--log-every", "5", "--sample-every", "5", "--checkpoint-every", "4", "--keep", "2"});
  EXPECT_EQ(ending.code, 0);
  EXPECT_EQ(ending.err, "");
  EXPECT_THAT(ending.out,
              HasSubstr("done: 12 steps; pictures in run/samples, the last is run/samples/step-00000012.png"));
  std::set<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(here() / "run"))
    if (entry.is_regular_file()) found.insert(fs::relative(entry.path(), here() / "run").string());
  std::set<std::string> expected = {".lock",
                                    "config.ini",
                                    "metrics.jsonl",
                                    "generator.safetensors",
                                    "discriminator.safetensors",
                                    "logs/rank-0000.log",
                                    "report.html",
                                    "timing.jsonl",
                                    "samples/real.png",
                                    "samples/step-00000000.png",
                                    "samples/step-00000005.png",
                                    "samples/step-00000010.png",
                                    "samples/step-00000012.png"};
  for (const char* step : {"8", "12"})
    for (const char* name :
         {"manifest.json", "generator.safetensors", "discriminator.safetensors", "generator-average.safetensors"}) {
      const std::string folder = std::string("checkpoints/step-000000") + (step[1] == '\0' ? "0" : "") + step + "/";
      EXPECT_TRUE(found.contains(folder + name)) << folder << name;
    }
  std::erase_if(found, [](const std::string& name) { return name.starts_with("checkpoints/"); });
  EXPECT_EQ(found, expected);
  EXPECT_THAT(logged_steps("run"), ElementsAre(5, 10, 12));
}

TEST_F(Run, ItsConfigurationRepeatsIt) {
  expect_trained("first", {"--steps", "10", "--seed", "77", "--learning-rate", "0.0003"});
  const Ending ending = run(ganymede({"train", "--config", "first/config.ini", "--out", "second"}), here());
  ASSERT_EQ(ending.code, 0) << ending.err;
  expect_same_weights("first", "second");
  EXPECT_TRUE(content(here() / "first/samples/step-00000010.png") ==
              content(here() / "second/samples/step-00000010.png"));
  // And so does the copy's.
  EXPECT_EQ(run(ganymede({"train", "--config", "second/config.ini", "--out", "third"}), here()).code, 0);
  EXPECT_EQ(content(here() / "third/config.ini").substr(content(here() / "third/config.ini").find('\n')),
            content(here() / "first/config.ini").substr(content(here() / "first/config.ini").find('\n')));
}

TEST_F(Run, MemoryIsSaidBeforeItIsTakenAndRefusedWhereItIsNotThere) {
  const Ending report = train("run", {"--steps", "10", "--memory-report"});
  EXPECT_EQ(report.code, 0) << report.err;
  EXPECT_THAT(report.out, AllOf(HasSubstr("\nmemory of rank 0, planned:\n"), HasSubstr("24 images at a time\n"),
                                HasSubstr("\nmemory of the rank with most, measured: ")));
  // Terabytes.
  const Ending refused =
      run(ganymede({"train", "--out", "large", "--batch", "16000000", "--generator-hidden", "20000"}), here());
  EXPECT_EQ(refused.code, 4);
  EXPECT_THAT(refused.err,
              AllOf(HasSubstr("the training needs "), HasSubstr(" is the largest that fits, --micro-batch ")));
  EXPECT_FALSE(fs::exists(here() / "large"));
}

TEST_F(Run, DryRunsWriteNothing) {
  const Ending ending = train("run", {"--steps", "10", "--dry-run"});
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.out, AllOf(HasSubstr("4 000 images of 28×28"), HasSubstr("10 steps of 24 images"),
                                HasSubstr("nothing was written")));
  EXPECT_TRUE(fs::is_empty(here()));
  EXPECT_EQ(train("run", {"--steps", "2", "--dry-run=false"}).code, 0);
  const Snapshot before = snapshot(here());
  EXPECT_EQ(train("run", {"--steps", "5", "--dry-run", "--resume"}).code, 0);
  EXPECT_TRUE(snapshot(here()) == before);
}

// .999^10 is .990; and an average of no great age is nothing to speak of.
TEST_F(Run, ThePlanSaysWhatAnAverageShowsOfAShortTraining) {
  EXPECT_THAT(train("run", {"--steps", "10", "--ema", ".999", "--dry-run"}).out,
              HasSubstr("of G's average, in which the first weights still count for 99 % at the end"));
  EXPECT_THAT(train("run", {"--steps", "10", "--ema", ".5", "--dry-run"}).out, Not(HasSubstr("G's average")));
  EXPECT_THAT(train("run", {"--steps", "10", "--ema", "0", "--dry-run"}).out, Not(HasSubstr("G's average")));
}

TEST_F(Run, ThePlanSaysWhenDIsUpdatedMoreOften) {
  EXPECT_THAT(train("run", {"--recipe", "wgan", "--dry-run"}).out,
              HasSubstr("5 steps of D per step of G (100 in the first 25 and in every 500th)"));
}

TEST_F(Run, TheLiteralRecipeSaysThatItCollapses) {
  const Ending ending = train("run", {"--recipe", "gan-literal", "--steps", "2"});
  EXPECT_EQ(ending.code, 0);
  EXPECT_THAT(ending.err, AllOf(StartsWith("ganymede: note: "), HasSubstr("known to collapse")));
  EXPECT_EQ(lines(ending.err).size(), 1U);
}

// A file of the run that is opened first would otherwise get the words for the terminal.
TEST_F(Run, ClosedOutputsAreNoneOfTheRunsFiles) {
  const Words words = ganymede({"train", "--out", "run", "--steps", "2"});
  const Ending ending = run(Words{"sh", "-c", "exec \"$@\" >&- 2>&-", "sh"} + words, here());
  EXPECT_EQ(ending.code, 0);
  EXPECT_EQ(inspected("run")["step"], 2);
}

TEST_F(Run, ResumeInAnEmptyFolderStartsAfresh) {
  fs::create_directory(here() / "empty");
  expect_trained("empty", {"--steps", "6", "--resume"});
  expect_trained("plain", {"--steps", "6"});
  expect_same_weights("empty", "plain");
}

TEST_F(Run, ResumeGoesOnWithTheRunsOwnOptions) {
  expect_trained("whole", {"--steps", "12", "--seed", "3", "--reproducible", "--log-every", "2"});
  expect_trained("parts", {"--steps", "7", "--seed", "3", "--reproducible", "--log-every", "2"});
  // Not one option but --steps is repeated.
  const Ending ending = run(ganymede({"train", "--out", "parts", "--resume", "--steps", "12"}), here());
  ASSERT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.out,
              AllOf(HasSubstr("resumed from step-00000007\n"), HasSubstr("\nchanged       steps 7 → 12\n")));
  expect_same_weights("whole", "parts");
  EXPECT_THAT(logged_steps("parts"), ElementsAre(2, 4, 6, 7, 8, 10, 12));
  // Once more at its end: nothing to do, and the same answer.
  const Ending again = run(ganymede({"train", "--out", "parts", "--resume"}), here());
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, Not(HasSubstr("\nchanged ")));
  EXPECT_THAT(again.out,
              HasSubstr("there was nothing left to train (give more with --epochs or --steps): 12 steps; pictures in "
                        "parts/samples, the last is parts/samples/step-00000012.png"));
  expect_same_weights("whole", "parts");
}

// A run that was lost between two checkpoints has records beyond the one it goes on from.
TEST_F(Run, NoStepIsRecordedTwice) {
  const Words options = {"--steps", "30", "--log-every", "4", "--checkpoint-every", "10", "--reproducible"};
  expect_trained("run", options);
  expect_trained("whole", options);
  fs::remove_all(here() / "run/checkpoints/step-00000030");
  fs::remove(here() / "run/generator.safetensors");
  fs::remove(here() / "run/discriminator.safetensors");
  const Ending ending = train("run", options + Words{"--resume", "--keep", "2", "--sample-every", "15"});
  ASSERT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.out, AllOf(HasSubstr("resumed from step-00000020"),
                                ContainsRegex("\nchanged       keep [0-9]+ → 2, sample-every [0-9]+ → 15\n")));
  EXPECT_THAT(logged_steps("run"), ElementsAre(4, 8, 12, 16, 20, 24, 28, 30));
  expect_same_weights("run", "whole");
}

TEST_F(Run, StartsFromWeightsThatAreThere) {
  expect_trained("first", {"--steps", "6"});
  const Words from = {"--init-from", "first/generator.safetensors"};
  expect_trained("tuned", Words{"--steps", "4"} + from);
  const std::string file = fs::canonical(here() / "first/generator.safetensors").string();
  EXPECT_THAT(content(here() / "tuned/logs/rank-0000.log"), HasSubstr("start: from the weights of G in " + file));
  EXPECT_THAT(content(here() / "tuned/config.ini"), HasSubstr("init-from = " + file + "\n"));
  EXPECT_EQ(inspected("tuned")["options"]["init-from"], file);
  // It goes on with what it has; not as one that had begun elsewhere.
  EXPECT_EQ(train("tuned", {"--resume", "--steps", "6"}).code, 0);
  const Ending other = train("tuned", {"--resume", "--steps", "8", "--init-from", "first/discriminator.safetensors"});
  EXPECT_EQ(other.code, 2);
  EXPECT_THAT(other.err, HasSubstr("init-from " + file + " → "));
  // What does not fit is refused before anything is written.
  const Ending told = train("told", Words{"--condition", "concat"} + from);
  EXPECT_EQ(told.code, 3);
  EXPECT_THAT(told.err, HasSubstr("tensor '0.weight' has shape [8, 4], but the network needs [8, 14]"));
  EXPECT_FALSE(fs::exists(here() / "told"));
}

TEST_F(Run, WritesForTensorBoardLiveOrLater) {
  expect_trained("live", {"--steps", "6", "--tensorboard", "--tensorboard-histograms-every", "3"});
  expect_trained("late", {"--steps", "6"});
  EXPECT_FALSE(fs::exists(here() / "late/tensorboard"));
  const auto exported = [&](const Words& words) {
    return run(ganymede({"export", "--format", "tensorboard"}) + words, here());
  };
  // Again, too: the run may have gone on.
  for (int i = 0; i < 2; ++i) EXPECT_EQ(exported({"late"}).code, 0);
  EXPECT_EQ(std::distance(fs::directory_iterator(here() / "late/tensorboard"), fs::directory_iterator()), 1);
  const Ending twice = exported({"live"});
  EXPECT_EQ(twice.code, 2);
  EXPECT_THAT(twice.err, AllOf(HasSubstr("live/tensorboard holds events already"), HasSubstr("--out")));
  EXPECT_EQ(exported({"live", "--out", "elsewhere"}).code, 0);
  EXPECT_THAT(exported({"live", "--network", "generator"}).err, HasSubstr("--network chooses weights"));
  EXPECT_THAT(exported({"late/checkpoints"}).err, HasSubstr("holds no run"));
}

TEST_F(Run, ADamagedCheckpointIsPassedOver) {
  const Words options = {"--log-every", "10", "--checkpoint-every", "10", "--keep", "0", "--reproducible"};
  expect_trained("run", options + Words{"--steps", "40"});
  expect_trained("whole", options + Words{"--steps", "50"});
  damage(here() / "run/checkpoints/step-00000040/generator.safetensors");
  fs::remove(here() / "run/checkpoints/step-00000030/manifest.json");
  const Ending ending = train("run", options + Words{"--steps", "50", "--resume"});
  ASSERT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.out, HasSubstr("resumed from step-00000020"));
  EXPECT_THAT(ending.err,
              AllOf(HasSubstr("ganymede: warning: "), HasSubstr("step-00000040"), HasSubstr("generator.safetensors")));
  expect_same_weights("run", "whole");
  // Pictures of a run that has not ended come from its newest valid checkpoint, and they say so.
  fs::remove(here() / "run/generator.safetensors");
  damage(here() / "run/checkpoints/step-00000050/discriminator.safetensors");
  const Ending sample = run(ganymede({"sample", "run"}), here());
  EXPECT_EQ(sample.code, 0) << sample.err;
  EXPECT_THAT(sample.err, AllOf(HasSubstr("ganymede: warning: "), HasSubstr("step-00000050")));
  EXPECT_THAT(sample.out, HasSubstr("(step 40)"));
}

TEST_F(Run, AnInterruptedRunEndsCompleteAndGoesOn) {
  const Words options = {"--reproducible", "--log-every", "1", "--checkpoint-every", "0"};
  // Whatever started the tests may have it ignored, and a program keeps that.
  std::signal(SIGHUP, SIG_DFL);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGHUP}) {
    SCOPED_TRACE(signal);
    const std::string name = "run" + std::to_string(signal);
    Process training(tiny_training(name, options + Words{"--steps", "1000000000"}), here());
    ASSERT_TRUE(eventually([&] { return !content(here() / name / "metrics.jsonl").empty(); }));
    training.send(signal);
    const Ending ending = training.wait();
    ASSERT_EQ(ending.code, 75) << ending.err;
    EXPECT_EQ(ending.err, "");
    const std::vector<std::uint64_t> steps = logged_steps(name);
    const std::uint64_t at = steps.back();
    EXPECT_THAT(ending.out, HasSubstr("stopped at step " + std::to_string(at) +
                                      " with a complete checkpoint; to go on, on any number of ranks: "
                                      "ganymede train --out " +
                                      name + " --resume"));
    EXPECT_EQ(inspected(name)["kind"], "checkpoint");
    EXPECT_EQ(inspected(name)["step"], at);
    // Its last picture is of where it stands.
    char picture[32];
    std::snprintf(picture, sizeof picture, "step-%08llu.png", static_cast<unsigned long long>(at));
    EXPECT_TRUE(content(here() / name / "samples" / picture).starts_with("\x89PNG")) << picture;

    const Words to_the_end = {"--steps", std::to_string(at + 5)};
    EXPECT_EQ(train(name, options + to_the_end + Words{"--resume"}).code, 0);
    expect_trained("whole" + name, options + to_the_end);
    expect_same_weights(name, "whole" + name);
    EXPECT_EQ(logged_steps(name).size(), at + 5);
  }
}

// Alone it is one program: nobody else is started, and nobody is listened to.
TEST_F(Run, OneProcessHasNoChildrenAndNoSockets) {
  const Process training(tiny_training("run", {"--steps", "1000000000", "--log-every", "1"}), here());
  ASSERT_TRUE(eventually([&] { return logged_steps("run").size() > 1; }));
  const fs::path process = "/proc/" + std::to_string(training.id());
  for (const auto& task : fs::directory_iterator(process / "task"))
    EXPECT_EQ(content(task.path() / "children"), "") << task.path();
  std::vector<std::string> open_files;
  std::error_code gone;  // one that was closed meanwhile
  for (const auto& file : fs::directory_iterator(process / "fd"))
    open_files.push_back(fs::read_symlink(file.path(), gone).string());
  EXPECT_THAT(open_files, ::testing::Contains(HasSubstr("run/metrics.jsonl")));
  EXPECT_THAT(open_files, Not(::testing::Contains(StartsWith("socket:"))));
}

TEST_F(Run, OneTrainingAtATimeWritesToAFolder) {
  const Words options = {"--reproducible", "--log-every", "10", "--checkpoint-every", "200"};
  for (const int end : {SIGKILL, SIGTERM}) {
    SCOPED_TRACE(end);
    Process first(tiny_training("run", options + Words{"--steps", "1000000000", "--resume"}), here());
    char host[256] = {};
    ASSERT_EQ(gethostname(host, sizeof host - 1), 0);
    const std::string holder = "process " + std::to_string(first.id()) + " on " + host + " since ";
    ASSERT_TRUE(eventually([&] {
      return content(here() / "run/.lock").starts_with(holder) && !content(here() / "run/metrics.jsonl").empty();
    }));
    const Words nine = options + Words{"--steps", "9"};
    for (const Words& words : {tiny_training("run", nine + Words{"--resume"}), tiny_training("run", nine),
                               mpirun({"-n", "2"}, tiny_training("run", nine + Words{"--resume"}))}) {
      const Ending second = run(words, here());
      EXPECT_EQ(second.code, 3);
      EXPECT_EQ(lines(second.err).size(), 1U) << second.err;
      EXPECT_THAT(second.err, AllOf(StartsWith("ganymede: "), HasSubstr("--out run is in use by " + holder)));
    }
    // The first has noticed nothing.
    const auto logged = [&] { return content(here() / "run/metrics.jsonl").size(); };
    const std::size_t before = logged();
    EXPECT_TRUE(eventually([&] { return logged() > before; }));
    first.send(end);
    const Ending ending = first.wait();
    EXPECT_EQ(ending.err, "");
    EXPECT_EQ(ending.code, end == SIGTERM ? 75 : -1);
  }
  // However a training ended, its lock is no other's.
  const std::uint64_t steps = inspected("run")["step"].get<std::uint64_t>() + 3;
  expect_trained("run", options + Words{"--steps", std::to_string(steps), "--resume"});
  expect_trained("whole", options + Words{"--steps", std::to_string(steps)});
  expect_same_weights("run", "whole");
}

TEST_F(Run, OfManyThatBeginAtOnceOneGetsTheFolder) {
  const Words options = {"--steps", "300", "--log-every", "1"};
  std::vector<std::unique_ptr<Process>> all;
  for (int i = 0; i < 6; ++i) all.push_back(std::make_unique<Process>(tiny_training("run", options), here()));
  // The others are told that it is held, or, when they come after that, that it holds a run.
  int trained = 0;
  for (const auto& one : all) {
    const Ending ending = one->wait();
    if (ending.code == 0)
      ++trained;
    else
      EXPECT_THAT(ending.code, AnyOf(2, 3)) << ending.err;
  }
  EXPECT_EQ(trained, 1);
  EXPECT_EQ(logged_steps("run").size(), 300U);
  EXPECT_EQ(inspected("run")["kind"], "finished run");
}

TEST_F(Run, AHangupThatIsIgnoredEndsNothing) {
  Process training(Words{"sh", "-c", "trap '' HUP; exec \"$@\"", "sh"} +
                       tiny_training("run", {"--steps", "1000000000", "--log-every", "1"}),
                   here());
  const auto logged = [&] { return content(here() / "run/metrics.jsonl").size(); };
  ASSERT_TRUE(eventually([&] { return logged() > 0; }));
  training.send(SIGHUP);
  const std::size_t before = logged();
  EXPECT_TRUE(eventually([&] { return logged() > before + 20'000; }));
  training.send(SIGTERM);
  EXPECT_EQ(training.wait().code, 75);
}

TEST_F(Run, ADamagedRecordDoesNotStopAResume) {
  expect_trained("run", {"--steps", "8", "--log-every", "2"});
  const fs::path metrics = here() / "run/metrics.jsonl";
  std::string text = content(metrics);
  text.replace(text.find("\n{\"step\":6") + 1, 1, "?");
  write(metrics, text);
  const Ending ending = train("run", {"--steps", "10", "--log-every", "2", "--resume"});
  EXPECT_EQ(ending.code, 0);
  EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
  EXPECT_THAT(ending.err, AllOf(StartsWith("ganymede: warning: run/metrics.jsonl, line 3"),
                                HasSubstr("the file as it was is now run/metrics.jsonl.damaged")));
  EXPECT_THAT(logged_steps("run"), ElementsAre(2, 4, 10));
  EXPECT_EQ(content(here() / "run/metrics.jsonl.damaged"), text);
}

// However often it was resumed; and what cannot be read is no reason to end.
TEST_F(Run, KeepsWhatTheTimeOfItsNewestStartsWentTo) {
  expect_trained("run", {"--steps", "2"});
  const fs::path file = here() / "run/timing.jsonl";
  const std::string first = content(file);
  ASSERT_THAT(first, StartsWith(R"({"start":1,)"));
  std::string many;
  for (int start = 1; start <= 25; ++start) many += R"({"start":)" + std::to_string(start) + first.substr(10);
  write(file, many);
  expect_trained("run", {"--steps", "4", "--resume"});
  const std::vector<std::string> kept = lines(content(file));
  ASSERT_EQ(kept.size(), 20U);
  for (std::size_t i = 0; i < kept.size(); ++i)
    EXPECT_THAT(kept[i], StartsWith(R"({"start":)" + std::to_string(7 + i) + ","));
  EXPECT_THAT(kept.back(), HasSubstr(R"("first_step":2,"last_step":4,"steps":2,)"));
  write(file, first + "no line\n");
  const Ending damaged = train("run", {"--steps", "6", "--resume"});
  EXPECT_EQ(damaged.code, 0);
  EXPECT_EQ(lines(damaged.err).size(), 1U) << damaged.err;
  EXPECT_THAT(damaged.err, AllOf(HasSubstr("warning: run/timing.jsonl, line 2: "), HasSubstr("is not kept")));
  EXPECT_THAT(content(file), StartsWith(R"({"start":1,"first_step":4,)"));
}

TEST_F(Run, SecondsGoOnWhenItIsResumed) {
  expect_trained("run", {"--steps", "400", "--log-every", "400"});
  expect_trained("run", {"--steps", "401", "--log-every", "401", "--resume"});
  const std::vector<std::string> records = lines(content(here() / "run/metrics.jsonl"));
  ASSERT_EQ(records.size(), 2U);
  EXPECT_GT(Json::parse(records[1])["seconds"].get<double>(), Json::parse(records[0])["seconds"].get<double>());
}

TEST_F(Run, ItsConfigurationIsUnderstoodInAnyFolder) {
  fs::create_directories(here() / "elsewhere");
  fs::create_directory_symlink(
      fs::path(GANYMEDE_PROGRAM).parent_path().parent_path() / "share/ganymede/data/mnist-mini", here() / "set");
  expect_trained("run", {"--steps", "2", "--data", "./set"});
  EXPECT_THAT(content(here() / "run/config.ini"), HasSubstr("\ndata = " + (here() / "set").string() + "\n"));
  const Ending ending =
      run(ganymede({"train", "--config", "../run/config.ini", "--out", "again"}), here() / "elsewhere");
  EXPECT_EQ(ending.code, 0) << ending.err;
  expect_same_weights("run", "elsewhere/again");
  // A set's name stays one.
  expect_trained("named", {"--steps", "2"});
  EXPECT_THAT(content(here() / "named/config.ini"), HasSubstr("\ndata = mnist-mini\n"));
}

TEST_F(Run, AResumedRunKeepsItsRecipesName) {
  EXPECT_EQ(train("run", {"--steps", "2", "--recipe", "gan-literal"}).code, 0);
  for (const char* steps : {"3", "4"}) {
    EXPECT_EQ(run(ganymede({"train", "--out", "run", "--resume", "--steps", steps}), here()).code, 0);
    EXPECT_THAT(lines(content(here() / "run/config.ini")).front(), HasSubstr("(recipe: gan-literal)"));
  }
}

TEST_F(Run, ItsLogNamesTheDigestsOfItsFiles) {
  expect_trained("run", {"--steps", "4"});
  // Whose memory holds weights in another order than files do.
  const Ending ending = run(ganymede({"train", "--data", "mnist-mini", "--recipe", "dcgan", "--channels", "3,4",
                                      "--fully-connected", "6", "--steps", "2", "--batch", "8", "--out", "dcgan"}),
                            here());
  ASSERT_EQ(ending.code, 0) << ending.err;
  for (const std::string name : {"run", "dcgan"}) {
    const Json files = inspected(name)["files"];
    EXPECT_THAT(content(here() / name / "logs/rank-0000.log"),
                HasSubstr("generator " + files["generator"]["digest"].get<std::string>() + ", discriminator " +
                          files["discriminator"]["digest"].get<std::string>()));
  }
}

TEST_F(Run, OneIsNoPlural) {
  const Ending ending = run(ganymede({"train", "--out", "run", "--steps", "1", "--batch", "1"}), here());
  EXPECT_THAT(ending.out, AllOf(HasSubstr("1 step of 1 image ("), HasSubstr("done: 1 step;")));
  EXPECT_THAT(run(ganymede({"sample", "run", "--count", "1"}), here()).out, StartsWith("1 image from "));
}

TEST_F(Run, MoreThreadsThanCoresAreWarnedOf) {
  const std::string threads = std::to_string(std::thread::hardware_concurrency() + 1);
  const Ending ending = run(ganymede({"train", "--out", "run", "--steps", "1", "--threads", threads}), here());
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.err,
              AllOf(StartsWith("ganymede: warning: --threads " + threads + " "), HasSubstr("without --threads")));
}

TEST_F(Run, ASecondInterruptEndsItAtOnce) {
  // Steps of seconds, so that the second signal comes before the first has been answered.
  Process training(ganymede({"train", "--out", "run", "--generator-hidden", "1024,1024", "--discriminator-hidden",
                             "1024,1024", "--batch", "4000", "--threads", "1", "--sample-count", "1"}),
                   here());
  ASSERT_TRUE(eventually([&] { return fs::exists(here() / "run/samples/step-00000000.png"); }));
  training.send(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  training.send(SIGINT);
  const Ending ending = training.wait();
  EXPECT_EQ(ending.signal, SIGINT);
  EXPECT_TRUE(fs::is_empty(here() / "run/checkpoints"));
}

TEST_F(Run, NumbersThatAreNotFiniteEndIt) {
  const Ending ending = run(diverging_training("run"), here());
  EXPECT_EQ(ending.code, 5);
  EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
  EXPECT_THAT(ending.err, AllOf(HasSubstr("is not finite"), HasSubstr("no checkpoint was written before it"),
                                HasSubstr("--learning-rate")));
  EXPECT_FALSE(fs::exists(here() / "run/generator.safetensors"));

  // Where there is a checkpoint, it is named; also after a resume that wrote none of its own.
  const Ending later = run(diverging_training("later") + Words{"--checkpoint-every", "1"}, here());
  EXPECT_EQ(later.code, 5);
  std::uint64_t newest = 0;
  for (const auto& entry : fs::directory_iterator(here() / "later/checkpoints"))
    newest = std::max<std::uint64_t>(newest, std::stoul(entry.path().filename().string().substr(5)));
  const std::string stands = "the checkpoint of step " + std::to_string(newest) + " in later still stands";
  EXPECT_GT(newest, 0U);
  EXPECT_THAT(later.err, HasSubstr(stands));
  const Ending resumed = run(ganymede({"train", "--out", "later", "--resume", "--checkpoint-every", "0"}), here());
  EXPECT_EQ(resumed.code, 5);
  EXPECT_THAT(resumed.err, HasSubstr(stands));
}

TEST_F(Run, PlainLinesWhereThereIsNoTerminal) {
  const Ending ending = train("run", {"--steps", "200", "--log-every", "1"});
  EXPECT_THAT(ending.out,
              AllOf(Not(HasSubstr("\r")), Not(HasSubstr("\x1b")), HasSubstr("step 1/200"), HasSubstr("step 200/200")));
  EXPECT_LE(lines(ending.out).size(), 40U);
}

TEST_F(Run, SamplesAreAFunctionOfTheSeed) {
  expect_trained("run", {"--steps", "3"});
  const auto sample = [&](const std::string& out, const Words& more) {
    const Ending ending = run(ganymede({"sample", "run", "--out", out}) + more, here());
    EXPECT_EQ(ending.code, 0) << ending.err;
    EXPECT_THAT(ending.out, AllOf(HasSubstr("(step 3)"), HasSubstr(out)));
    return content(here() / out);
  };
  const std::string first = sample("a.png", {"--count", "5"});
  EXPECT_THAT(first, StartsWith("\x89PNG"));
  EXPECT_TRUE(sample("b.png", {"--count", "5", "--seed", "1"}) == first);
  EXPECT_FALSE(sample("c.png", {"--count", "5", "--seed", "2"}) == first);
  EXPECT_FALSE(sample("d.png", {"--count", "6"}) == first);
  const std::string walk = sample("w.png", {"--interpolate", "4", "--count", "3"});
  EXPECT_TRUE(sample("v.png", {"--interpolate", "4", "--count", "3"}) == walk);
  // Rows of four: as wide as a grid of four columns, as twelve images in sixteen places are.
  EXPECT_EQ(walk.substr(16, 4), sample("x.png", {"--count", "12"}).substr(16, 4));
  EXPECT_THAT(run(ganymede({"sample", "run", "--interpolate", "4", "--count", "3"}), here()).out,
              StartsWith("12 images from run (step 3) in samples.png"));
  // All seeds of a training, and a picture that goes on through a pipe without the message in it.
  sample("l.png", {"--seed", "18446744073709551615"});
  const Ending piped = run(
      {"bash", "-c", "\"$0\" sample run --count 5 --out /proc/self/fd/1 | cat > piped.png", GANYMEDE_PROGRAM}, here());
  EXPECT_THAT(piped.err, HasSubstr("5 images from run"));
  EXPECT_TRUE(content(here() / "piped.png") == first);
  // From a checkpoint and from the weights file alone, the same.
  for (const char* place : {"run/checkpoints/step-00000003", "run/generator.safetensors"}) {
    EXPECT_EQ(run(ganymede({"sample", place, "--count", "5", "--out", "p.png"}), here()).code, 0);
    EXPECT_TRUE(content(here() / "p.png") == first) << place;
  }
}

// Convolutions' weights do not say for which images they are, and pictures need running statistics: from the final
// weights, from a checkpoint and from an export alike; a run that was resumed draws what the uninterrupted one draws.
TEST_F(Run, ConvolutionsAreSampledAndResumed) {
  const auto trained = [&](const std::string& out, const std::string& steps) {
    return run(ganymede({"train", "--data",   "mnist-mini", "--recipe",   "dcgan",    "--channels",
                         "3,4",   "--kernel", "4",          "--latent",   "5",        "--fully-connected",
                         "6",     "--ema",    "0.9",        "--schedule", "constant", "--batch",
                         "24",    "--seed",   "3",          "--steps",    steps,      "--out",
                         out}),
               here());
  };
  for (const auto& [out, steps] : {std::pair{"whole", "4"}, {"parts", "2"}}) {
    const Ending ending = trained(out, steps);
    ASSERT_EQ(ending.code, 0) << ending.err;
    EXPECT_THAT(ending.out, HasSubstr("3×14×14"));
  }
  ASSERT_EQ(run(ganymede({"train", "--out", "parts", "--steps", "4", "--resume"}), here()).code, 0);
  expect_same_weights("whole", "parts");
  ASSERT_EQ(run(ganymede({"export", "whole", "--out", "exported.safetensors"}), here()).code, 0);
  std::set<std::string> pictures;
  for (const char* place : {"whole", "parts/checkpoints/step-00000004", "exported.safetensors"}) {
    ASSERT_EQ(run(ganymede({"sample", place, "--count", "5", "--out", "p.png"}), here()).code, 0) << place;
    pictures.insert(content(here() / "p.png"));
  }
  EXPECT_EQ(pictures.size(), 1U);
}

// Images shown three at a time are drawn in colour, from a run and from an export; not with classes.
TEST_F(Run, StackedImagesAreColours) {
  for (const std::string model : {"mlp", "dcgan"}) {
    std::vector<std::string> options = {"train", "--stack", "3", "--model", model, "--steps", "3", "--out", model};
    if (model == "dcgan") options.insert(options.end(), {"--channels", "2,3", "--fully-connected", "4"});
    const Ending ending = run(ganymede(options), here());
    ASSERT_EQ(ending.code, 0) << ending.err;
    EXPECT_THAT(ending.out, HasSubstr("28×28, 3 at a time"));
    ASSERT_EQ(run(ganymede({"export", model, "--out", "g.safetensors"}), here()).code, 0);
    std::set<std::string> pictures;
    for (const std::string& place : {model, std::string("g.safetensors")}) {
      ASSERT_EQ(run(ganymede({"sample", place, "--count", "4", "--out", "p.png"}), here()).code, 0);
      pictures.insert(content(here() / "p.png"));
    }
    ASSERT_EQ(pictures.size(), 1U);
    EXPECT_EQ(pictures.begin()->at(25), 2) << "the type of a PNG's colours: RGB";
  }
  const Ending both = run(ganymede({"train", "--stack", "2", "--condition", "concat", "--out", "none"}), here());
  EXPECT_EQ(both.code, 2);
  EXPECT_THAT(both.err, HasSubstr("use --condition none"));
}

// A run that was told classes draws them in turn, or the one that is asked for.
TEST_F(Run, AClassIsSampled) {
  const auto sampled = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"sample", "told", "--out", "p.png"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(ganymede(arguments), here());
  };
  for (const std::string condition : {"concat", "projection"}) {
    const Ending ending = run(ganymede({"train", "--data", "mnist-mini", "--condition", condition, "--steps", "60",
                                        "--learning-rate", "0.002", "--out", "told"}),
                              here());
    ASSERT_EQ(ending.code, 0) << ending.err;
    EXPECT_THAT(ending.out, HasSubstr("in 10 classes"));
    EXPECT_EQ(inspected("told")["classes"], "10");
    // Image i is of class i % 10: those of one class are where they were, and the others are others.
    ASSERT_EQ(sampled({"--count", "20"}).code, 0);
    const std::string all = content(here() / "p.png");
    std::set<std::string> pictures;
    for (const char* which : {"0", "3", "9"}) {
      ASSERT_EQ(sampled({"--count", "20", "--class", which}).code, 0);
      pictures.insert(content(here() / "p.png"));
    }
    EXPECT_EQ(pictures.size(), 3U);
    EXPECT_FALSE(pictures.contains(all));
    ASSERT_EQ(sampled({"--count", "1"}).code, 0);
    const std::string first = content(here() / "p.png");
    ASSERT_EQ(sampled({"--count", "1", "--class", "0"}).code, 0);
    EXPECT_TRUE(content(here() / "p.png") == first);
    EXPECT_EQ(sampled({"--interpolate", "3", "--class", "7"}).code, 0);
    const Ending wrong = sampled({"--class", "10"});
    EXPECT_EQ(wrong.code, 2);
    EXPECT_THAT(wrong.err, HasSubstr("--class takes a whole number from 0 to 9"));
    fs::remove_all(here() / "told");
  }
  expect_trained("told", {"--steps", "2"});
  const Ending without = sampled({"--class", "1"});
  EXPECT_EQ(without.code, 2);
  EXPECT_THAT(without.err, HasSubstr("was trained without classes"));
  // Nor can a set without labels be trained on with classes.
  fs::copy(fs::path(GANYMEDE_PROGRAM).parent_path().parent_path() / "share/ganymede/data/mnist-mini", here() / "bare");
  for (const auto& file : fs::directory_iterator(here() / "bare"))
    if (file.path().filename().string().find("train-labels") == 0) fs::remove(file.path());
  const Ending bare =
      run(ganymede({"train", "--data", "bare", "--condition", "concat", "--steps", "1", "--out", "r"}), here());
  EXPECT_EQ(bare.code, 3);
  EXPECT_THAT(bare.err, HasSubstr("train-labels"));
}

TEST_F(Run, InspectSaysWhatIsThere) {
  expect_trained("run", {"--steps", "6", "--checkpoint-every", "2", "--seed", "5", "--d-steps", "2"});
  const Json finished = inspected("run");
  EXPECT_EQ(finished["kind"], "finished run");
  EXPECT_EQ(finished["step"], 6);
  EXPECT_EQ(finished["images_seen"], 6 * 24 * 2);
  EXPECT_EQ(finished["options"]["seed"], "5");
  EXPECT_FALSE(finished["options"].contains("threads"));
  EXPECT_EQ(finished["files"]["generator"]["tensors"]["0.weight"], Json::parse("[8, 4]"));
  EXPECT_EQ(finished["files"]["generator"]["values"], 4 * 8 + 8 + 8 * 784 + 784);
  const Json checkpoint = inspected("run/checkpoints/step-00000004");
  EXPECT_EQ(checkpoint["kind"], "checkpoint");
  EXPECT_EQ(checkpoint["step"], 4);
  EXPECT_EQ(checkpoint["images_seen"], 4 * 24 * 2);
  EXPECT_EQ(checkpoint["options"], finished["options"]);
  // The last checkpoint's average of G is the final generator.
  EXPECT_EQ(inspected("run/checkpoints/step-00000006")["files"]["generator-average"]["digest"],
            finished["files"]["generator"]["digest"]);
  EXPECT_EQ(inspected("run/discriminator.safetensors")["files"]["discriminator"]["digest"],
            finished["files"]["discriminator"]["digest"]);
  const Ending table = run(ganymede({"inspect", "run"}), here());
  EXPECT_EQ(table.code, 0);
  EXPECT_THAT(table.out,
              AllOf(HasSubstr("finished run"), HasSubstr(finished["files"]["generator"]["digest"].get<std::string>())));
  // Its checkpoints, the damaged among them.
  for (const char* step : {"step-00000002 ", "step-00000004 ", "step-00000006 "})
    EXPECT_THAT(table.out, HasSubstr(step));
  EXPECT_EQ(finished["checkpoints"].size(), 3U);
  fs::resize_file(here() / "run/checkpoints/step-00000002/generator.safetensors", 100);
  const Json checkpoints = inspected("run")["checkpoints"];
  EXPECT_THAT(checkpoints[0]["refused"].dump(), HasSubstr("generator.safetensors: length"));
  EXPECT_EQ(checkpoints[0]["images_seen"], nullptr);
  EXPECT_EQ(checkpoints[1], Json({{"folder", "run/checkpoints/step-00000004"},
                                  {"step", 4},
                                  {"images_seen", 4 * 24 * 2},
                                  {"refused", nullptr}}));
  EXPECT_THAT(run(ganymede({"inspect", "run"}), here()).out,
              ContainsRegex("step-00000002 +cannot be used: [^\n]*length[^\n]*\n +step-00000004 +192 images seen\n"));
  EXPECT_EQ(inspected("run/generator.safetensors")["checkpoints"].size(), 0U);
  // A name that is no UTF-8.
  fs::rename(here() / "run", here() / "\xFFrun");
  EXPECT_EQ(inspected("\xFFrun")["step"], 6);
  // Of a batch that was changed on the way each step's counts as it was.
  const Ending changed = run(
      ganymede({"train", "--out", "\xFFrun", "--resume", "--steps", "7", "--batch", "48", "--allow-change", "batch"}),
      here());
  EXPECT_EQ(changed.code, 0) << changed.err;
  EXPECT_EQ(inspected("\xFFrun")["images_seen"], 6 * 24 * 2 + 48 * 2);
}

// The final weights are two files: what an interruption between them leaves is found out, and the newest checkpoint
// taken for them.
TEST_F(Run, FinalWeightsThatAreNoPairGiveWayToTheNewestCheckpoint) {
  const Words options = {"--reproducible", "--checkpoint-every", "4", "--keep", "0"};
  expect_trained("earlier", options + Words{"--steps", "6"});
  expect_trained("run", options + Words{"--steps", "6"});
  expect_trained("other", options + Words{"--steps", "8", "--seed", "2"});
  expect_trained("run", options + Words{"--steps", "8", "--resume"});
  fs::create_directory(here() / "aside");
  fs::copy(here() / "run", here() / "aside", fs::copy_options::recursive);
  const auto expect_checkpoint = [&](const std::string& says) {
    SCOPED_TRACE(says);
    const Json json = inspected("run");
    EXPECT_EQ(json["kind"], "checkpoint");
    EXPECT_EQ(json["step"], 8);
    EXPECT_THAT(json["refused"].dump(), HasSubstr(says));
    for (const Words& words : {Words{"inspect", "run"}, Words{"inspect", "--json", "run"},
                               Words{"sample", "run", "--count", "1"}, Words{"export", "run"}}) {
      const Ending ending = run(ganymede(words), here());
      EXPECT_EQ(ending.code, 0) << ending.err;
      EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
      EXPECT_THAT(ending.err, AllOf(StartsWith("ganymede: warning: "), HasSubstr(says)));
    }
    EXPECT_TRUE(content(here() / "generator.safetensors") == content(here() / "aside/generator.safetensors"));
  };
  const auto put = [&](const std::string& from, const std::string& name) {
    fs::copy_file(here() / from / name, here() / "run" / name, fs::copy_options::overwrite_existing);
  };
  put("earlier", "generator.safetensors");
  expect_checkpoint("run/generator.safetensors is of step 6, discriminator.safetensors of step 8");
  put("other", "generator.safetensors");
  expect_checkpoint("of step 8 of another training");
  fs::remove(here() / "run/generator.safetensors");
  expect_checkpoint("run/discriminator.safetensors, but no generator.safetensors");
  put("aside", "generator.safetensors");
  fs::remove(here() / "run/discriminator.safetensors");
  expect_checkpoint("run/generator.safetensors, but no discriminator.safetensors");
  put("earlier", "discriminator.safetensors");
  // Nothing to take for them.
  fs::remove_all(here() / "run/checkpoints");
  for (const Words& words : {Words{"inspect", "run"}, Words{"sample", "run"}, Words{"export", "run"}}) {
    const Ending ending = run(ganymede(words), here());
    EXPECT_EQ(ending.code, 3);
    EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
    EXPECT_THAT(ending.err, AllOf(StartsWith("ganymede: run holds nothing that can be used: "),
                                  HasSubstr("is of step 8, discriminator.safetensors of step 6")));
  }
}

TEST_F(Run, TheGeneratorIsWrittenLast) {
  fs::create_directories(here() / "run/discriminator.safetensors");  // where no file can be put
  EXPECT_EQ(train("run", {"--steps", "2"}).code, 3);
  EXPECT_FALSE(fs::exists(here() / "run/generator.safetensors"));
}

TEST_F(Run, FinalWeightsNeedNoCheckpoint) {
  expect_trained("run", {"--steps", "6", "--checkpoint-every", "3"});
  const std::string generator = content(here() / "run/generator.safetensors");
  for (const char* step : {"3", "6"})
    damage(here() / (std::string("run/checkpoints/step-0000000") + step) / "generator.safetensors");
  const Json json = inspected("run");
  EXPECT_EQ(json["kind"], "finished run");
  EXPECT_EQ(json["refused"].size(), 2U);
  for (const Words& words :
       {Words{"inspect", "run"}, Words{"sample", "run"}, Words{"export", "run", "--out", "x.safetensors"}}) {
    const Ending ending = run(ganymede(words), here());
    EXPECT_EQ(ending.code, 0) << ending.err;
    EXPECT_EQ(lines(ending.err).size(), 2U) << ending.err;
    EXPECT_THAT(ending.err, AllOf(StartsWith("ganymede: warning: "), HasSubstr("step-00000006/generator.safetensors"),
                                  HasSubstr("step-00000003/generator.safetensors")));
  }
  EXPECT_TRUE(content(here() / "x.safetensors") == generator);
  const Ending raw = run(ganymede({"export", "run", "--weights", "raw"}), here());
  EXPECT_EQ(raw.code, 3);
  EXPECT_THAT(lines(raw.err).back(), HasSubstr("run has G's raw weights of step 6 no more"));
  fs::remove_all(here() / "run/checkpoints");
  write(here() / "run/checkpoints", "");
  const Ending unlisted = run(ganymede({"inspect", "run"}), here());
  EXPECT_EQ(unlisted.code, 0) << unlisted.err;
  EXPECT_THAT(unlisted.err, StartsWith("ganymede: warning: cannot list run/checkpoints: "));
}

TEST_F(Run, ExportWritesTheRunsOwnFiles) {
  expect_trained("run", {"--steps", "6"});
  const auto exported = [&](const Words& words) {
    const Ending ending = run(ganymede({"export"}) + words + Words{"--out", "x.safetensors"}, here());
    EXPECT_EQ(ending.code, 0) << ending.err;
    return content(here() / "x.safetensors");
  };
  const std::string generator = content(here() / "run/generator.safetensors");
  EXPECT_TRUE(exported({"run"}) == generator);
  EXPECT_TRUE(exported({"run/checkpoints/step-00000006"}) == generator);
  EXPECT_TRUE(exported({"run", "--network", "discriminator"}) == content(here() / "run/discriminator.safetensors"));
  const std::string raw = exported({"run/checkpoints/step-00000006", "--weights", "raw"});
  EXPECT_FALSE(raw == generator);
  EXPECT_TRUE(exported({"run", "--weights", "raw"}) == raw);
  // Never in the place of a file of a run's or a checkpoint's.
  const std::string discriminator = content(here() / "run/discriminator.safetensors");
  for (const std::string own :
       {"run/discriminator.safetensors", "run/checkpoints/step-00000006/generator.safetensors"}) {
    const Ending refused = run(ganymede({"export", "run", "--out", own}), here());
    EXPECT_EQ(refused.code, 2);
    EXPECT_THAT(refused.err, HasSubstr("--out " + own + " is a file of the run's own"));
  }
  EXPECT_TRUE(content(here() / "run/discriminator.safetensors") == discriminator);
  // Without --out the network gives the name.
  EXPECT_EQ(run(ganymede({"export", "run", "--network", "discriminator"}), here()).code, 0);
  EXPECT_TRUE(fs::exists(here() / "discriminator.safetensors"));
}

// Every network and kind of weights from everything that holds some: the tensors of one of the last checkpoint's
// files, or one sentence.
TEST_F(Run, ExportTakesAnyNetworkFromAnyPlace) {
  expect_trained("with", {"--steps", "3"});
  expect_trained("without", {"--steps", "3", "--ema", "0"});
  const auto digest = [&](const std::string& place, const std::string& name) {
    return inspected(place)["files"][name]["digest"].get<std::string>();
  };
  const auto exported = [&](const std::string& place, const std::string& network, const std::string& weights,
                            const std::string& out) {
    fs::remove(here() / out);
    const Ending ending =
        run(ganymede({"export", place, "--network", network, "--weights", weights, "--out", out}), here());
    if (ending.code == 0) return digest(out, network);
    EXPECT_EQ(ending.code, 3) << ending.err;
    EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
    EXPECT_FALSE(fs::exists(here() / out));
    return ending.err;
  };
  for (const std::string run : {"with", "without"}) {
    const std::string checkpoint = run + "/checkpoints/step-00000003";
    const std::string raw = digest(checkpoint, "generator");
    const std::string average = run == "with" ? digest(checkpoint, "generator-average") : raw;
    const std::string discriminator = digest(checkpoint, "discriminator");
    EXPECT_EQ(raw == average, run == "without");
    const std::string raw_file = run + "-raw.safetensors";
    EXPECT_EQ(exported(run, "generator", "raw", raw_file), raw);
    const std::string no_generator = "discriminator.safetensors holds no generator";
    const std::string no_discriminator = "generator.safetensors holds no discriminator";
    struct Place {
      std::string name;
      std::string average, raw, discriminator;
    };
    for (const Place& place : std::vector<Place>{
             {run, average, raw, discriminator},
             {checkpoint, average, raw, discriminator},
             {run + "/generator.safetensors", average, run == "with" ? "holds G's average alone" : raw,
              no_discriminator},
             {checkpoint + "/generator" + (run == "with" ? "-average" : "") + ".safetensors", average,
              run == "with" ? "generator-average.safetensors holds no generator" : raw, "holds no discriminator"},
             {raw_file, run == "with" ? "holds G's raw weights alone" : raw, raw, "holds no discriminator"},
             {run + "/discriminator.safetensors", no_generator, no_generator, discriminator}}) {
      SCOPED_TRACE(place.name);
      EXPECT_THAT(exported(place.name, "generator", "average", "x.safetensors"), HasSubstr(place.average));
      EXPECT_THAT(exported(place.name, "generator", "raw", "x.safetensors"), HasSubstr(place.raw));
      for (const char* weights : {"average", "raw"})
        EXPECT_THAT(exported(place.name, "discriminator", weights, "x.safetensors"), HasSubstr(place.discriminator));
    }
  }
}

TEST_F(Run, BenchMeasuresTheStep) {
  const Words options = {
      "bench", "--rounds", "2", "--round-steps", "3", "--generator-hidden", "8", "--discriminator-hidden", "8"};
  const Ending ending = run(ganymede(options + Words{"--json"}), here());
  ASSERT_EQ(ending.code, 0) << ending.err;
  const Json json = Json::parse(ending.out);
  EXPECT_EQ(json["seconds_per_step"]["all"].size(), 2U);
  EXPECT_GT(json["seconds_per_step"]["min"].get<double>(), 0);
  EXPECT_GT(json["phases"]["update"].get<double>(), 0);
  EXPECT_EQ(json["ranks"], 1);
  EXPECT_GT(json["gflops_per_rank"].get<double>(), 0);
  EXPECT_LT(json["gflops_per_rank"].get<double>(), json["peak_gflops_per_rank"].get<double>());
  EXPECT_FALSE(json.contains("roofline"));
  Words once = options;
  once[2] = "1";
  EXPECT_THAT(run(ganymede(once), here()).out,
              AllOf(HasSubstr(" in the median of 1 round of 3 steps; "), HasSubstr("phase")));

  const Words roofline = {"--roofline", "h100"};
  EXPECT_THAT(run(ganymede(options + roofline), here()).out,
              AllOf(HasSubstr("\nstep 33 on an NVIDIA H100, 67 TFLOP/s and 3.35 TB/s by its data sheet"),
                    HasSubstr("\nG forward         layer                    200 × 100 → 8 ")));
  const Json least = Json::parse(run(ganymede(options + roofline + Words{"--json"}), here()).out)["roofline"];
  double bytes = 0;
  for (const Json& operation : least["operations"]) bytes += operation["bytes"].get<double>();
  EXPECT_EQ(bytes, json["least_bytes_per_step_and_rank"].get<double>());

  // A burst is no step like others: 40 updates of D would be eight times the work.
  const Words wgan = options + Words{"--recipe", "wgan", "--json"};
  const Ending burst = run(ganymede(wgan + Words{"--d-burst", "40"}), here());
  EXPECT_EQ(burst.err, "ganymede: note: steps with --d-burst 40 updates of D are left out\n");
  const Ending none = run(ganymede(wgan + Words{"--d-burst", "0"}), here());
  EXPECT_EQ(none.err, "");
  EXPECT_EQ(Json::parse(burst.out)["flops_per_step_and_rank"], Json::parse(none.out)["flops_per_step_and_rank"]);
  EXPECT_TRUE(fs::is_empty(here()));
}

}  // namespace
}  // namespace ganymede::test
