// Evaluations in the midst of a training: what they measure, and that nothing else notices them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/process.hpp"

namespace ganymede::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Json = nlohmann::json;

class EvalEvery : public ::testing::Test {
 protected:
  void train(const Words& launcher, const std::string& out, const Words& more) {
    const Ending ending =
        run(launcher + tiny_training(out, Words{"--reproducible", "--log-every", "10", "--seed", "5"} + more),
            folder_.path());
    ASSERT_EQ(ending.code, 0) << ending.err;
  }
  [[nodiscard]] std::string weights(const std::string& out) const {
    return content(folder_.path() / out / "generator.safetensors") +
           content(folder_.path() / out / "discriminator.safetensors");
  }
  [[nodiscard]] std::vector<Json> records(const std::string& out) const {
    std::vector<Json> all;
    for (const std::string& line : lines(content(folder_.path() / out / "metrics.jsonl")))
      all.push_back(Json::parse(line));
    return all;
  }
  /// What evaluations said, by record.
  [[nodiscard]] std::vector<Json> evaluations(const std::string& out) const {
    std::vector<Json> all;
    for (const Json& record : records(out)) {
      Json& evaluation = all.emplace_back(Json::object());
      for (const auto& [key, value] : record.items())
        if (key.starts_with("eval_")) evaluation[key] = value;
    }
    return all;
  }
  TemporaryFolder folder_;
};

const Words evaluated = {"--eval-every", "20", "--eval-samples", "300", "--eval-metrics", "judge,parzen,two-sample"};

TEST_F(EvalEvery, ChangesNothingAndIsTheSameOnAnyNumberOfRanks) {
  train({}, "plain", {"--steps", "50"});
  train({}, "alone", Words{"--steps", "50"} + evaluated);
  train(mpirun({"-n", "2"}, {}), "two", Words{"--steps", "50"} + evaluated);
  // Stopped on the way, and gone on with on the other number of ranks.
  train(mpirun({"-n", "2"}, {}), "resumed", Words{"--steps", "30"} + evaluated);
  train({}, "resumed", {"--steps", "50", "--resume"});
  for (const char* run : {"alone", "two", "resumed"}) EXPECT_TRUE(weights(run) == weights("plain")) << run;
  EXPECT_EQ(evaluations("two"), evaluations("alone"));

  const std::vector<Json> found = evaluations("alone");
  ASSERT_EQ(found.size(), 5U);
  EXPECT_TRUE(found[0].empty());
  EXPECT_EQ(found[1]["eval_step"], 20);
  EXPECT_EQ(found[2], found[1]);  // it stands until the next
  EXPECT_EQ(found[3]["eval_step"], 40);
  EXPECT_NE(found[3]["eval_kid"], found[1]["eval_kid"]);
  EXPECT_EQ(found[4]["eval_step"], 50);
  EXPECT_EQ(evaluations("resumed").back(), found.back());
  for (const Json& none : evaluations("plain")) EXPECT_TRUE(none.empty());
  EXPECT_THAT(content(folder_.path() / "two/logs/rank-0001.log"),
              AllOf(HasSubstr("evaluation of step 40: classifier-FD"), HasSubstr("it took")));
}

// `ganymede eval` measures the same of the final weights.
TEST_F(EvalEvery, IsWhatEvalMeasures) {
  train({}, "run",
        {"--steps", "30", "--condition", "concat", "--generator-norm", "batch", "--eval-every", "1000",
         "--eval-samples", "300", "--eval-metrics", "judge,parzen,two-sample,1nn-error"});
  const Ending ending = run(ganymede({"eval", "run", "--data", "mnist-mini", "--samples", "300", "--seed", "5",
                                      "--metrics", "judge,parzen,two-sample,1nn-error", "--json", "-"}),
                            folder_.path());
  ASSERT_EQ(ending.code, 0) << ending.err;
  const Json found = evaluations("run").back();
  const Json metrics = Json::parse(ending.out)["metrics"];
  const Json& samples = metrics["judge"]["samples"];
  EXPECT_EQ(found["eval_step"], 30);
  EXPECT_EQ(found["eval_classifier_fd"], samples["classifier_fd"]);
  EXPECT_EQ(found["eval_kid"], samples["kid"]["mean"]);
  EXPECT_EQ(found["eval_kid_error"], samples["kid"]["standard_error"]);
  EXPECT_EQ(found["eval_coverage"], samples["coverage"]);
  EXPECT_EQ(found["eval_inception_score"], samples["inception_score"]);
  EXPECT_EQ(found["eval_class_kl"], samples["class_kl"]);
  EXPECT_EQ(found["eval_parzen"], metrics["parzen"]["log_likelihood"]);
  EXPECT_EQ(found["eval_two_sample"], metrics["two_sample"]["accuracy"]["share"]);
  EXPECT_EQ(found["eval_1nn_error"], metrics["1nn_error"]["share"]);
}

TEST_F(EvalEvery, CountsModesOfStacks) {
  train({}, "run", {"--steps", "10", "--stack", "2", "--eval-every", "10", "--eval-samples", "100"});
  EXPECT_GE(evaluations("run").back()["eval_modes"], 1);
  EXPECT_EQ(evaluations("run").back().size(), 3U);
}

// A request to stop ends an evaluation that would take minutes, on all ranks; the resumed run makes it.
TEST_F(EvalEvery, IsEndedByARequestToStopAndMadeByTheResumedRun) {
  const auto words = [](const char* every, const char* samples) {
    return Words{"--steps",
                 "20",
                 "--log-every",
                 every,
                 "--eval-every",
                 "10",
                 "--eval-samples",
                 samples,
                 "--eval-metrics",
                 "parzen",
                 "--reproducible",
                 "--seed",
                 "5"};
  };
  const Words few = words("5", "300");
  const Words many = words("5", "16777216");
  ASSERT_EQ(run(tiny_training("whole", few), folder_.path()).code, 0);
  struct Stop {
    Words launcher;
    int signal;
    std::string name;
  };
  for (const auto& [launcher, signal, name] :
       std::vector<Stop>{{mpirun({"-n", "2"}, {}), SIGUSR1, "two"}, {{}, SIGTERM, "alone"}}) {
    SCOPED_TRACE(name);
    const std::filesystem::path folder = folder_.path() / name;
    Process training(launcher + tiny_training(name, many), folder_.path());
    // From the record of step 5 it is some thousandths of a second to the evaluation of step 10.
    ASSERT_TRUE(eventually([&] { return !content(folder / "metrics.jsonl").empty(); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const auto asked = std::chrono::steady_clock::now();
    training.send(signal);
    const Ending ending = training.wait();
    EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds(20));
    ASSERT_EQ(ending.code, 75) << ending.err;
    EXPECT_THAT(ending.out, HasSubstr("stopped at step 10 with a complete checkpoint"));
    EXPECT_THAT(content(folder / "logs/rank-0000.log"), HasSubstr("the evaluation of step 10 ends unmade, by request"));
    EXPECT_EQ(records(name).back()["step"], 10);
    EXPECT_TRUE(evaluations(name).back().empty());

    ASSERT_EQ(run(tiny_training(name, Words{"--resume"} + few), folder_.path()).code, 0);
    EXPECT_EQ(weights(name), weights("whole"));
    ASSERT_EQ(records(name).size(), 4U);
    EXPECT_EQ(evaluations(name)[2]["eval_step"], 10);
    EXPECT_EQ(evaluations(name)[2], evaluations("whole")[2]);
    EXPECT_EQ(evaluations(name)[3], evaluations("whole")[3]);
  }
}

// At the end there is nothing left to resume.
TEST_F(EvalEvery, OfTheLastStepIsLeftOutWhereItIsAskedToStop) {
  Process training(tiny_training("run", {"--steps", "10", "--log-every", "5", "--eval-every", "10", "--eval-samples",
                                         "16777216", "--eval-metrics", "parzen"}),
                   folder_.path());
  ASSERT_TRUE(eventually([&] { return !content(folder_.path() / "run/metrics.jsonl").empty(); }));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  training.send(SIGINT);
  const Ending ending = training.wait();
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.err, HasSubstr("the evaluation of the last step was not made, by request"));
  EXPECT_TRUE(evaluations("run").back().empty());
  EXPECT_FALSE(weights("run").empty());
}

// Test images without labels do for whatever looks at none.
TEST_F(EvalEvery, AsksForLabelsOfTestImagesWhereTheyAreNeeded) {
  const std::filesystem::path set = folder_.path() / "set";
  std::filesystem::copy(std::filesystem::path(GANYMEDE_DATA_FOLDER) / "mnist-mini", set);
  for (const auto& file : std::filesystem::directory_iterator(set))
    if (file.path().filename().string().starts_with("t10k-labels")) std::filesystem::remove(file.path());
  const Words of_set = {"--data", "set", "--eval-every", "10", "--eval-samples", "300", "--steps", "10"};
  train({}, "run", of_set + Words{"--eval-metrics", "judge,parzen,two-sample"});
  train({}, "same",
        {"--eval-every", "10", "--eval-samples", "300", "--steps", "10", "--eval-metrics", "judge,parzen,two-sample"});
  EXPECT_EQ(evaluations("run"), evaluations("same"));
  const Words conditional = of_set + Words{"--condition", "concat"};
  train({}, "conditional", conditional + Words{"--eval-metrics", "judge"});
  const Ending refused =
      run(tiny_training("none", conditional + Words{"--eval-metrics", "judge,1nn-error"}), folder_.path());
  EXPECT_EQ(refused.code, 3);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("no t10k-labels-idx1-ubyte"), HasSubstr("--eval-metrics 1nn-error needs")));

  const auto eval = [&](const Words& words) {
    return run(ganymede(Words{"eval", "--data", "set", "--samples", "300"} + words), folder_.path());
  };
  EXPECT_EQ(eval({"run"}).code, 0);
  EXPECT_EQ(eval({"conditional", "--metrics", "parzen"}).code, 0);
  EXPECT_THAT(eval({"conditional", "--metrics", "parzen,1nn-error"}).err, HasSubstr("no t10k-labels-idx1-ubyte"));
}

TEST_F(EvalEvery, RefusesWhatMakesNoSense) {
  const auto refused = [&](const Words& words, const char* why) {
    const Ending ending = run(tiny_training("none", Words{"--eval-every", "5"} + words), folder_.path());
    EXPECT_EQ(ending.code, 2) << ending.err;
    EXPECT_THAT(ending.err, HasSubstr(why));
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / "none"));
  };
  refused({"--eval-metrics", "jugde"}, "did you mean 'judge'?");
  refused({"--eval-metrics", "modes"}, "give --stack");
  refused({"--eval-metrics", "1nn-error"}, "give --condition");
  refused({"--stack", "2", "--eval-metrics", "parzen"}, "give --eval-metrics modes");
  refused({"--eval-samples", "100"}, "at least 128 samples");
  refused({"--eval-samples", "99", "--eval-metrics", "parzen"}, "--eval-samples of at least 100, not 99");
}

}  // namespace
}  // namespace ganymede::test
