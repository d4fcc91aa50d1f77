// Rounding to bfloat16 against its definition.
#include "math/bfloat16.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "support/bfloat16.hpp"

namespace ganymede::math {
namespace {

using testing::bfloat16_bits;
using testing::bfloat16_value;
using testing::nearest_bfloat16;

// Every one of them, what lies between it and the next (the tie, its neighbours), and as many floats of any size.
TEST(Bfloat16, IsTheNearest) {
  std::mt19937 generator(1);
  for (std::uint32_t upper = 0; upper < 0x10000; ++upper)
    for (const std::uint32_t lower :
         {0x0000U, 0x0001U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU, static_cast<std::uint32_t>(generator() & 0xFFFFU)}) {
      const std::uint32_t bits = upper << 16U | lower;
      const auto x = std::bit_cast<float>(bits);
      if (std::isnan(x)) {
        ASSERT_TRUE(std::isnan(from_bfloat16(to_bfloat16(x)))) << std::hex << bits;
        continue;
      }
      ASSERT_EQ(to_bfloat16(x), bfloat16_bits(nearest_bfloat16(x))) << std::hex << bits;
      ASSERT_EQ(from_bfloat16(static_cast<std::uint16_t>(upper)), bfloat16_value(static_cast<std::uint16_t>(upper)));
    }
}

TEST(Bfloat16, KnownValues) {
  EXPECT_EQ(to_bfloat16(1.0F), 0x3F80);
  EXPECT_EQ(to_bfloat16(-2.0F), 0xC000);
  EXPECT_EQ(to_bfloat16(-0.0F), 0x8000);
  EXPECT_EQ(to_bfloat16(0x1.01p0F), 0x3F80) << "a tie, to the even one below";
  EXPECT_EQ(to_bfloat16(0x1.03p0F), 0x3F82) << "a tie, to the even one above";
  EXPECT_EQ(to_bfloat16(std::numeric_limits<float>::max()), 0x7F80) << "nearer to 2^128 than to the largest";
  EXPECT_EQ(to_bfloat16(0x1.FEFFFEp127F), 0x7F7F) << "the largest";
  EXPECT_EQ(to_bfloat16(0x1p-133F), 0x0001) << "the least";
  EXPECT_EQ(to_bfloat16(0x1p-134F), 0x0000) << "half of it";
  EXPECT_EQ(to_bfloat16(-std::numeric_limits<float>::infinity()), 0xFF80);
  EXPECT_EQ(to_bfloat16(std::numeric_limits<float>::quiet_NaN()) & 0x7FC0, 0x7FC0);
}

// What tolerances are made of.
TEST(Bfloat16, IsWithin2ToTheMinus8) {
  std::mt19937 generator(2);
  std::uniform_real_distribution<float> exponent(-126.0F, 127.0F);
  for (int i = 0; i < 1000000; ++i) {
    const float x = (i % 2 == 0 ? 1.0F : -1.0F) * std::exp2(exponent(generator));
    ASSERT_LE(std::abs(static_cast<double>(from_bfloat16(to_bfloat16(x))) - static_cast<double>(x)),
              0x1p-8 * std::abs(static_cast<double>(x)));
  }
}

}  // namespace
}  // namespace ganymede::math
