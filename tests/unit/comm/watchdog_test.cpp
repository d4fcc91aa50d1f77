// How long the watchdog waits where nobody says so, and that it tells.
#include "comm/watchdog.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "core/files.hpp"
#include "core/heartbeat.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede::comm {
namespace {

using ::testing::ContainsRegex;

TEST(Deadline, IsAMinuteOrAHundredMedianSteps) {
  EXPECT_EQ(Watchdog::default_deadline(0), 60);
  EXPECT_EQ(Watchdog::default_deadline(0.6), 60);
  EXPECT_EQ(Watchdog::default_deadline(0.75), 75);
  EXPECT_EQ(Watchdog::default_deadline(30), 3000);
  EXPECT_EQ(Watchdog::rule(0), "ends the job when nothing is completed for 60 s, or for as long as 100 steps take");
  EXPECT_EQ(Watchdog::rule(7), "ends the job when nothing is completed for 7 s");
}

TEST(Deadline, IsInTheLogOnceStepsHaveBeenMeasured) {
  const test::TemporaryFolder folder;
  const std::filesystem::path log = folder / "log";
  std::ofstream(log).close();
  Watchdog watchdog(
      0, [] { return false; }, "");
  watchdog.expect(0, log);
  heartbeat::stage("steps");
  for (std::uint64_t step = 1; step < 100 && read_file(log).empty(); ++step) {
    heartbeat::step(step);
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
  }
  EXPECT_THAT(read_file(log), ContainsRegex("watchdog: a step takes [0-9.]+ s \\(median\\), so the job ends when "
                                            "nothing is completed for 60 s\n"));
  heartbeat::stage({});
}

}  // namespace
}  // namespace ganymede::comm
