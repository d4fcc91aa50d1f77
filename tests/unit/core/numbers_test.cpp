// Numbers as people write them, and what is usual of several.
#include "core/numbers.hpp"

#include <gtest/gtest.h>

#include "core/quantile.hpp"

namespace ganymede {
namespace {

TEST(Numbers, AreTheWholeText) {
  EXPECT_EQ(number_from<int>("-12"), -12);
  EXPECT_EQ(number_from<double>("2.5e-3"), 0.0025);
  EXPECT_EQ(number_from<std::uint64_t>("18446744073709551615"), 18446744073709551615U);
  for (const char* none : {"", " 1", "1 ", "+1", "1x", "x", "99999999999"})
    EXPECT_FALSE(number_from<int>(none)) << none;
}

TEST(Numbers, BeginATextOrAreZero) {
  EXPECT_EQ(leading_number("10.weight"), 10U);
  for (const char* none : {"", "weight", "-1", "18446744073709551616"}) EXPECT_EQ(leading_number(none), 0U) << none;
}

TEST(Quantile, HasItsShareOfTheValuesBelow) {
  EXPECT_EQ(quantile<int>({5, 1, 4, 2, 3}, 0), 1);
  EXPECT_EQ(quantile<int>({5, 1, 4, 2, 3}, 0.2), 2);
  EXPECT_EQ(median<int>({5, 1, 4}), 4);
  EXPECT_EQ(median<double>({4, 1, 3, 2}), 3);
  EXPECT_EQ(median<int>({7}), 7);
}

}  // namespace
}  // namespace ganymede
