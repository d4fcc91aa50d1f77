// Fixed-point conversion: exact where the promise says so, to half a unit elsewhere, and honest about what
// does not fit.
#include "math/fixed_point.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace ganymede::math {
namespace {

TEST(FixedPoint, IsExactForMultiplesOfItsUnit) {
  for (double value : {0.0, 1.0, -1.0, 0.5, -1023.5, 0x1p-40, -0x1p-40, 3 * 0x1p-39, 1023.9375})
    EXPECT_EQ(from_fixed_point(to_fixed_point(static_cast<float>(value))), value);
  EXPECT_EQ(to_fixed_point(-0.0F), 0);
}

TEST(FixedPoint, RoundsTiesToEven) {
  EXPECT_EQ(to_fixed_point(0x1p-41F), 0);
  EXPECT_EQ(to_fixed_point(3 * 0x1p-41F), 2);
  EXPECT_EQ(to_fixed_point(-0x1p-41F), 0);
  EXPECT_EQ(to_fixed_point(-3 * 0x1p-41F), -2);
  EXPECT_EQ(to_fixed_point(0x1.000002p-41F), 1);
}

TEST(FixedPoint, IsWithinHalfAUnit) {
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> exponent(-50.0F, 10.0F);
  for (int i = 0; i < 1000000; ++i) {
    const float value = (i % 2 == 0 ? 1.0F : -1.0F) * std::exp2(exponent(generator));
    if (!fits_fixed_point(value)) continue;
    ASSERT_LE(std::abs(from_fixed_point(to_fixed_point(value)) - static_cast<double>(value)), 0x1p-41) << value;
  }
}

TEST(FixedPoint, KnowsItsLimits) {
  const float below = std::nextafter(1024.0F, 0.0F);
  EXPECT_TRUE(fits_fixed_point(below));
  EXPECT_TRUE(fits_fixed_point(-below));
  EXPECT_EQ(from_fixed_point(to_fixed_point(below)), static_cast<double>(below));
  EXPECT_EQ(from_fixed_point(to_fixed_point(-below)), -static_cast<double>(below));
  EXPECT_FALSE(fits_fixed_point(1024.0F));
  EXPECT_FALSE(fits_fixed_point(-1024.0F));
  EXPECT_FALSE(fits_fixed_point(std::numeric_limits<float>::infinity()));
  EXPECT_FALSE(fits_fixed_point(-std::numeric_limits<float>::infinity()));
  EXPECT_FALSE(fits_fixed_point(std::numeric_limits<float>::quiet_NaN()));
  EXPECT_TRUE(fits_fixed_point(std::numeric_limits<float>::denorm_min()));
}

}  // namespace
}  // namespace ganymede::math
