// Labels that a set leaves out.
#include "data/labels.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace ganymede {
namespace {

using ::testing::HasSubstr;

std::string gap(const std::vector<std::uint8_t>& labels) {
  ImageSet set;
  set.count = static_cast<std::uint32_t>(labels.size());
  set.labels = labels;
  return gap_in_labels(set, "numbers");
}

TEST(GapInLabels, NamesWhatIsMissingBelowTheGreatest) {
  EXPECT_EQ(gap({}), "");
  EXPECT_EQ(gap({0}), "");
  EXPECT_EQ(gap({2, 1, 0, 2}), "");
  EXPECT_THAT(gap({3, 0, 1}),
              HasSubstr("of the labels 0 to 3 no training image of numbers has 2: samples show that class"));
  EXPECT_THAT(gap({4, 1, 4}),
              HasSubstr("of the labels 0 to 4 no training image of numbers has 0, 2 or 3: samples show those"));
}

}  // namespace
}  // namespace ganymede
