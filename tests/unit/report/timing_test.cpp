// timing.jsonl, and what a page shows of it.
#include "report/timing.hpp"

#include <gmock/gmock.h>

#include <string>

#include "core/files.hpp"
#include "ganymede/error.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr double microsecond = 1e-6;

// Of ten steps: a rank's own part takes `own` seconds, two thirds of them D's.
RankTiming of_rank(int rank, double own, double waiting) {
  return {2,
          100,
          110,
          10,
          rank,
          "host" + std::to_string(rank / 2),
          own + waiting,
          waiting,
          {{"D backward", own * 2 / 3}, {"report", 0}, {"other", own / 3}}};
}

TEST(Timing, IsReadAsItWasWritten) {
  std::vector<RankTiming> written = {of_rank(0, 0.3, 0.125), of_rank(1, 1.0 / 3, 0)};
  written[0].host = "\"a\nhost\"";
  const std::vector<RankTiming> read = parse_timing(timing_text(written), "there");
  ASSERT_THAT(read, SizeIs(2));
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read[i].start, 2U);
    EXPECT_EQ(read[i].first_step, 100U);
    EXPECT_EQ(read[i].last_step, 110U);
    EXPECT_EQ(read[i].steps, 10U);
    EXPECT_EQ(read[i].rank, written[i].rank);
    EXPECT_EQ(read[i].host, written[i].host);
    EXPECT_NEAR(read[i].seconds, written[i].seconds, microsecond);
    EXPECT_NEAR(read[i].waiting, written[i].waiting, microsecond);
    ASSERT_EQ(read[i].parts.size(), written[i].parts.size());
    for (std::size_t p = 0; p < read[i].parts.size(); ++p) {
      EXPECT_EQ(read[i].parts[p].first, written[i].parts[p].first);
      EXPECT_NEAR(read[i].parts[p].second, written[i].parts[p].second, microsecond);
    }
  }
}

TEST(Timing, ALineThatIsNoneIsNamed) {
  const std::string good = timing_text(std::vector{of_rank(0, 1, 0)});
  for (const std::string& bad : {std::string("{\n"), std::string("[]\n"), std::string("{\"start\":1}\n"),
                                 [&] {
                                   std::string text = good;
                                   return text.replace(text.find("\"host0\""), 7, "7");
                                 }(),
                                 [&] {
                                   std::string text = good;
                                   return text.replace(text.find("\"rank\":0"), 8, "\"rank\":-1");
                                 }()}) {
    EXPECT_THAT(testing::refusal(ExitCode::data, [&] { parse_timing(good + bad, "there"); }),
                HasSubstr("there, line 2: "))
        << bad;
  }
}

TEST(Timing, APageHasMillisecondsAStepOfTheNewestStart) {
  RankTiming before = of_rank(0, 5, 0);
  before.start = 1;
  // Resumed at its end: no steps, of which nothing can be said.
  RankTiming idle = of_rank(0, 0, 0);
  idle.start = 3;
  idle.steps = 0;
  const Json shown = shown_timing(std::vector{before, of_rank(1, 0.6, 0), of_rank(0, 0.3, 0.3), idle});
  EXPECT_EQ(shown["start"], 2);
  EXPECT_EQ(shown["first_step"], 100);
  EXPECT_EQ(shown["last_step"], 110);
  EXPECT_EQ(shown["steps"], 10);
  EXPECT_EQ(shown["ranks"], 2);
  EXPECT_EQ(shown["divided"], true);
  // Without what took no time; then what a rank did itself, its waiting, and all.
  EXPECT_EQ(shown["parts"], Json::parse(R"(["D backward","other"])"));
  EXPECT_EQ(shown["rows"], Json::parse(R"([{"rank":0,"host":"host0","ms":[20.0,10.0,30.0,30.0,60.0]},
                                           {"rank":1,"host":"host0","ms":[40.0,20.0,60.0,0.0,60.0]}])"));
  EXPECT_TRUE(shown["summary"].is_null());
  EXPECT_EQ(shown["slowest"], Json::parse(R"({"rank":1,"ms":60.0,"median_ms":30.0})"));
}

TEST(Timing, OfManyRanksTheSpreadAndTheSlowest) {
  std::vector<RankTiming> ranks;
  for (int rank = 0; rank < 1000; ++rank) ranks.push_back(of_rank(rank, 0.1 + 0.001 * ((rank * 7) % 1000), 2));
  const Json shown = shown_timing(ranks);
  EXPECT_EQ(shown["ranks"], 1000);
  std::vector<int> slowest;
  for (const Json& row : shown["rows"]) slowest.push_back(row["rank"]);
  // Those of 999, 998, 997, 996 thousandths: 7 · 857 = 5999, and so on.
  EXPECT_THAT(slowest, ElementsAre(857, 714, 571, 428));
  ASSERT_EQ(shown["summary"].size(), 3U);
  const double own[] = {10, 10 + 49.9, 10 + 99.9};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(shown["summary"][i]["ms"][2].get<double>(), own[i], 1e-3);
    EXPECT_NEAR(shown["summary"][i]["ms"][0].get<double>(), own[i] * 2 / 3, 1e-3);
    EXPECT_NEAR(shown["summary"][i]["ms"][3].get<double>(), 200, 1e-3);
  }
  EXPECT_LT(shown.dump().size(), 2000U);
}

TEST(Timing, OfOneRankOrOfUndividedStepsNoneIsTheSlowest) {
  EXPECT_TRUE(Json(shown_timing(std::vector{of_rank(0, 1, 0)}))["slowest"].is_null());
  std::vector<RankTiming> ranks = {of_rank(0, 1, 0), of_rank(1, 2, 0)};
  for (RankTiming& rank : ranks) rank.parts[0].first = undivided_steps;
  const Json shown = shown_timing(ranks);
  EXPECT_TRUE(shown["slowest"].is_null());
  EXPECT_EQ(shown["divided"], false);
  EXPECT_TRUE(shown_timing({}).is_null());
}

}  // namespace
}  // namespace ganymede
