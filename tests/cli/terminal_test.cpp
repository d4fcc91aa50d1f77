// On a terminal: one line that is redrawn, and messages on lines of their own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <thread>

#include "cli/process.hpp"

namespace ganymede::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

TEST(Terminal, TheProgressIsOneLineThatIsRedrawn) {
  const TemporaryFolder folder;
  const Ending ending = run_on_terminal(tiny_training("run", {"--steps", "2000", "--log-every", "10"}), folder.path());
  EXPECT_EQ(ending.code, 0);
  const std::size_t begin = ending.out.find("\repoch");
  ASSERT_NE(begin, std::string::npos) << ending.out;
  const std::size_t end = ending.out.find("done: 2000 steps", begin);
  ASSERT_NE(end, std::string::npos) << ending.out;
  const std::string shown = ending.out.substr(begin, end - begin);
  EXPECT_GE(std::count(shown.begin(), shown.end(), '\r'), 3) << "the first, the last, and the line end's";
  EXPECT_EQ(std::count(shown.begin(), shown.end(), '\n'), 1) << "the one that ends it";
  EXPECT_THAT(shown, AllOf(HasSubstr("\x1b[K"), HasSubstr("2000/2000")));
}

TEST(Terminal, AMessageStartsOnALineOfItsOwn) {
  const TemporaryFolder folder;
  const Ending ending = run_on_terminal(diverging_training("run"), folder.path());
  EXPECT_EQ(ending.code, 5);
  EXPECT_THAT(ending.out, AllOf(HasSubstr("\repoch"), HasSubstr("\nganymede: the gradient of step ")));
}

// Ctrl-S, or a connection that stands still: the training goes on, and does what it is told.
TEST(Terminal, OneThatTakesNothingHoldsNothingUp) {
  const TemporaryFolder folder;
  const fs::path records = folder.path() / "run/metrics.jsonl";
  TerminalProcess training(tiny_training("run", {"--steps", "1000000000", "--log-every", "1"}), folder.path());
  ASSERT_TRUE(eventually([&] { return !content(records).empty(); }));
  training.type("\x13");
  while (!training.read_within(std::chrono::milliseconds(300)).empty()) {
  }
  const auto before = fs::file_size(records);
  EXPECT_TRUE(eventually([&] { return fs::file_size(records) > before; }));
  const auto asked = std::chrono::steady_clock::now();
  training.send(SIGTERM);
  const Ending ending = training.wait();
  EXPECT_EQ(ending.code, 75);
  EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds(5));
  EXPECT_THAT(content(folder.path() / "run/logs/rank-0000.log"), HasSubstr("by request; --resume goes on"));
}

TEST(Terminal, UsageErrorsAreTheSameThere) {
  const TemporaryFolder folder;
  const Ending ending = run_on_terminal(ganymede({"train"}), folder.path());
  EXPECT_EQ(ending.code, 2);
  EXPECT_EQ(lines(ending.out).size(), 1U);
  EXPECT_THAT(ending.out, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace ganymede::test
