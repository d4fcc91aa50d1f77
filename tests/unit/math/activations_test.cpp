// Each activation of the list against itself: no derivative is written down here, so a new one is covered by its name.
#include "math/activation/activations.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace ganymede::math {
namespace {

// Parameters that an activation may be given: leaky-relu's usual slope, and that of ReLU.
constexpr float parameters[] = {0.2F, 0.0F};

// Between multiples of a tenth, so that a kink at one of them (0, 1, 6, …) lies in no central difference.
std::vector<float> points() {
  std::vector<float> result;
  for (int i = -80; i < 80; ++i) result.push_back((static_cast<float>(i) + 0.5F) / 10);
  return result;
}

// Calls test(Sigma{}, parameter) for each.
template <class Test>
void for_each_activation(const Test& test) {
  for (int kind = 0; kind < Activations::size; ++kind)
    Activations::visit(kind, [&](auto sigma) {
      for (const float parameter : parameters) {
        SCOPED_TRACE(std::string(decltype(sigma)::name) + " with parameter " + std::to_string(parameter));
        test(sigma, parameter);
      }
    });
}

TEST(Activations, SlopesAreTheValuesDifferences) {
  for_each_activation([](auto sigma, float parameter) {
    // The values' rounding makes a difference of 1e-4, and their third derivative one of 2e-5.
    constexpr float step = 0x1p-7F;
    for (const float a : points()) {
      const auto above = static_cast<double>(sigma.value(a + step, parameter));
      const auto below = static_cast<double>(sigma.value(a - step, parameter));
      const double difference = (above - below) / (static_cast<double>(a + step) - static_cast<double>(a - step));
      EXPECT_NEAR(sigma.slope(sigma.value(a, parameter), parameter), difference, 5e-4) << "at " << a;
    }
  });
}

// Straight lines have a few kinks; a curve's slope is another nearly everywhere on some side of 0.
TEST(Activations, PiecewiseLinearAreThoseOfStraightLines) {
  for_each_activation([](auto sigma, float parameter) {
    const std::vector<float> at = points();
    int changes = 0;
    for (std::size_t i = 1; i < at.size(); ++i)
      if (std::abs(sigma.slope(sigma.value(at[i], parameter), parameter) -
                   sigma.slope(sigma.value(at[i - 1], parameter), parameter)) > 1e-6F)
        ++changes;
    EXPECT_EQ(decltype(sigma)::piecewise_linear, changes <= 8)
        << "between " << at.size() << " points the slope changes " << changes << " times";
  });
}

TEST(Activations, NanPassesThrough) {
  for_each_activation([](auto sigma, float parameter) {
    EXPECT_TRUE(std::isnan(sigma.value(std::numeric_limits<float>::quiet_NaN(), parameter)));
  });
}

}  // namespace
}  // namespace ganymede::math
