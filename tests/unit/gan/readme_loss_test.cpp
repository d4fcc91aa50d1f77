// The loss that README.md shows how to add: that it compiles, and that its derivatives are those of its value.
#include "readme_loss.hpp"

#include <gtest/gtest.h>

#include "math/loss/losses.hpp"
#include "support/reference_gan.hpp"

namespace ganymede::testing {
namespace {

TEST(ReadmeLoss, IsOne) {
  using Extended = math::TypeList<math::NonSaturating, math::SquaredHinge>;
  EXPECT_EQ(Extended::find([](const char* name) { return std::string("squared-hinge") == name; }), 1);
  for (const double r : {-3.0, 0.5, 1.5})
    for (const double f : {-2.0, -0.25, 4.0}) {
      const auto value = [](const Doubles& at) {
        return std::pow(std::max(0.0, 1 - at[0]), 2) + std::pow(std::max(0.0, 1 + at[1]), 2);
      };
      Doubles at = {r, f};
      const Doubles slopes = reference::gradient(at, [&] { return value(at); });
      const auto [real, fake] = std::pair(static_cast<float>(r), static_cast<float>(f));
      const math::LossTerm d = math::SquaredHinge::discriminator(real, fake, 0);
      EXPECT_NEAR(static_cast<double>(d.value), value({r, f}), 1e-6);
      EXPECT_NEAR(static_cast<double>(d.d_real), slopes[0], 1e-6);
      EXPECT_NEAR(static_cast<double>(d.d_fake), slopes[1], 1e-6);
      const math::LossTerm g = math::SquaredHinge::generator(real, fake);
      EXPECT_EQ(g.value, -fake);
      EXPECT_EQ(g.d_fake, -1.0F);
      EXPECT_EQ(g.d_real, 0.0F);
    }
}

}  // namespace
}  // namespace ganymede::testing
