// Least squares (Mao et al. 2017, with a = 0, b = c = 1): D regresses on 1 for real images and 0 for generated ones.
#pragma once

#include "math/loss/term.hpp"
#include "math/portable.hpp"

namespace ganymede::math {

struct LeastSquares : LossTraits {
  static constexpr const char* name = "least-squares";
  static constexpr bool has_target = true;
  GANYMEDE_MATH static bool right_on_real(float r, float /*f*/) { return r > 0.5F; }
  GANYMEDE_MATH static bool right_on_fake(float /*r*/, float f) { return f < 0.5F; }
  GANYMEDE_MATH static LossTerm discriminator(float r, float f, float smoothing) {
    const float error = r - (1.0F - smoothing);
    return {0.5F * error * error + 0.5F * f * f, error, f};
  }
  GANYMEDE_MATH static LossTerm generator(float /*r*/, float f) {
    return {0.5F * (f - 1.0F) * (f - 1.0F), 0.0F, f - 1.0F};
  }
};

}  // namespace ganymede::math
