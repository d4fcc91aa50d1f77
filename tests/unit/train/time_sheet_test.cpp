// What a rank's time went to, against waits of known length.
#include "train/time_sheet.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

#include "core/heartbeat.hpp"

namespace ganymede {
namespace {

using Part = TimeSheet::Part;

void spend(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

void wait_for_others(double seconds) {
  const heartbeat::Waiting waiting("others");
  spend(seconds);
}

double part(const RankTiming& timing, const std::string& name) {
  const auto found =
      std::find_if(timing.parts.begin(), timing.parts.end(), [&](const auto& each) { return each.first == name; });
  EXPECT_NE(found, timing.parts.end()) << name;
  return found == timing.parts.end() ? -1 : found->second;
}

void expect_whole(const RankTiming& timing) {
  double sum = timing.waiting;
  for (const auto& [name, seconds] : timing.parts) {
    EXPECT_GE(seconds, -1e-9) << name;
    sum += seconds;
  }
  EXPECT_NEAR(sum, timing.seconds, 1e-9);
}

TEST(TimeSheet, PhasesAndStagesAddUpWithTheWaiting) {
  TimeSheet sheet(true);
  for (int step = 0; step < 2; ++step) {
    sheet.phases().enter(Phase::generator_forward);
    spend(0.002);
    sheet.phases().enter(Phase::discriminator_reduction);
    wait_for_others(0.005);
    sheet.phases().enter(Phase::count);
    sheet.count_step();
  }
  {
    const TimeSheet::Stage stage(sheet, Part::checkpoint);
    EXPECT_EQ(Pulse::load(heartbeat::pulse().stage).text(), "checkpoint");
    spend(0.003);
    wait_for_others(0.004);
  }
  spend(0.001);
  const RankTiming timing = sheet.all();
  EXPECT_EQ(timing.steps, 2U);
  expect_whole(timing);
  // Sleeping may take longer, and takes no less; waiting is where it was, and in no phase.
  EXPECT_GE(part(timing, "G forward"), 0.004);
  EXPECT_GE(part(timing, "checkpoint"), 0.003);
  EXPECT_GE(part(timing, "other"), 0.001);
  EXPECT_GE(timing.waiting, 0.014);
  EXPECT_LT(part(timing, "D reduction"), 0.002);
  EXPECT_EQ(part(timing, "diagnosis"), 0);
}

TEST(TimeSheet, UndividedStepsAreWhatNoStageHas) {
  TimeSheet sheet(false);
  // A device's report is waited for: that is no other rank's doing.
  wait_for_others(0.004);
  {
    const TimeSheet::Stage stage(sheet, Part::diagnosis);
    spend(0.002);
  }
  const RankTiming timing = sheet.all();
  expect_whole(timing);
  EXPECT_GE(part(timing, undivided_steps), 0.004);
  EXPECT_GE(part(timing, "diagnosis"), 0.002);
  EXPECT_EQ(timing.waiting, 0);
  for (const auto& [name, seconds] : timing.parts) EXPECT_NE(name, "G forward");
}

}  // namespace
}  // namespace ganymede
