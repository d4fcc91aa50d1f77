// Texts of several parts.
#include "core/names.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ganymede {
namespace {

using ::testing::ElementsAre;
using Words = std::vector<std::string>;

TEST(Names, AreJoined) {
  EXPECT_EQ(joined(Words{}), "");
  EXPECT_EQ(joined(Words{"a"}), "a");
  EXPECT_EQ(joined(Words{"a", "b", "c"}), "a, b, c");
  EXPECT_EQ(joined(Words{"", "b", ""}, ","), ",b,");
  EXPECT_EQ(joined(std::vector<int>{128, 64}, ",", [](int width) { return std::to_string(width); }), "128,64");
}

TEST(Names, ThatAreMistypedAreNearToOthers) {
  const Words known = {"batch", "seed"};
  EXPECT_EQ(nearest_name("bathc", known), "batch");
  EXPECT_EQ(nearest_name("sed", known), "seed");
  EXPECT_EQ(nearest_name("quux", known), "");
  EXPECT_EQ(nearest_name("abc", {}), "");
}

TEST(Names, AreSplitAgain) {
  EXPECT_THAT(split("", ','), ElementsAre(""));
  EXPECT_THAT(split("a", ','), ElementsAre("a"));
  EXPECT_THAT(split("a,b c", ','), ElementsAre("a", "b c"));
  EXPECT_THAT(split(",b,", ','), ElementsAre("", "b", ""));
}

TEST(Names, StandInASentence) {
  EXPECT_EQ(either({}), "");
  EXPECT_EQ(either({"a"}), "a");
  EXPECT_EQ(either({"a", "b"}), "a or b");
  EXPECT_EQ(every({"a", "b", "c"}), "a, b and c");
}

}  // namespace
}  // namespace ganymede
