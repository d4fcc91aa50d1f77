// `ganymede eval` as its users meet it: the same numbers on any number of ranks, and what they are of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "cli/process.hpp"

namespace ganymede::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;
using Json = nlohmann::json;

class Eval : public ::testing::Test {
 protected:
  void train(const std::string& out, const Words& more) {
    const Ending ending = run(tiny_training(out, more), folder_.path());
    ASSERT_EQ(ending.code, 0) << ending.err;
  }
  // What a successful evaluation prints.
  std::string evaluated(const Words& launcher, const Words& words) {
    const Ending ending =
        run(launcher + ganymede(Words{"eval", "run", "--data", "mnist-mini"} + words), folder_.path());
    EXPECT_EQ(ending.code, 0) << ending.err;
    EXPECT_EQ(ending.err, "");
    return ending.out;
  }
  TemporaryFolder folder_;
};

TEST_F(Eval, TheNumberOfRanksChangesNothing) {
  train("run", {"--steps", "20"});
  const Words words = {"--samples", "600", "--seed", "3"};
  const std::string table = evaluated({}, words);
  const std::string json = content(folder_.path() / "run/eval.json");
  for (const char* ranks : {"2", "3"}) {
    EXPECT_EQ(evaluated(mpirun({"-n", ranks}, {}), words), table);
    EXPECT_EQ(evaluated(mpirun({"-n", ranks}, {}), words + Words{"--json", "-"}), json);
  }
  EXPECT_EQ(evaluated({}, words + Words{"--threads", "2", "--json", "-"}), json);
  EXPECT_NE(evaluated({}, {"--samples", "600", "--seed", "4", "--json", "-"}), json);
}

// There is nothing to save; shells show the signal as 130.
TEST_F(Eval, AnInterruptEndsItAtOnce) {
  train("run", {"--steps", "20"});
  // Whatever started the tests may have it ignored, and a program keeps that.
  std::signal(SIGINT, SIG_DFL);
  const auto interrupted = [&](const Words& words) {
    Process process(words, folder_.path());
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const auto asked = std::chrono::steady_clock::now();
    process.send(SIGINT);
    const Ending ending = process.wait();
    EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds(5));
    return ending;
  };
  EXPECT_EQ(interrupted(ganymede({"eval", "run", "--data", "mnist-mini", "--samples", "16777216"})).signal, SIGINT);
  EXPECT_FALSE(fs::exists(folder_.path() / "run/eval.json"));
}

TEST_F(Eval, SaysWhatTheNumbersAreOf) {
  train("run", {"--steps", "20"});
  const std::string table = evaluated({}, {"--samples", "500"});
  EXPECT_THAT(table,
              AllOf(HasSubstr("run (finished run), step 20"), HasSubstr("moving average"),
                    HasSubstr("500 of seed 1, rounded to 8 bits"),
                    HasSubstr("mnist-mini: 4000 training and 1000 test images\n"), HasSubstr("nats"),
                    HasSubstr("on 500 test images"), HasSubstr("needs a class-conditional run"),
                    HasSubstr("classifier-FD"), HasSubstr("KID"), HasSubstr("coverage"), HasSubstr("inception score")));
  const Json json = Json::parse(evaluated({}, {"--samples", "500", "--json", "-"}));
  EXPECT_EQ(json["run"]["step"], 20);
  EXPECT_EQ(json["run"]["averaged_weights"], true);
  EXPECT_EQ(json["samples"]["count"], 500);
  EXPECT_EQ(json["data"]["trained_on"], true);
  EXPECT_EQ(json["metrics"]["two_sample"]["accuracy"]["of"], 1000);
  // Samples of twenty steps are no digits.
  EXPECT_GT(json["metrics"]["two_sample"]["accuracy"]["share"], 0.95);
  EXPECT_TRUE(json["metrics"]["1nn_error"].is_null());
  const Json& judge = json["metrics"]["judge"];
  EXPECT_EQ(judge["count"], 500);
  EXPECT_EQ(judge["recipe"]["seed"], "1");
  EXPECT_EQ(judge["samples"]["kid"]["subsets"], 10);
  EXPECT_EQ(judge["samples"]["class_histogram"].size(), 10U);
  // Samples of twenty steps are nearer to noise than to digits.
  EXPECT_LT(10 * judge["training_images"]["classifier_fd"].get<double>(), judge["samples"]["classifier_fd"]);
  EXPECT_LT(10 * judge["training_images"]["classifier_fd"].get<double>(), judge["noise"]["classifier_fd"]);
}

// Of stacked images only modes are counted, and those of no others.
TEST_F(Eval, StacksHaveModes) {
  train("run", {"--stack", "2", "--steps", "4"});
  const std::string table = evaluated({}, {"--samples", "300"});
  EXPECT_THAT(table, AllOf(HasSubstr("of 100 "), HasSubstr("in as many stacks of training images"),
                           HasSubstr(", of noise "), Not(HasSubstr("nats"))));
  EXPECT_EQ(evaluated(mpirun({"-n", "2"}, {}), {"--samples", "300"}), table);
  const Json json = Json::parse(evaluated({}, {"--samples", "5000", "--json", "-"}));
  const Json& modes = json["metrics"]["modes"];
  EXPECT_EQ(json["metrics"].size(), 1U);
  EXPECT_EQ(modes["training_images"]["count"], 5000);
  EXPECT_EQ(modes["training_images"]["found"], 100);
  // Five thousand draws of a hundred, from more than one pass through the set: a divergence of 99 / 10000 on average.
  EXPECT_NEAR(modes["training_images"]["kl"].get<double>(), 0.0099, 0.008);
  EXPECT_LT(modes["samples"]["found"], 50);
  EXPECT_LT(modes["noise"]["found"], 20);
  EXPECT_GT(modes["noise"]["kl"].get<double>(), 1);
  const Ending single = run(ganymede({"eval", "run", "--data", "mnist-mini", "--metrics", "parzen"}), folder_.path());
  EXPECT_EQ(single.code, 2);
  EXPECT_THAT(single.err, AllOf(HasSubstr("2 at a time"), HasSubstr("give --metrics modes")));
  train("plain", {"--steps", "4"});
  const Ending plain = run(ganymede({"eval", "plain", "--data", "mnist-mini", "--metrics", "modes"}), folder_.path());
  EXPECT_EQ(plain.code, 2);
  EXPECT_THAT(plain.err, HasSubstr("trained without --stack"));
}

TEST_F(Eval, MeasuresWhatIsAskedFor) {
  train("run", {"--steps", "4", "--ema", "0", "--generator-norm", "batch"});
  const Json json = Json::parse(evaluated({}, {"--samples", "300", "--metrics", "two-sample", "--json", "-"}));
  EXPECT_EQ(json["metrics"].size(), 1U);
  EXPECT_TRUE(json["metrics"].contains("two_sample"));
  EXPECT_EQ(Json::parse(evaluated({}, {"--samples", "100", "--json", "-"}))["metrics"]["judge"], nullptr);
  EXPECT_EQ(json["run"]["averaged_weights"], false);
  EXPECT_EQ(json["run"]["batch_norm"], "running statistics");
  EXPECT_THAT(evaluated({}, {"--samples", "300", "--metrics", "parzen"}),
              AllOf(HasSubstr("no average; batch normalisation by running statistics"), HasSubstr("Parzen"),
                    Not(HasSubstr("two-sample"))));
}

TEST_F(Eval, SaysThatTheDataAreOthers) {
  train("run", {"--steps", "4"});
  // The set's two halves the other way round.
  const fs::path mini = GANYMEDE_DATA_FOLDER "/mnist-mini";
  fs::create_directory(folder_.path() / "other");
  for (const auto& entry : fs::directory_iterator(mini)) {
    std::string name = entry.path().filename();
    for (const auto& [from, to] : {std::pair<std::string, std::string>{"train-", "t10k-"}, {"t10k-", "train-"}})
      if (name.starts_with(from)) {
        fs::copy(entry.path(), folder_.path() / "other" / (to + name.substr(from.size())));
        break;
      }
  }
  const Ending ending = run(ganymede({"eval", "run", "--data", "other", "--samples", "100"}), folder_.path());
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.out, HasSubstr("other: 1000 training and 4000 test images, another set than the run's own"));
}

TEST_F(Eval, ComparesWithTheRunsOwnDataUnlessToldOtherwise) {
  train("run", {"--steps", "4", "--data", "mnist-mini"});
  const Words words = {"--samples", "100", "--metrics", "parzen"};
  const auto folder = [&](const Words& launcher, const Words& more) {
    const Ending ending = run(launcher + ganymede(Words{"eval"} + more + words), folder_.path());
    EXPECT_EQ(ending.code, 0) << ending.err;
    return ending.out;
  };
  const std::string own = folder({}, {"run"});
  EXPECT_THAT(own, AllOf(HasSubstr("mnist-mini: 4000 training and 1000 test images\n"), Not(HasSubstr("another set"))));
  EXPECT_EQ(folder(mpirun({"-n", "2"}, {}), {"run"}), own);
  EXPECT_EQ(folder({}, {"run", "--data", "mnist-mini"}), own);
}

TEST_F(Eval, WhatIsExportedHasItsNumbersBesideItAndNoOthers) {
  train("run", {"--steps", "4", "--ema", "0.5"});
  const fs::path here = folder_.path();
  std::string warned;
  const auto exported = [&](const Words& more) {
    const Ending ending = run(ganymede(Words{"export", "run"} + more), here);
    EXPECT_EQ(ending.code, 0) << ending.err;
    EXPECT_EQ(lines(ending.out).size(), 1U);
    warned = ending.err;
    return ending.out;
  };
  exported({"--out", "g.safetensors"});
  EXPECT_FALSE(fs::exists(here / "g.safetensors.eval.json")) << "nothing was measured";
  evaluated({}, {"--samples", "100", "--metrics", "parzen"});
  for (const std::string file : {"g.safetensors", "g.onnx"}) {
    const std::string format = file.substr(2);
    EXPECT_THAT(exported({"--format", format, "--out", file}), HasSubstr("in " + file + ".eval.json"));
    EXPECT_EQ(content(here / (file + ".eval.json")), content(here / "run/eval.json"));
    EXPECT_EQ(warned, "");
    // Of the same name, and other weights: what lies there may be a user's own.
    EXPECT_THAT(exported({"--format", format, "--out", file, "--weights", "raw"}),
                HasSubstr("run/eval.json is of other weights"));
    EXPECT_THAT(warned, AllOf(HasSubstr(file + ".eval.json was there before"), HasSubstr("of other weights")));
    EXPECT_EQ(content(here / (file + ".eval.json")), content(here / "run/eval.json"));
    // Nothing of eval's: it stays, also where there are numbers to put there.
    write(here / (file + ".eval.json"), "notes");
    EXPECT_THAT(exported({"--format", format, "--out", file}), Not(HasSubstr("what eval measured of it")));
    EXPECT_THAT(warned, HasSubstr(file + ".eval.json was there before and is not what eval measured"));
    EXPECT_EQ(content(here / (file + ".eval.json")), "notes");
    fs::remove(here / (file + ".eval.json"));
  }
  exported({"--network", "discriminator", "--out", "d.safetensors"});
  EXPECT_FALSE(fs::exists(here / "d.safetensors.eval.json"));
  for (const char* other : {"", "[]", R"({"run":5})", R"({"format":"ganymede-eval","run":5})"}) {
    write(here / "run/eval.json", other);
    exported({"--out", "g.safetensors"});
    EXPECT_FALSE(fs::exists(here / "g.safetensors.eval.json")) << other;
  }
  fs::resize_file(here / "run/eval.json", std::uintmax_t{1} << 40U);  // holes, for which there is no memory
  EXPECT_THAT(exported({"--out", "g.safetensors"}), HasSubstr("run/eval.json is of other weights"));
}

// What was measured of the same samples before stays in the run's file beside what is measured now.
TEST_F(Eval, KeepsWhatStillHolds) {
  train("run", {"--steps", "4"});
  const fs::path here = folder_.path();
  const auto kept = [&] { return Json::parse(content(here / "run/eval.json")); };
  const auto asked = [&](const char* samples, const Words& more) {
    return run(ganymede(Words{"eval", "run", "--data", "mnist-mini", "--samples", samples} + more), here);
  };
  evaluated({}, {"--samples", "300"});
  const Json all = kept();
  EXPECT_THAT(evaluated({}, {"--samples", "300", "--metrics", "parzen"}),
              AllOf(HasSubstr("kept"), HasSubstr("two-sample, memorisation, judge, measured before")));
  EXPECT_EQ(kept(), all);
  // Measured anew, not kept: a forged number goes.
  Json forged = all;
  forged["metrics"]["parzen"]["log_likelihood"] = 1000;
  forged["metrics"]["two_sample"] = "kept as it is";
  forged["warnings"].push_back("of before");
  write(here / "run/eval.json", forged.dump());
  evaluated({}, {"--samples", "300", "--metrics", "parzen"});
  EXPECT_EQ(kept()["metrics"]["parzen"], all["metrics"]["parzen"]);
  EXPECT_EQ(kept()["metrics"]["two_sample"], "kept as it is");
  EXPECT_EQ(kept()["warnings"].back(), "of before");
  // A file that is named has what this call measured, whatever lay there.
  write(here / "own.json", all.dump());
  evaluated({}, {"--samples", "300", "--metrics", "parzen", "--json", "own.json"});
  EXPECT_EQ(Json::parse(content(here / "own.json"))["metrics"].size(), 1U);
  // Of other samples nothing stays, and that is said.
  const Ending fewer = asked("200", {"--metrics", "parzen"});
  EXPECT_THAT(fewer.err, AllOf(HasSubstr("had of two-sample, memorisation, judge was of other samples"),
                               HasSubstr("a file of its own")));
  EXPECT_EQ(kept()["metrics"].size(), 1U);
  EXPECT_EQ(asked("300", {"--metrics", "two-sample"}).code, 0);
  EXPECT_FALSE(kept()["metrics"].contains("parzen"));
  // Nor of other weights.
  EXPECT_EQ(run(ganymede({"train", "--out", "run", "--resume", "--steps", "8"}), here).code, 0);
  EXPECT_THAT(asked("300", {"--metrics", "parzen"}).err, HasSubstr("had of two-sample was of other weights"));
  EXPECT_EQ(kept()["metrics"].size(), 1U);
  write(here / "run/eval.json", "no JSON");
  EXPECT_EQ(asked("300", {"--metrics", "parzen"}).err, "");
}

// A picture lies beside the numbers that it belongs to.
TEST_F(Eval, TheClosestPairsLieBesideTheirNumbers) {
  train("run", {"--steps", "4"});
  const fs::path here = folder_.path();
  const auto measure = [&](int samples, const Words& more) {
    return evaluated({},
                     Words{"--metrics", "memorisation", "--samples", std::to_string(samples), "--seed", "7"} + more);
  };
  const fs::path own = here / "run/samples/nearest.png";
  EXPECT_THAT(measure(100, {}), HasSubstr("run/samples/nearest.png"));
  const std::string first = content(own);
  for (const std::string& text : {std::string("step\0"
                                              "4",
                                              6),
                                  std::string("seed\0"
                                              "7",
                                              6)})
    EXPECT_THAT(first, HasSubstr("tEXt" + text));
  EXPECT_THAT(measure(200, {"--json", "there.json"}), HasSubstr("there.json.nearest.png"));
  EXPECT_TRUE(content(own) == first) << "eval.json is of these";
  EXPECT_TRUE(content(here / "there.json.nearest.png").starts_with("\x89PNG"));
  EXPECT_FALSE(content(here / "there.json.nearest.png") == first);
  measure(150, {"--json", "-"});
  EXPECT_TRUE(content(own) == first);
}

// What is not asked for by name is left out where it cannot be measured, and the rest is.
TEST_F(Eval, MeasuresWhatItCanOfALessThanWholeFolder) {
  const fs::path set = folder_.path() / "set";
  fs::copy(GANYMEDE_DATA_FOLDER "/mnist-mini", set);
  train("run", {"--steps", "4", "--data", "set", "--condition", "concat"});
  fs::remove(set / "t10k-labels-idx1-ubyte.gz");
  const Words words = {"eval", "run", "--samples", "100"};
  const Ending without = run(ganymede(words), folder_.path());
  EXPECT_EQ(without.code, 0) << without.err;
  const Json json = Json::parse(content(folder_.path() / "run/eval.json"));
  for (const char* metric : {"1nn_error", "gan_train", "gan_test"}) {
    EXPECT_TRUE(json["metrics"][metric].is_null()) << metric;
    EXPECT_EQ(json["unmeasured"][metric], "needs the labels of test images, and " + set.string() + " has none");
  }
  EXPECT_FALSE(json["metrics"]["two_sample"].is_null());
  // D wants to know a test image's class.
  EXPECT_FALSE(json["metrics"]["memorisation"]["membership_auc_by_distance"].is_null());
  EXPECT_TRUE(json["metrics"]["memorisation"]["membership_auc_by_discriminator"].is_null());
  EXPECT_THAT(without.out, HasSubstr("membership by D"));
  const Ending asked = run(ganymede(words + Words{"--metrics", "1nn-error"}), folder_.path());
  EXPECT_EQ(asked.code, 3);
  EXPECT_THAT(asked.err, HasSubstr("no t10k-labels-idx1-ubyte[.gz]"));
  // Then nobody knows what it was trained on.
  write(folder_.path() / "run/config.ini", "no option\n");
  fs::copy(GANYMEDE_DATA_FOLDER "/mnist-mini", folder_.path() / "mnist");
  const Ending other = run(Words{"env", "GANYMEDE_DATA=" + folder_.path().string()} +
                               ganymede({"eval", "run", "--samples", "100", "--metrics", "parzen"}),
                           folder_.path());
  EXPECT_EQ(other.code, 0) << other.err;
  EXPECT_EQ(lines(other.err).size(), 1U) << other.err;
  EXPECT_THAT(other.out, HasSubstr("mnist: 4000 training"));
  EXPECT_THAT(other.err, AllOf(HasSubstr("warning: "), HasSubstr("config.ini"), HasSubstr("give --data")));
}

TEST_F(Eval, JudgesNothingButDigits) {
  // Images of 3×3 pixels, all different.
  std::string pixels;
  for (int i = 0; i < 100 * 9; ++i) pixels += static_cast<char>(37 * i % 256);
  for (const std::string half : {"train", "t10k"}) {
    write(folder_.path() / "small" / (half + "-images-idx3-ubyte"),
          std::string("\0\0\x08\x03\0\0\0\x64\0\0\0\x03\0\0\0\x03", 16) + pixels);
    write(folder_.path() / "small" / (half + "-labels-idx1-ubyte"),
          std::string("\0\0\x08\x01\0\0\0\x64", 8) + std::string(100, '\1'));
  }
  // Nothing asks for the labels of training images.
  fs::remove(folder_.path() / "small/train-labels-idx1-ubyte");
  train("run", {"--steps", "4", "--data", "small"});
  const Words words = {"eval", "run", "--data", "small", "--samples", "300"};
  const Ending all = run(ganymede(words), folder_.path());
  EXPECT_EQ(all.code, 0) << all.err;
  EXPECT_THAT(all.out, AllOf(HasSubstr("nats"), HasSubstr("needs digits of 28×28")));
  const Ending judge = run(ganymede(words + Words{"--metrics", "judge"}), folder_.path());
  EXPECT_EQ(judge.code, 2);
  EXPECT_THAT(judge.err, HasSubstr("needs digits of 28×28"));
}

TEST_F(Eval, NothingIsMeasuredOfAHandfulOfSamples) {
  train("run", {"--steps", "4"});
  evaluated({}, {"--samples", "100", "--metrics", "two-sample"});
  const std::string kept = content(folder_.path() / "run/eval.json");
  const Ending none = run(ganymede({"eval", "run", "--data", "mnist-mini", "--samples", "99"}), folder_.path());
  EXPECT_EQ(none.code, 2);
  EXPECT_EQ(lines(none.err).size(), 1U) << none.err;
  EXPECT_THAT(none.err, HasSubstr("nothing can be measured: parzen needs at least 100 samples, and --samples is 99"));
  EXPECT_EQ(content(folder_.path() / "run/eval.json"), kept);
  for (const char* metric : {"two-sample", "parzen", "memorisation"}) {
    const Ending ending =
        run(ganymede({"eval", "run", "--data", "mnist-mini", "--samples", "2", "--metrics", metric}), folder_.path());
    EXPECT_EQ(ending.code, 2);
    EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
    EXPECT_THAT(ending.err, HasSubstr("needs at least 100 samples, and --samples is 2"));
  }
  // Samples of four steps are told from digits without fail, which a hundred of them do not make certain.
  const Json few = Json::parse(evaluated({}, {"--samples", "100", "--metrics", "two-sample", "--json", "-"}));
  EXPECT_EQ(few["metrics"]["two_sample"]["on_generated"]["share"], 1);
  EXPECT_NEAR(few["metrics"]["two_sample"]["on_generated"]["standard_error"].get<double>(), 1.0 / 202, 1e-9);
}

class UnreadableDigits : public Eval {
 protected:
  void SetUp() override {
    const fs::path set = folder_.path() / "negative";
    fs::copy(GANYMEDE_DATA_FOLDER "/mnist-mini", set);
    for (const char* half : {"train", "t10k"}) {
      const fs::path images = set / (std::string(half) + "-images-idx3-ubyte");
      ASSERT_EQ(run({"gzip", "-d", images.string() + ".gz"}, set).code, 0);
      std::string bytes = content(images);
      for (std::size_t i = 16; i < bytes.size(); ++i) bytes[i] = static_cast<char>(~bytes[i]);  // behind the header
      write(images, bytes);
    }
  }
};

TEST_F(UnreadableDigits, AreNotJudgedInSilence) {
  train("run", {"--steps", "4", "--data", "negative", "--eval-every", "4", "--eval-samples", "200"});
  EXPECT_THAT(content(folder_.path() / "run/logs/rank-0000.log"), HasSubstr("it cannot read them"));
  const Words words = {"eval", "run", "--data", "negative", "--samples", "200", "--metrics", "judge"};
  const Ending alone = run(ganymede(words), folder_.path());
  EXPECT_EQ(alone.code, 0);
  EXPECT_THAT(alone.err, HasSubstr("% of the test images of negative: it cannot read them"));
  EXPECT_THAT(alone.out, HasSubstr("on these test images"));
  const Json json = Json::parse(content(folder_.path() / "run/eval.json"));
  ASSERT_EQ(json["warnings"].size(), 1U);
  EXPECT_LT(json["metrics"]["judge"]["test_accuracy"]["share"], 0.9);
  EXPECT_EQ(json["metrics"]["judge"]["test_accuracy"]["of"], 1000);
  const Ending two = run(mpirun({"-n", "2"}, {}) + ganymede(words), folder_.path());
  EXPECT_EQ(two.out, alone.out);
}

TEST_F(Eval, AWorseJudgeIsNotTakenInSilence) {
  train("run", {"--steps", "4"});
  // The shipped one, which says less of itself.
  std::string bytes = content(GANYMEDE_SHARE_FOLDER "/judge/mnist.safetensors");
  for (const auto& [from, to] : {std::pair<std::string, std::string>{"ganymede-digest", "another--digest"},
                                 {"test-accuracy\":\"0.99", "test-accuracy\":\"0.81"}}) {
    const std::size_t at = bytes.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    bytes.replace(at, from.size(), to);
  }
  write(folder_.path() / "worse.safetensors", bytes);
  const Ending ending = run(ganymede({"eval", "run", "--data", "mnist-mini", "--samples", "200", "--metrics", "judge",
                                      "--judge", "worse.safetensors"}),
                            folder_.path());
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
  EXPECT_THAT(ending.err, AllOf(HasSubstr("worse.safetensors is right about 81"), HasSubstr("leave out --judge")));
}

// Images of 5×5 random pixels with these labels in turn.
void write_noise(const fs::path& folder, const std::string& half, int count, unsigned seed,
                 const std::string& labels = "\1") {
  std::mt19937 random(seed);
  std::string pixels;
  for (int i = 0; i < count * 25; ++i) pixels += static_cast<char>(random() >> 24);
  const std::string of = {'\0', '\0', static_cast<char>(count >> 8), static_cast<char>(count)};
  write(folder / (half + "-images-idx3-ubyte"),
        std::string("\0\0\x08\x03", 4) + of + std::string("\0\0\0\x05\0\0\0\x05", 8) + pixels);
  std::string numbers;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) numbers += labels[i % labels.size()];
  write(folder / (half + "-labels-idx1-ubyte"), std::string("\0\0\x08\x01", 4) + of + numbers);
}

// Nor of a handful of test images; what samples show of a class that no training image has is said.
TEST_F(Eval, SaysWhereTestImagesAreTooFewAndLabelsHaveGaps) {
  const fs::path set = folder_.path() / "set";
  const std::string labels("\0\1\3", 3);
  write_noise(set, "train", 200, 1, labels);
  write_noise(set, "t10k", 99, 2, labels.substr(0, 1));
  const auto names_gap = AllOf(HasSubstr("of the labels 0 to 3 no training image of "), HasSubstr("set has 2: "));
  const Ending trained =
      run(tiny_training("run", {"--steps", "4", "--data", "set", "--condition", "concat"}), folder_.path());
  EXPECT_THAT(trained.err, names_gap);
  const auto measured = [&](const Words& words) {
    return run(ganymede(Words{"eval", "run", "--samples", "100"} + words), folder_.path());
  };
  const Ending few = measured({});
  EXPECT_EQ(few.code, 2);
  EXPECT_THAT(few.err, HasSubstr("parzen needs at least 100 test images, and there are 99"));
  for (const char* metric : {"two-sample", "1nn-error", "gan-train", "gan-test"})
    EXPECT_THAT(measured({"--metrics", metric}).err, HasSubstr("needs at least 100 test images, and there are 99"));
  EXPECT_THAT(run(tiny_training("other", {"--data", "set", "--eval-every", "2", "--eval-metrics", "two-sample"}),
                  folder_.path())
                  .err,
              HasSubstr("--eval-every needs at least 100 test images, and set has 99"));
  // A hundred are enough, be they of one class: the run's are those of the set.
  write_noise(set, "t10k", 100, 2, labels.substr(0, 1));
  const Ending enough = measured({"--metrics", "two-sample,1nn-error", "--json", "-"});
  EXPECT_EQ(enough.code, 0) << enough.err;
  EXPECT_THAT(enough.err, names_gap);
  const Json found = Json::parse(enough.out);
  EXPECT_THAT(found["warnings"].dump(), names_gap);
  EXPECT_EQ(found["metrics"]["1nn_error"]["of"], 100);
}

TEST_F(Eval, SaysWhereImagesAreTooFewToTellOfMemorisation) {
  const fs::path set = folder_.path() / "set";
  write_noise(set, "train", 200, 1);
  train("run", {"--steps", "4", "--data", "set"});
  const auto measured = [&](int held_out) {
    write_noise(set, "t10k", held_out, 2);
    return run(ganymede({"eval", "run", "--samples", "100", "--metrics", "memorisation", "--json", "-"}),
               folder_.path());
  };
  const Ending refused = measured(99);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("needs at least 100 training and as many test images to tell"));
  const Ending some = measured(100);
  EXPECT_EQ(some.code, 0) << some.err;
  const Json found = Json::parse(some.out)["metrics"]["memorisation"];
  EXPECT_TRUE(found["membership_auc_by_distance"].is_null());
  EXPECT_TRUE(found["membership_auc_by_discriminator"].is_null());
  write_noise(set, "train", 500, 1);
  train("larger", {"--steps", "4", "--data", "set"});
  write_noise(set, "t10k", 500, 2);
  const Ending enough =
      run(ganymede({"eval", "larger", "--samples", "100", "--metrics", "memorisation", "--json", "-"}), folder_.path());
  const Json told = Json::parse(enough.out)["metrics"]["memorisation"];
  for (const std::string by : {"distance", "discriminator"}) {
    EXPECT_NEAR(told["membership_auc_by_" + by].get<double>(), 0.5, 0.08);
    EXPECT_NEAR(told["membership_auc_by_" + by + "_standard_error"].get<double>(), 0.018, 0.002);
  }
  EXPECT_THAT(told["verdict"].get<std::string>(), HasSubstr("too few samples that differ")) << "after four steps";
}

// Without MNIST at hand and without a way to fetch it.
TEST_F(Eval, NamesTheSetThatIsAtHandWhereMnistIsNot) {
  train("run", {"--steps", "4"});
  // Weights in a run's folder are compared with the run's own set; these are in none.
  fs::create_directories(folder_.path() / "elsewhere");
  fs::copy_file(folder_.path() / "run/generator.safetensors", folder_.path() / "elsewhere/g.safetensors");
  const Words inside = {"eval", "run/checkpoints/step-00000004/", "--metrics", "two-sample", "--samples", "100"};
  EXPECT_THAT(run(ganymede(inside), folder_.path()).out, HasSubstr("data          mnist-mini"));
  const Ending ending = run(Words{"env", "GANYMEDE_DATA=" + folder_.path().string(),
                                  "XDG_CACHE_HOME=" + folder_.path().string(), "https_proxy=http://127.0.0.1:9"} +
                                ganymede({"eval", "elsewhere/g.safetensors"}),
                            folder_.path());
  EXPECT_EQ(ending.code, 3);
  EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
  EXPECT_THAT(ending.err, AllOf(HasSubstr("train-images-idx3-ubyte"), HasSubstr("--data mnist-mini")));
}

}  // namespace
}  // namespace ganymede::test
