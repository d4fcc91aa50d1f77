// The elementary functions against double precision, densely over their domains, and at their edges.
#include "math/functions.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace ganymede::math {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// The distance between two floats at `x`.
double ulp(double x) {
  const auto magnitude = static_cast<float>(std::abs(x));
  return static_cast<double>(std::nextafter(magnitude, infinity)) - static_cast<double>(magnitude);
}

struct Worst {
  double error = 0;
  float at = 0;
  void see(double e, float x) {
    if (!(e <= error)) {
      error = e;
      at = x;
    }
  }
};

TEST(Exponential, IsWithinTwoUlp) {
  Worst worst;
  for (float x = -87.3F; x <= 88.3F; x += 1e-4F + std::abs(x) * 1e-6F) {
    const double exact = std::exp(static_cast<double>(x));
    worst.see(std::abs(static_cast<double>(exponential(x)) - exact) / ulp(exact), x);
  }
  EXPECT_LT(worst.error, 2.0) << "at " << worst.at;
}

TEST(Exponential, HasItsEdges) {
  EXPECT_EQ(exponential(0.0F), 1.0F);
  EXPECT_EQ(exponential(-infinity), 0.0F);
  EXPECT_EQ(exponential(-200.0F), 0.0F);
  EXPECT_GT(exponential(infinity), 2e38F);
  EXPECT_EQ(exponential(1e10F), exponential(88.3F));
  EXPECT_TRUE(std::isnan(exponential(nan)));
  EXPECT_TRUE(std::isnan(exponential(-nan)));
}

TEST(Logarithm, IsWithinTwoUlpOrNearOneWithin1e7) {
  Worst worst;
  for (float x = std::numeric_limits<float>::min(); x < infinity; x *= 1.0001F) {
    const double exact = std::log(static_cast<double>(x));
    const double error = std::abs(static_cast<double>(logarithm(x)) - exact);
    if (error > 1e-7) worst.see(error / ulp(exact), x);
  }
  for (float x = 0.5F; x < 2.0F; x += 1e-5F) {
    const double exact = std::log(static_cast<double>(x));
    const double error = std::abs(static_cast<double>(logarithm(x)) - exact);
    if (error > 1e-7) worst.see(error / ulp(exact), x);
  }
  EXPECT_LT(worst.error, 2.0) << "at " << worst.at;
  EXPECT_EQ(logarithm(1.0F), 0.0F);
}

TEST(UnitScaled, IsTheQuotientForEveryPixel) {
  for (int pixel = 0; pixel < 256; ++pixel)
    EXPECT_EQ(unit_scaled(static_cast<std::uint8_t>(pixel)), static_cast<float>(pixel) / 255.0F);
}

TEST(Sigmoid, IsWithinFourUlp) {
  Worst worst;
  for (float x = -87.0F; x <= 100.0F; x += 1e-4F + std::abs(x) * 1e-6F) {
    const double exact = 1 / (1 + std::exp(-static_cast<double>(x)));
    worst.see(std::abs(static_cast<double>(sigmoid(x)) - exact) / ulp(exact), x);
  }
  EXPECT_LT(worst.error, 4.0) << "at " << worst.at;
  EXPECT_EQ(sigmoid(infinity), 1.0F);
  EXPECT_LT(sigmoid(-infinity), 1e-38F);
  EXPECT_GE(sigmoid(-infinity), 0.0F);
  EXPECT_EQ(sigmoid(0.0F), 0.5F);
  EXPECT_TRUE(std::isnan(sigmoid(nan)));
}

TEST(Softplus, IsWithinFourUlp) {
  Worst worst;
  for (float x = -87.0F; x <= 200.0F; x += 1e-4F + std::abs(x) * 1e-6F) {
    const double exact =
        std::log1p(std::exp(-std::abs(static_cast<double>(x)))) + std::max(0.0, static_cast<double>(x));
    worst.see(std::abs(static_cast<double>(softplus(x)) - exact) / ulp(exact), x);
  }
  EXPECT_LT(worst.error, 4.0) << "at " << worst.at;
}

TEST(Softplus, HasItsEdges) {
  EXPECT_EQ(softplus(infinity), infinity);
  EXPECT_EQ(softplus(-infinity), 0.0F);
  EXPECT_EQ(softplus(1e30F), 1e30F);
  EXPECT_EQ(softplus(-1e30F), 0.0F);
  EXPECT_TRUE(std::isnan(softplus(nan)));
  EXPECT_NEAR(softplus(0.0F), std::log(2.0), 1e-7);
}

TEST(SincosTurn, IsWithin2e7) {
  Worst sin;
  Worst cos;
  const double turn = 2 * std::acos(-1.0);
  for (int i = 0; i <= 1 << 19; ++i) {
    const float u = static_cast<float>(i) * 0x1p-19F;
    const SinCos value = sincos_turn(u);
    sin.see(std::abs(static_cast<double>(value.sin) - std::sin(turn * static_cast<double>(u))), u);
    cos.see(std::abs(static_cast<double>(value.cos) - std::cos(turn * static_cast<double>(u))), u);
  }
  EXPECT_LT(sin.error, 2e-7) << "at " << sin.at;
  EXPECT_LT(cos.error, 2e-7) << "at " << cos.at;
}

TEST(CosineHalfTurn, IsWithin1e15) {
  const double half_turn = std::acos(-1.0);
  for (int i = 0; i <= 1 << 16; ++i) {
    const double x = i * 0x1p-16;
    EXPECT_NEAR(cosine_half_turn(x), std::cos(half_turn * x), 1e-15) << x;
  }
  EXPECT_EQ(cosine_half_turn(0.5), 0.0);
}

}  // namespace
}  // namespace ganymede::math
