// `ganymede report`, the page that a training leaves, and what `ganymede eval` leaves for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <nlohmann/json.hpp>

#include "cli/process.hpp"

namespace ganymede::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;
using Json = nlohmann::json;

class Report : public ::testing::Test {
 protected:
  [[nodiscard]] fs::path here() const { return folder_.path(); }
  void expect_trained(const std::string& out, const Words& more) {
    const Ending ending = run(tiny_training(out, more), here());
    ASSERT_EQ(ending.code, 0) << ending.err;
  }
  std::string reported(const Words& words) {
    const Ending ending = run(ganymede(Words{"report"} + words), here());
    EXPECT_EQ(ending.code, 0) << ending.err;
    EXPECT_EQ(ending.err, "");
    return ending.out;
  }
  // The data of a page's runs.
  [[nodiscard]] Json runs_of(const std::string& page) const {
    const std::string text = content(here() / page);
    const std::string opening = R"(id="data">)";
    const std::size_t begin = text.find(opening);
    if (begin == std::string::npos) return {};
    return Json::parse(
        text.substr(begin + opening.size(), text.find("</script>", begin) - begin - opening.size()))["runs"];
  }
  [[nodiscard]] std::vector<Json> records(const std::string& run) const {
    std::vector<Json> all;
    for (const std::string& line : lines(content(here() / run / "metrics.jsonl"))) all.push_back(Json::parse(line));
    return all;
  }

  TemporaryFolder folder_;
};

TEST_F(Report, ATrainingLeavesOneThatSaysWhatItsFilesSay) {
  expect_trained("run", {"--steps", "12", "--log-every", "4", "--sample-every", "5", "--learning-rate", "0.0003"});
  const Json all = runs_of("run/report.html");
  ASSERT_EQ(all.size(), 1U);
  const Json& page = all[0];
  EXPECT_EQ(page["name"], "run");
  EXPECT_EQ(page["log"]["state"], "finished");
  EXPECT_EQ(page["recipe"], "gan");
  EXPECT_EQ(page["curves"]["columns"]["step"], Json::parse("[4,8,12]"));
  const std::vector<Json> logged = records("run");
  ASSERT_EQ(logged.size(), 3U);
  for (std::size_t i = 0; i < logged.size(); ++i)
    for (const auto& [name, column] : page["curves"]["columns"].items())
      if (logged[i][name].is_null())
        EXPECT_TRUE(column[i].is_null()) << name;
      else
        EXPECT_NEAR(column[i].get<double>(), logged[i][name].get<double>(),
                    1e-5 * std::abs(logged[i][name].get<double>()))
            << name;
  for (const Json& option : page["options"]) {
    if (option["name"] == "learning-rate") {
      EXPECT_EQ(option["value"], "3e-04");
    }
  }
  std::vector<std::uint64_t> steps;
  for (const Json& grid : page["grids"]["shown"]) {
    steps.push_back(grid["step"]);
    EXPECT_THAT(grid["png"].get<std::string>(), ::testing::StartsWith("iVBORw0KGgo")) << "the beginning of every PNG";
  }
  EXPECT_THAT(steps, ElementsAre(0, 5, 10, 12));
  EXPECT_NE(page["real"], nullptr);
  // The command makes the same page of the folder alone, wherever it is called from.
  const std::string left = content(here() / "run/report.html");
  EXPECT_EQ(reported({"run"}),
            "report of run in run/report.html\n"
            "its progress in 4 of 4 sample grids: run/samples/progress.gif\n");
  EXPECT_THAT(content(here() / "run/samples/progress.gif"), ::testing::StartsWith("GIF89a"));
  EXPECT_TRUE(content(here() / "run/report.html") == left);
  fs::create_directory(here() / "elsewhere");
  ASSERT_EQ(run(ganymede({"report", "../run/.", "--out", "page.html"}), here() / "elsewhere").code, 0);
  EXPECT_TRUE(content(here() / "elsewhere/page.html") == left);
}

TEST_F(Report, ARunThatGoesOnHasOneOfAllItsParts) {
  expect_trained("run", {"--steps", "4", "--log-every", "2"});
  const std::string real = content(here() / "run/samples/real.png");
  // As one leaves it that is killed while it writes the page.
  const fs::path unfinished = here() / "run/.report.html.0123456789ab.part";
  write(unfinished, "half a page");
  expect_trained("run", {"--steps", "8", "--log-every", "2", "--resume"});
  EXPECT_FALSE(fs::exists(unfinished));
  EXPECT_TRUE(content(here() / "run/samples/real.png") == real);
  const Ending again = run(ganymede({"train", "--out", "run", "--resume", "--sample-count", "100"}), here());
  ASSERT_EQ(again.code, 0) << again.err;
  // Of a PNG's header the width and the height, as those of the grid beside it.
  const auto size = [&](const char* name) { return content(here() / "run/samples" / name).substr(16, 8); };
  EXPECT_NE(size("real.png"), real.substr(16, 8));
  EXPECT_EQ(size("real.png"), size("step-00000008.png"));
  const Json page = runs_of("run/report.html")[0];
  EXPECT_EQ(page["curves"]["columns"]["step"], Json::parse("[2,4,6,8]"));
  EXPECT_EQ(page["log"]["starts"]["newest"].size(), 3U);
}

TEST_F(Report, ItIsThereFromTheFirstCheckpointOn) {
  Process training(tiny_training("run", {"--steps", "100000000", "--log-every", "10", "--checkpoint-every", "500",
                                         "--sample-every", "0"}),
                   here());
  ASSERT_TRUE(eventually([&] { return fs::exists(here() / "run/report.html"); }));
  const Json page = runs_of("run/report.html")[0];
  EXPECT_EQ(page["log"]["state"], "begun");
  EXPECT_GE(page["curves"]["columns"]["step"].size(), 50U);
  training.send(SIGTERM);
  EXPECT_EQ(training.wait().code, 75);
  EXPECT_EQ(runs_of("run/report.html")[0]["log"]["state"], "stopped");
}

TEST_F(Report, AFailedTrainingLeavesOneWithTheReason) {
  const Ending ending = run(diverging_training("run"), here());
  ASSERT_EQ(ending.code, 5) << ending.err;
  const Json log = runs_of("run/report.html")[0]["log"];
  EXPECT_EQ(log["state"], "failed");
  EXPECT_THAT(log["messages"]["newest"].back()["text"].get<std::string>(), HasSubstr("is not finite"));
}

TEST_F(Report, SoDoesOneThatAFileSystemEnds) {
  fs::create_directories(here() / "run/discriminator.safetensors/in the way");
  const Ending ending = run(tiny_training("run", {"--steps", "4", "--log-every", "2"}), here());
  ASSERT_EQ(ending.code, 3) << ending.err;
  const Json page = runs_of("run/report.html")[0];
  EXPECT_EQ(page["log"]["state"], "failed");
  EXPECT_THAT(page["log"]["messages"]["newest"].back()["text"].get<std::string>(),
              AllOf(HasSubstr("discriminator.safetensors"), HasSubstr("go on with --resume")));
  EXPECT_EQ(page["curves"]["columns"]["step"], Json::parse("[2,4]"));
}

TEST_F(Report, OneThatCannotBeWrittenEndsNoTraining) {
  fs::create_directories(here() / "run/report.html/in the way");
  const Ending ending = run(tiny_training("run", {"--steps", "4"}), here());
  EXPECT_EQ(ending.code, 0);
  EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
  EXPECT_THAT(ending.err, AllOf(HasSubstr("warning: the report was not written: "), HasSubstr("report.html")));
  EXPECT_TRUE(fs::exists(here() / "run/generator.safetensors"));
}

TEST_F(Report, TakesTheRecordsThatThereAre) {
  expect_trained("run", {"--steps", "6", "--log-every", "2"});
  const fs::path metrics = here() / "run/metrics.jsonl";
  const std::vector<std::string> logged = lines(content(metrics));
  ASSERT_EQ(logged.size(), 3U);
  EXPECT_EQ(runs_of("run/report.html")[0]["damage"], "");
  write(metrics, logged[0] + "\nno record\n" + logged[2] + "\n");
  reported({"run"});
  EXPECT_EQ(runs_of("run/report.html")[0]["curves"]["columns"]["step"], Json::parse("[2]"));
  EXPECT_THAT(runs_of("run/report.html")[0]["damage"].get<std::string>(), HasSubstr("run/metrics.jsonl, line 2"));
  fs::remove(metrics);
  reported({"run"});
  EXPECT_EQ(runs_of("run/report.html")[0]["curves"]["records"], 0);
}

TEST_F(Report, SeveralRunsMakeAComparison) {
  expect_trained("a", {"--steps", "4", "--log-every", "2"});
  expect_trained("b", {"--steps", "6", "--log-every", "2", "--seed", "2", "--data", "mnist-mini"});
  EXPECT_EQ(reported({"a", "b"}), "report of 2 runs in comparison.html\n");
  const Json both = runs_of("comparison.html");
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0]["name"], "a");
  EXPECT_EQ(both[1]["name"], "b");
  EXPECT_EQ(both[1]["curves"]["columns"]["step"], Json::parse("[2,4,6]"));
  EXPECT_EQ(reported({"b", "a", "--out", "other.html"}), "report of 2 runs in other.html\n");
  EXPECT_EQ(runs_of("other.html")[0]["name"], "b");
}

// Each is the last update's: of a linear schedule the closed form.
TEST_F(Report, RecordsSayTheLearningRates) {
  expect_trained("run", {"--steps", "10", "--log-every", "5", "--schedule", "linear", "--d-steps", "3",
                         "--learning-rate", "0.01", "--discriminator-learning-rate", "0.001"});
  const std::vector<Json> logged = records("run");
  ASSERT_EQ(logged.size(), 2U);
  for (const double step : {5., 10.}) {
    const Json& record = logged[step == 5 ? 0 : 1];
    EXPECT_NEAR(record["g_learning_rate"].get<double>(), 0.01 * (1 - (step - 1) / 10), 1e-12);
    EXPECT_NEAR(record["d_learning_rate"].get<double>(), 0.001 * (1 - (3 * step - 1) / 30), 1e-12);
  }
}

TEST_F(Report, ShowsWhatEvalHasMeasured) {
  expect_trained("run", {"--steps", "4", "--log-every", "2"});
  EXPECT_TRUE(runs_of("run/report.html")[0]["evaluation"].is_null());
  const Words words = {"eval", "run", "--data", "mnist-mini", "--samples", "200", "--metrics", "parzen"};
  const Ending printed = run(ganymede(words + Words{"--json", "-"}), here());
  EXPECT_FALSE(fs::exists(here() / "run/eval.json")) << "they were asked for on the standard output";
  const Ending ending = run(ganymede(words), here());
  ASSERT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.out, HasSubstr("Parzen"));
  EXPECT_EQ(content(here() / "run/eval.json"), printed.out);
  reported({"run"});
  EXPECT_EQ(runs_of("run/report.html")[0]["evaluation"], Json::parse(printed.out));
  // Where there is no run's folder, they are printed alone.
  const Ending file = run(ganymede({"eval", "run/generator.safetensors", "--data", "mnist-mini", "--samples", "200",
                                    "--metrics", "parzen"}),
                          here());
  EXPECT_EQ(file.code, 0) << file.err;
  for (const auto& entry : fs::recursive_directory_iterator(here())) {
    if (entry.path().filename() == "eval.json") {
      EXPECT_EQ(entry.path(), here() / "run/eval.json");
    }
  }
}

TEST_F(Report, EvalMeasuresRunsInFoldersThatItMayNotWriteTo) {
  expect_trained("run", {"--steps", "4"});
  fs::create_directories(here() / "run/eval.json");
  const Ending ending =
      run(ganymede({"eval", "run", "--data", "mnist-mini", "--samples", "200", "--metrics", "parzen"}), here());
  EXPECT_EQ(ending.code, 0);
  EXPECT_THAT(ending.out, HasSubstr("Parzen"));
  EXPECT_THAT(ending.err, HasSubstr("warning: the numbers are not kept for the run's report: run/eval.json"));
}

}  // namespace
}  // namespace ganymede::test
