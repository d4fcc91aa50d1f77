// What records say in words: of trainings that collapse, that are healthy, and that have only begun.
#include "report/findings.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <utility>

namespace ganymede::testing {
namespace {

using Kind = Finding::Kind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A healthy training's record, diagnosed anew.
MetricsRecord healthy(std::uint64_t step) {
  MetricsRecord r;
  r.step = step;
  r.real_accuracy = 0.7;
  r.fake_accuracy = 0.72;
  r.real_score = 0.3;
  r.fake_score = -0.3;
  r.discriminator_gradient_norm = 1 + 0.1 * std::sin(static_cast<double>(step));
  r.generator_gradient_norm = 2;
  r.diagnosed_step = static_cast<double>(step);
  r.sample_diversity = 0.9;
  r.sample_classes = 10;
  r.real_slope = 1;
  r.fake_slope = 1.5;
  r.generator_update_ratio = 0.001;
  return r;
}

std::vector<Kind> kinds(const std::vector<Finding>& findings) {
  std::vector<Kind> result;
  for (const Finding& finding : findings) result.push_back(finding.kind);
  return result;
}

TEST(Findings, NothingOfAHealthyTraining) {
  Findings findings;
  for (std::uint64_t step = 100; step <= 100'000; step += 100) EXPECT_THAT(findings.follow(healthy(step)), IsEmpty());
  EXPECT_FALSE(findings.any());
}

TEST(Findings, DKnowsItsTrainingImages) {
  Findings findings;
  MetricsRecord r = healthy(100);
  r.held_out_gap = 0.6;
  EXPECT_THAT(findings.follow(r), IsEmpty());
  // The same diagnosis again says nothing new; the next one does.
  r.step = 200;
  EXPECT_THAT(findings.follow(r), IsEmpty());
  r.step = 300;
  r.diagnosed_step = 300;
  const auto begun = findings.follow(r);
  EXPECT_THAT(kinds(begun), ElementsAre(Kind::overfitting_discriminator));
  EXPECT_EQ(begun[0].since, 100U);
  EXPECT_THAT(begun[0].text, HasSubstr("held-out real images lose 60 % of"));
}

TEST(Findings, CollapseOfWhatWasVaried) {
  Findings findings;
  for (std::uint64_t step = 100; step <= 1000; step += 100) findings.follow(healthy(step));
  MetricsRecord few = healthy(1100);
  few.sample_classes = 1;
  const auto begun = findings.follow(few);
  EXPECT_THAT(kinds(begun), ElementsAre(Kind::collapse));
  EXPECT_THAT(begun[0].text, HasSubstr("collapsed onto 1 of 10 classes"));
  EXPECT_EQ(begun[0].since, 1100U);
  EXPECT_TRUE(findings.present(Kind::collapse));
  // It is said once, and is over with the first diagnosis that has it no more.
  few.step = 1200;
  few.diagnosed_step = 1200;
  EXPECT_THAT(findings.follow(few), IsEmpty());
  EXPECT_THAT(findings.follow(healthy(1300)), IsEmpty());
  EXPECT_FALSE(findings.any());
  ASSERT_EQ(findings.all().size(), 1U);
  EXPECT_EQ(findings.all()[0].until, 1300U);
}

TEST(Findings, CollapseOfImagesThatNoJudgeKnows) {
  Findings findings;
  MetricsRecord r = healthy(100);
  r.sample_classes = MetricsRecord::unknown;
  findings.follow(r);
  r.step = 200;
  r.diagnosed_step = 200;
  r.sample_diversity = 0.05;
  const auto begun = findings.follow(r);
  EXPECT_THAT(kinds(begun), ElementsAre(Kind::collapse));
  EXPECT_THAT(begun[0].text, HasSubstr("vary 0.05 times as much"));
}

// As gan and modern begin: few digits, alike, but less so each time.
TEST(Findings, SamplesThatGrowMoreVariedHaveNotCollapsed) {
  Findings findings;
  double diversity = 0.0003;
  for (std::uint64_t step = 50; step <= 1000; step += 50) {
    MetricsRecord r = healthy(step);
    r.sample_classes = 1;
    r.sample_diversity = diversity *= 1.3;
    r.generator_update_ratio = 0.003;  // in the end three times the norm
    EXPECT_THAT(findings.follow(r), IsEmpty()) << step;
  }
}

// As gan-literal does on MNIST: never varied, and no more so; or even less; or led by a steep D, even where they grow.
TEST(Findings, SamplesThatNeverBecomeVariedHaveCollapsedInTheEnd) {
  const auto found = [](auto diversity, double slope) -> std::uint64_t {
    Findings findings;
    for (std::uint64_t step = 500; step <= 4000; step += 500) {
      MetricsRecord r = healthy(step);
      r.sample_classes = 1;
      r.sample_diversity = diversity(static_cast<double>(step));
      r.generator_update_ratio = 0.001;
      r.real_slope = r.fake_slope = slope;
      if (!findings.follow(r).empty()) return step;
    }
    return 0;
  };
  EXPECT_EQ(found([](double step) { return 0.06 - 1e-6 * step; }, 1), 4000U);  // .001 · 4000 is the first that is 4
  EXPECT_EQ(found([](double step) { return 10 / step; }, 1), 1500U);           // .001 · 1500 is the first that is 1.5
  EXPECT_EQ(found([](double step) { return 1e-6 * step; }, 1), 0U);
  EXPECT_EQ(found([](double step) { return 1e-6 * step; }, 7), 1500U);
}

// However much less alike than before they become: it ends when they are no longer alike.
TEST(Findings, ACollapseLastsAsLongAsSamplesAreAlike) {
  Findings findings;
  MetricsRecord r = healthy(500);
  r.sample_classes = 1;
  r.sample_diversity = 0.02;
  r.generator_update_ratio = 0.004;
  findings.follow(r);
  r.step = 1000;
  r.diagnosed_step = 1000;
  r.sample_diversity = 0.01;
  EXPECT_THAT(kinds(findings.follow(r)), ElementsAre(Kind::collapse));
  for (const auto& [classes, diversity] : {std::pair{3, 0.375}, {4, 0.5}, {8, 0.2}}) {
    r.step += 500;
    r.diagnosed_step += 500;
    r.sample_classes = classes;
    r.sample_diversity = diversity;
    findings.follow(r);
    EXPECT_TRUE(findings.present(Kind::collapse)) << r.step;
    EXPECT_EQ(findings.recovering(), diversity > 0.2) << r.step;
  }
  findings.follow(healthy(3000));
  EXPECT_FALSE(findings.present(Kind::collapse));
}

// Who has a penalty already is not told to take one.
TEST(Findings, AdviceStartsFromWhatTheRunHas) {
  const auto advice = [](Findings::Training training, auto change) {
    Findings findings(training);
    std::string text;
    for (std::uint64_t step = 100; text.empty() && step <= 1000; step += 100) {
      MetricsRecord r = healthy(step);
      if (step > 100) change(r);
      for (const Finding& begun : findings.follow(r)) text += begun.text;
    }
    return text;
  };
  const auto collapsed = [](MetricsRecord& r) { r.sample_classes = 1; };
  EXPECT_THAT(advice({}, collapsed), HasSubstr("; --r1 5, or the recipes gan and modern, keep them varied"));
  EXPECT_THAT(advice({.r1 = 5}, collapsed), HasSubstr("; more than --r1 5, or a smaller --learning-rate, may"));
  const auto won = [](MetricsRecord& r) {
    r.real_accuracy = r.fake_accuracy = 1;
    r.real_score = 5;
    r.fake_score = -5;
  };
  EXPECT_THAT(advice({}, won), HasSubstr("; a gradient penalty (--r1), --instance-noise"));
  EXPECT_THAT(advice({.r1 = 0.5}, won), HasSubstr("; more than --r1 0.5, --instance-noise"));
  const auto steep = [](MetricsRecord& r) { r.fake_slope = 100; };
  EXPECT_THAT(advice({}, steep), HasSubstr("; --r2 flattens it"));
  EXPECT_THAT(advice({.r2 = 2}, steep), HasSubstr("; more than --r2 2 flattens it"));
}

TEST(Findings, RecordsBetweenDiagnosesSayNothingNew) {
  Findings findings;
  MetricsRecord r = healthy(100);
  findings.follow(r);
  r.fake_slope = 100;
  for (std::uint64_t step = 200; step < 1000; step += 100) {
    r.step = step;
    EXPECT_THAT(findings.follow(r), IsEmpty());  // the diagnosis is that of before
  }
  r.step = 1000;
  r.diagnosed_step = 1000;
  EXPECT_THAT(findings.follow(r), IsEmpty());
  // A diagnosis of its own, although samples are exactly as varied as at the last.
  r.step = 1500;
  r.diagnosed_step = 1500;
  EXPECT_THAT(kinds(findings.follow(r)), ElementsAre(Kind::steep_discriminator));
}

TEST(Findings, WhoWins) {
  const auto follow = [](double real, double fake, double logit, bool differences) {
    Findings findings({differences});
    std::vector<Finding> begun;
    for (std::uint64_t step = 100; begun.empty() && step <= 2000; step += 100) {
      MetricsRecord r = healthy(step);
      r.real_accuracy = real;
      r.fake_accuracy = fake;
      r.real_score = logit;
      r.fake_score = -logit;
      begun = findings.follow(r);
    }
    return begun;
  };
  const auto d_wins = follow(0.99, 1, 5, false);
  EXPECT_THAT(kinds(d_wins), ElementsAre(Kind::discriminator_wins));
  EXPECT_THAT(d_wins[0].text, HasSubstr("99 % of real and 100 % of generated"));
  EXPECT_EQ(d_wins[0].since, 100U);
  EXPECT_THAT(kinds(follow(0.02, 0.05, -5, false)), ElementsAre(Kind::generator_wins));
  // Right, but never sure: a D under R1.
  EXPECT_THAT(follow(0.99, 1, 0.2, false), IsEmpty());
  // One side is as good as the other.
  EXPECT_THAT(follow(0.99, 0.5, 5, false), IsEmpty());
  EXPECT_THAT(follow(0.99, 1, 5, true), IsEmpty());
}

// However often a run is logged: records are means of as many steps. In a few of them D may be right about all images.
TEST(Findings, WhoWinsIsAQuestionOfSteps) {
  const auto found = [](std::uint64_t log_every, std::uint64_t steps, const auto& wins) -> std::uint64_t {
    Findings findings;
    for (std::uint64_t step = log_every; step <= steps; step += log_every) {
      MetricsRecord r = healthy(step);
      const bool won = wins(step);
      r.real_accuracy = won ? 1 : 0.95;
      r.fake_accuracy = 1;
      r.real_score = 5;
      r.fake_score = -5;
      if (!findings.follow(r).empty()) return step;
    }
    return 0;
  };
  const auto always = [](std::uint64_t) { return true; };
  for (const std::uint64_t log_every : {1, 20, 100, 250, 500}) EXPECT_EQ(found(log_every, 2000, always), 500U);
  EXPECT_EQ(found(1000, 2000, always), 1000U);
  EXPECT_EQ(found(1, 10'000, [](std::uint64_t step) { return step % 100 < 20; }), 0U);
  EXPECT_EQ(found(1, 10'000, [](std::uint64_t step) { return step % 100 < 80; }), 500U);
}

TEST(Findings, AGradientThatExplodes) {
  Findings findings;
  for (std::uint64_t step = 100; step <= 2000; step += 100) findings.follow(healthy(step));
  MetricsRecord r = healthy(2100);
  r.generator_gradient_norm = 100;
  const auto begun = findings.follow(r);
  EXPECT_THAT(kinds(begun), ElementsAre(Kind::generator_gradient));
  EXPECT_THAT(begun[0].text, HasSubstr("50 times its usual"));
  findings.follow(healthy(2200));
  EXPECT_FALSE(findings.any());
}

// A G that has died at once never comes far.
TEST(Findings, ACollapseOfAGThatNoLongerMoves) {
  Findings findings;
  MetricsRecord r = healthy(100);
  r.sample_diversity = 0.02;
  r.generator_update_ratio = 1e-3;
  EXPECT_THAT(findings.follow(r), IsEmpty());
  r.step = 200;
  r.diagnosed_step = 200;
  r.sample_diversity = 1e-10;
  r.generator_update_ratio = 0;
  EXPECT_THAT(kinds(findings.follow(r)), ElementsAre(Kind::collapse));
}

TEST(Findings, NoGradientOfNextToNothingExplodes) {
  Findings findings;
  MetricsRecord r = healthy(0);
  for (r.step = 100; r.step <= 2000; r.step += 100) {
    r.generator_gradient_norm = 1e-21;
    EXPECT_THAT(findings.follow(r), IsEmpty());
  }
  r.generator_gradient_norm = 2.4e-19;
  EXPECT_THAT(findings.follow(r), IsEmpty());
}

// Once one side has won; an explosion is one beside what was usual before that.
TEST(Findings, AGradientThatComesBackFromNextToNothingDoesNotExplode) {
  Findings findings;
  for (std::uint64_t step = 100; step <= 2000; step += 100) findings.follow(healthy(step));
  MetricsRecord r = healthy(0);
  const double usual = r.generator_gradient_norm;
  const auto with_norm = [&](std::uint64_t step, double norm) {
    r.step = step;
    r.generator_gradient_norm = norm;
    return kinds(findings.follow(r));
  };
  for (std::uint64_t step = 2100; step <= 12'000; step += 100) EXPECT_THAT(with_norm(step, usual / 1000), IsEmpty());
  EXPECT_THAT(with_norm(12'100, usual), IsEmpty());
  EXPECT_THAT(with_norm(12'200, 4 * usual), ElementsAre(Kind::generator_gradient));
}

}  // namespace
}  // namespace ganymede::testing
