// What a report takes from a run's folder, and how it goes into a page.
#include "report/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "core/files.hpp"
#include "ganymede/error.hpp"
#include "report/run_folder.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// The inverse of base64(), by bits; what is not of its alphabet ends it.
std::string decoded(const std::string& text) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bits;
  for (const char c : text) {
    const std::size_t digit = digits.find(c);
    if (digit == std::string::npos) break;
    for (int b = 5; b >= 0; --b) bits += (digit >> b & 1U) != 0 ? '1' : '0';
  }
  std::string bytes;
  for (std::size_t i = 0; i + 8 <= bits.size(); i += 8)
    bytes += static_cast<char>(std::stoi(bits.substr(i, 8), nullptr, 2));
  return bytes;
}

/// The data in a page, which must be where the page's script looks for it.
Json data_of(const std::string& page) {
  const std::string opening = R"(<script type="application/json" id="data">)";
  const std::size_t begin = page.find(opening);
  EXPECT_NE(begin, std::string::npos);
  const std::size_t end = page.find("</script>", begin);
  return Json::parse(page.substr(begin + opening.size(), end - begin - opening.size()));
}

class Report : public ::testing::Test {
 protected:
  void write(const fs::path& name, const std::string& text) {
    fs::create_directories((scratch_ / name).parent_path());
    write_file_atomically(scratch_ / name, text);
  }
  [[nodiscard]] ReportedRun run(const std::string& name) const {
    TrainOptions options;
    options.loss = "hinge";
    return {scratch_ / name, stored_options(options), "gan", Curves()};
  }
  static Json data(const ReportedRun& run) { return data_of(report_page({&run, 1}, train_option_specs()))["runs"][0]; }

  test::TemporaryFolder scratch_;
};

TEST(ReportParts, Base64IsRfc4648s) {
  // The RFC's own vectors.
  for (const auto& [bytes, text] : {std::pair<std::string, std::string>{"", ""},
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="},
                                    {"fooba", "Zm9vYmE="},
                                    {"foobar", "Zm9vYmFy"}})
    EXPECT_EQ(base64(bytes), text);
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(decoded(base64(all)), all);
}

TEST(ReportParts, FewNumbersAreSpreadEvenly) {
  EXPECT_THAT(evenly(0, 40), IsEmpty());
  EXPECT_THAT(evenly(5, 0), IsEmpty());
  EXPECT_THAT(evenly(1, 40), ElementsAre(0));
  EXPECT_THAT(evenly(7, 1), ElementsAre(6));
  EXPECT_THAT(evenly(3, 40), ElementsAre(0, 1, 2));
  EXPECT_THAT(evenly(9, 5), ElementsAre(0, 2, 4, 6, 8));
  for (const std::size_t count : {41U, 100U, 601U, 99'999U}) {
    const std::vector<std::size_t> chosen = evenly(count, 40);
    ASSERT_EQ(chosen.size(), 40U);
    EXPECT_EQ(chosen.front(), 0U);
    EXPECT_EQ(chosen.back(), count - 1);
    for (std::size_t i = 1; i < chosen.size(); ++i)
      EXPECT_NEAR(static_cast<double>(chosen[i] - chosen[i - 1]), static_cast<double>(count - 1) / 39, 1);
  }
}

TEST_F(Report, HasTheFindingsInWords) {
  ReportedRun reported = run("run");
  MetricsRecord record;
  record.sample_classes = 10;
  record.sample_diversity = 0.9;
  for (const auto& [step, classes] : {std::pair{100, 10.0}, {200, 1.0}, {300, 9.0}, {400, 2.0}}) {
    record.step = static_cast<std::uint64_t>(step);
    record.sample_classes = classes;
    record.diagnosed_step = step;
    reported.findings.follow(record);
  }
  const Json found = data(reported)["findings"];
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0]["kind"], "collapse");
  EXPECT_EQ(found[0]["since"], 200);
  EXPECT_EQ(found[0]["until"], 300);
  EXPECT_EQ(found[1]["since"], 400);
  EXPECT_TRUE(found[1]["until"].is_null());
  EXPECT_THAT(found[1]["text"].get<std::string>(), HasSubstr("onto 2 of 10 classes"));
}

TEST_F(Report, HasTheOptionsWithTheirDefaults) {
  ReportedRun reported = run("run");
  reported.options["of-another-version"] = "1";
  reported.options["out"] = reported.options["resume"] = "not stored";
  std::size_t differ = 0;
  bool found = false;
  const Json options = data(reported)["options"];
  for (const Json& option : options) {
    EXPECT_NE(option["value"], "not stored");
    if (option["name"] == "of-another-version") {
      EXPECT_EQ(option["value"], "1");
      found = true;
    } else if (option["value"] != option["default"]) {
      ++differ;
      EXPECT_EQ(option["name"], "loss");
      EXPECT_EQ(option["value"], "hinge");
      EXPECT_EQ(option["default"], "non-saturating");
      EXPECT_NE(option["help"], "");
    }
  }
  EXPECT_EQ(differ, 1U);
  EXPECT_TRUE(found);
}

TEST_F(Report, HasTheRecordsAsColumns) {
  ReportedRun reported = run("run");
  for (std::uint64_t step = 10; step <= 30; step += 10) {
    MetricsRecord record;
    record.step = step;
    record.images_seen = 123'456'789 * step;
    record.discriminator_loss = step == 20 ? std::numeric_limits<double>::infinity() : 1.0 / 3;
    record.generator_learning_rate = 2e-4;
    reported.curves.add(record);
  }
  const Json curves = data(reported)["curves"];
  EXPECT_EQ(curves["records"], 3);
  EXPECT_EQ(curves["columns"]["step"], Json::parse("[10,20,30]"));
  EXPECT_EQ(curves["columns"]["images_seen"], Json::parse("[1234567890,2469135780,3703703670]"));
  EXPECT_EQ(curves["columns"]["d_loss"], Json::parse("[0.333333,null,0.333333]"));
  EXPECT_EQ(curves["columns"]["g_learning_rate"], Json::parse("[0.0002,0.0002,0.0002]"));
}

TEST_F(Report, AFolderWithNothingInItHasAPageToo) {
  const Json found = data(run("nothing"));
  EXPECT_EQ(found["name"], "nothing");
  EXPECT_EQ(found["curves"]["records"], 0);
  EXPECT_EQ(found["grids"], Json::parse(R"({"of":0,"unreadable":0,"shown":[]})"));
  EXPECT_TRUE(found["real"].is_null());
  EXPECT_TRUE(found["evaluation"].is_null());
  EXPECT_EQ(found["log"]["state"], "unknown");
}

TEST_F(Report, HasThePicturesOfTheRun) {
  std::mt19937 random(1);
  std::map<std::uint64_t, std::string> pictures;
  for (const std::uint64_t step : {std::uint64_t{0}, std::uint64_t{500}, std::uint64_t{123'456'789'012}}) {
    for (int i = 0; i < 1000; ++i) pictures[step] += static_cast<char>(random());
    write(RunFolder("run").sample(step), pictures[step]);
  }
  write("run/samples/real.png", "real");
  // None of these is a grid.
  for (const char* name : {"step-.png", "step-5.png", "step-00000007.png~", "step-0000000x.png", "other.png"})
    write(std::string("run/samples/") + name, "no");
  const Json found = data(run("run"));
  EXPECT_EQ(found["grids"]["of"], 3);
  std::map<std::uint64_t, std::string> shown;
  for (const Json& grid : found["grids"]["shown"]) shown[grid["step"]] = decoded(grid["png"]);
  EXPECT_EQ(shown, pictures);
  EXPECT_EQ(decoded(found["real"]), "real");
}

TEST_F(Report, ChoosesAmongManyPictures) {
  for (std::uint64_t step = 0; step < 200; ++step) write(RunFolder("run").sample(step * 100), "png");
  const std::vector<ReportedRun> runs = {run("run"), run("run"), run("run")};
  Json alone = data(runs[0])["grids"];
  EXPECT_EQ(alone["of"], 200);
  EXPECT_EQ(alone["shown"].size(), 40U);
  EXPECT_EQ(alone["shown"].front()["step"], 0);
  EXPECT_EQ(alone["shown"].back()["step"], 19'900);
  const Json together = data_of(report_page(runs, train_option_specs()))["runs"];
  for (const Json& one : together) EXPECT_EQ(one["grids"]["shown"].size(), 13U);
}

TEST_F(Report, StaysSmallWithLargePictures) {
  const std::string large(1 << 20, 'x');
  for (std::uint64_t step = 0; step < 20; ++step) write(RunFolder("run").sample(step), large);
  const ReportedRun reported = run("run");
  const std::string page = report_page({&reported, 1}, train_option_specs());
  EXPECT_LT(page.size(), 10'000'000U);
  const Json shown = data_of(page)["runs"][0]["grids"]["shown"];
  EXPECT_EQ(shown.size(), 7U);
  EXPECT_EQ(shown.back()["step"], 19);
  // The real images have their place among them.
  write("run/samples/real.png", std::string(5 << 20, 'r'));
  Json both = data(reported);
  EXPECT_EQ(decoded(both["real"]).size(), 5U << 20U);
  ASSERT_EQ(both["grids"]["shown"].size(), 2U);
  EXPECT_EQ(both["grids"]["shown"].back()["step"], 19);
  // They give way to the last one.
  write(RunFolder("run").sample(19), std::string(3 << 20, 'x'));
  both = data(reported);
  EXPECT_TRUE(both["real"].is_null());
  EXPECT_EQ(both["grids"]["shown"].back()["step"], 19);
  // One that is too large for any page.
  for (std::uint64_t step = 0; step < 20; ++step) fs::remove(RunFolder(scratch_ / "run").sample(step));
  write(RunFolder("run").sample(3), std::string(8 << 20, 'x'));
  EXPECT_EQ(data(reported)["grids"], Json::parse(R"({"of":1,"unreadable":0,"shown":[]})"));
  EXPECT_FALSE(data(reported)["real"].is_null());
}

TEST_F(Report, ReadsTheLog) {
  const std::string start = "2024-05-06 07:08:09.123 info ganymede 0.1.0, rank 0 of 2 on here\n";
  const std::string warned = "2024-05-06 07:08:10.000 warning the disk is <slow>\n";
  const auto state = [&](const std::string& text) {
    write("run/logs/rank-0000.log", text);
    return data(run("run"))["log"]["state"];
  };
  EXPECT_EQ(state(""), "unknown");
  EXPECT_EQ(state(start), "begun");
  EXPECT_EQ(state(start + "2024-05-06 07:08:11.000 info stopped at step 7 by request; --resume goes on\n"), "stopped");
  EXPECT_EQ(state(start + "2024-05-06 07:08:11.000 error the gradient of step 3 is not finite\n"), "failed");
  EXPECT_EQ(state(start + "2024-05-06 07:08:11.000 info done: 9 steps\n" + start), "begun");
  EXPECT_EQ(state(start + warned + "no line of a log\n2024-05-06 07:08:11.000 info done: 9 steps\n"), "finished");
  const Json log = data(run("run"))["log"];
  EXPECT_EQ(log["starts"]["newest"][0]["text"], "ganymede 0.1.0, rank 0 of 2 on here");
  EXPECT_EQ(log["messages"]["newest"][0],
            Json::parse(R"({"time":"2024-05-06 07:08:10","level":"warning","text":"the disk is <slow>"})"));
  std::string many = start;
  for (int i = 0; i < 100; ++i) many += warned;
  state(many);
  EXPECT_EQ(data(run("run"))["log"]["messages"]["newest"].size(), 20U);
  EXPECT_EQ(data(run("run"))["log"]["messages"]["older"], 80);
}

TEST_F(Report, ShowsAnEvaluationThatCanBeRead) {
  write("run/eval.json", R"({"run":{"step":5},"metrics":{"parzen":{"log_likelihood":200.5}}})");
  EXPECT_EQ(data(run("run"))["evaluation"]["metrics"]["parzen"]["log_likelihood"], 200.5);
  // The picture of pairs is of the evaluation that looked for them, and of no other.
  const std::string nearest = RunFolder("").nearest_pairs().string();
  write("run/" + nearest, "a picture");
  EXPECT_TRUE(data(run("run"))["nearest"].is_null());
  write("run/eval.json", R"({"metrics":{"memorisation":null}})");
  EXPECT_TRUE(data(run("run"))["nearest"].is_null());
  write("run/eval.json", R"({"metrics":{"memorisation":{"near_copies":0.5}}})");
  EXPECT_EQ(data(run("run"))["nearest"], "YSBwaWN0dXJl");
  write("run/" + nearest, std::string(2 << 20, 'x'));
  EXPECT_TRUE(data(run("run"))["nearest"].is_null());
  for (const char* other : {"[]", "5", R"({"metrics":[]})"}) {
    write("run/eval.json", other);
    EXPECT_TRUE(data(run("run"))["nearest"].is_null()) << other;
  }
  write("run/eval.json", "{");
  EXPECT_THAT(data(run("run"))["evaluation"]["unreadable"], AllOf(HasSubstr("eval.json"), HasSubstr("JSON")));
}

TEST_F(Report, NothingInTheDataEndsTheScriptElementOrFetchesAnything) {
  const std::string evil = "</script><script>alert(1)</script><!--<script>\xff";
  ReportedRun reported = run("run");
  reported.options["data"] = evil;
  reported.recipe = evil;
  write("run/logs/rank-0000.log", "2024-05-06 07:08:10.000 warning " + evil + "\n");
  const std::string page = report_page({&reported, 1}, train_option_specs());
  const ReportedRun plain = run("run");
  const auto count = [](const std::string& text, const std::string& what) {
    std::size_t found = 0;
    for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++found;
    return found;
  };
  fs::remove_all(scratch_ / "run");
  for (const char* mark : {"</script", "<script", "<!--"})
    EXPECT_EQ(count(page, mark), count(report_page({&plain, 1}, train_option_specs()), mark)) << mark;
  EXPECT_THAT(std::string(data_of(page)["runs"][0]["recipe"]), HasSubstr("</script><script>alert(1)</script><!--"));
  EXPECT_THAT(page, HasSubstr("default-src 'none'; img-src data:;"));
}

TEST_F(Report, NamesSeveralRunsAsTheyWereGivenAndOneByItsFolder) {
  const std::vector<ReportedRun> runs = {run("some/first/"), run("some/second")};
  EXPECT_EQ(data(runs[0])["name"], "first");
  const Json both = data_of(report_page(runs, train_option_specs()))["runs"];
  EXPECT_EQ(both[0]["name"], (scratch_ / "some/first").string());
  EXPECT_EQ(both[1]["name"], (scratch_ / "some/second").string());
}

TEST_F(Report, LeavesOutWhatIsNoFileOrCannotBeRead) {
  const RunFolder folder(scratch_ / "run");
  write("run/samples/step-00000001.png", "one");
  fs::create_directories(folder.sample(2));
  fs::create_symlink("nowhere", folder.sample(3));
  // Nobody writes to these: whoever opens one waits for ever.
  fs::create_directories(folder.log(0).parent_path());
  for (const fs::path& pipe : {folder.sample(4), folder.real_sample(), folder.evaluation(), folder.log(0)})
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  fs::create_symlink("step-00000001.png", folder.sample(5));
  const Json found = data(run("run"));
  EXPECT_EQ(found["grids"]["of"], 5);
  EXPECT_EQ(found["grids"]["unreadable"], 3);
  ASSERT_EQ(found["grids"]["shown"].size(), 2U);
  EXPECT_EQ(decoded(found["grids"]["shown"][1]["png"]), "one");
  EXPECT_TRUE(found["real"].is_null());
  EXPECT_THAT(found["evaluation"]["unreadable"], HasSubstr("eval.json"));
  EXPECT_EQ(found["log"]["state"], "unknown");
}

TEST_F(Report, ReadsTheEndOfALongLog) {
  const std::string end = "2024-05-06 07:08:11.000 info done: 9 steps\n";
  write("run/logs/rank-0000.log", "2024-05-06 07:08:10.000 warning old\n" + std::string(17 << 20, 'x') + "\n" + end);
  const Json log = data(run("run"))["log"];
  EXPECT_EQ(log["state"], "finished");
  EXPECT_TRUE(log["messages"]["newest"].empty());
}

}  // namespace
}  // namespace ganymede
