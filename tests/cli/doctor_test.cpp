// `ganymede doctor` of launches that are as they should be, and of some that are broken on purpose.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/process.hpp"

namespace ganymede::test {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class Doctor : public ::testing::Test {
 protected:
  [[nodiscard]] const fs::path& here() const { return folder_.path(); }
  TemporaryFolder folder_;
};

TEST_F(Doctor, OneProcess) {
  const Ending ending = run(ganymede({"doctor"}), here());
  EXPECT_EQ(ending.code, 0) << ending.out;
  EXPECT_THAT(ending.out, HasSubstr("launch        one process\n"));
  EXPECT_THAT(ending.out, HasSubstr("MiB on the disk in"));
  EXPECT_TRUE(fs::is_empty(here()));
}

TEST_F(Doctor, RanksAsJson) {
  const Ending ending = run(mpirun({"-n", "2"}, ganymede({"doctor", "--json", "--out", "run"})), here());
  ASSERT_EQ(ending.code, 0) << ending.err;
  const auto json = nlohmann::json::parse(ending.out);
  ASSERT_EQ(json["ranks"].size(), 2U);
  EXPECT_EQ(json["ranks"][1]["rank"], 1);
  EXPECT_EQ(json["ranks"][1]["environment"]["PMIX_RANK"], "1");
  EXPECT_GT(json["all_reduce"]["latency_seconds"], 0);
  EXPECT_GT(json["all_reduce"]["bytes_per_second"], 0);
  EXPECT_EQ(json["clocks_ahead_seconds"][0], 0);
  EXPECT_EQ(json["folder"]["path"], "run");
  EXPECT_FALSE(fs::exists(here() / "run"));
}

TEST_F(Doctor, RanksOnOneCore) {
  const Ending ending = run(mpirun({"-n", "2"}, Words{"taskset", "-c", "0"} + ganymede({"doctor"})), here());
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.out, HasSubstr("ranks 0 and 1 on "));
  EXPECT_THAT(ending.out, HasSubstr(" share core 0\n  to mend it  "));
}

TEST_F(Doctor, AFolderThatCannotBeWritten) {
  const Ending ending = run(ganymede({"doctor", "--out", "/proc/run"}), here());
  EXPECT_EQ(ending.code, 4);
  EXPECT_THAT(ending.out, HasSubstr("ERROR         nothing can be written to /proc (proc) on "));
  EXPECT_THAT(ending.out, HasSubstr("1 error, "));
}

// A disk that takes half a minute for a megabyte, and a file system that gives no sign: the doctor does not wait.
TEST_F(Doctor, WhatDoesNotAnswerIsNotWaitedFor) {
  const auto with_delay = [&](const std::string& calls) {
    const auto begin = std::chrono::steady_clock::now();
    Ending ending = run(mpirun({"-n", "2"}, Words{"env", "LD_PRELOAD=" GANYMEDE_FAILING_CALLS_LIBRARY,
                                                  "GANYMEDE_FAILING_CALLS=.ganymede-doctor:" + calls + ":-30000"} +
                                                ganymede({"doctor"})),
                        here());
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
    return ending;
  };
  // After its making: closed, opened, written, synced.
  const Ending disk = with_delay("3:3");
  EXPECT_EQ(disk.code, 0) << disk.out << disk.err;
  EXPECT_THAT(disk.out, HasSubstr(" free, 1 MiB not on the disk after 2.5 s\n"));
  EXPECT_THAT(disk.out, HasSubstr("warning       1 MiB has not come to the disk in 2.5 s in "));
  EXPECT_THAT(disk.out, HasSubstr("all-reduce    1 KiB in "));
  EXPECT_TRUE(fs::is_empty(here()));
  // Made, and not closed.
  const Ending nothing = with_delay("0:0");
  EXPECT_EQ(nothing.code, 4) << nothing.out << nothing.err;
  EXPECT_THAT(nothing.out, HasSubstr("ERROR         nothing can be written to . (unknown) on "));
  EXPECT_THAT(nothing.out, HasSubstr(": its file system has not answered in 2.5 s\n"));
  EXPECT_TRUE(fs::is_empty(here()));
}

// Whoever waits in it has the loader's lock, which the end of a process in good order takes.
TEST_F(Doctor, ADriverThatDoesNotAnswerDoesNotKeepItFromEnding) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string driver = GANYMEDE_SLOW_DRIVER;
  const Ending ending =
      run(Words{"env", "LD_LIBRARY_PATH=" + fs::path(driver).parent_path().string(), "GANYMEDE_CUDA_MODULE=" + driver} +
              ganymede({"doctor"}),
          here());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.out, HasSubstr("warning "));
  EXPECT_TRUE(fs::is_empty(here()));
}

TEST_F(Doctor, RanksOfTwoBuilds) {
  const std::string program = ganymede({})[0];
  fs::copy_file(program, here() / "rebuilt");
  write(here() / "tail", "another build");
  ASSERT_EQ(run({"sh", "-c", "cat tail >> rebuilt"}, here()).code, 0);
  const Ending ending = run(mpirun({"-n", "1"}, {program, "doctor", ":", "-n", "1", "./rebuilt", "doctor"}), here());
  EXPECT_EQ(ending.code, 4) << ending.err;
  EXPECT_THAT(ending.out, HasSubstr("runs another build of the program"));
}

// What `train` refuses is wrong, though the file system around it can be written to.
TEST(DoctorOut, ThatIsAFileIsAnError) {
  const TemporaryFolder here;
  write(here / "file", "");
  const Ending ending = run(ganymede({"doctor", "--out", "file"}), here.path());
  EXPECT_EQ(ending.code, 4) << ending.out;
  EXPECT_THAT(ending.out, ::testing::HasSubstr("--out file is not a folder: choose another folder"));
}

}  // namespace
}  // namespace ganymede::test
