// On a terminal: one line that is redrawn, and messages on lines of their own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cli/process.hpp"

namespace ganymede::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

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

TEST(Terminal, UsageErrorsAreTheSameThere) {
  const TemporaryFolder folder;
  const Ending ending = run_on_terminal(ganymede({"train"}), folder.path());
  EXPECT_EQ(ending.code, 2);
  EXPECT_EQ(lines(ending.out).size(), 1U);
  EXPECT_THAT(ending.out, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace ganymede::test
