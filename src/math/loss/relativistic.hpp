// Relativistic pairing (Jolicoeur-Martineau 2018; Huang et al. 2024, equation 2, with f(t) = −softplus(−t)): D wants
// each real image above the generated one it is paired with, G the reverse.
#pragma once

#include "math/functions.hpp"
#include "math/loss/term.hpp"

namespace ganymede::math {

struct Relativistic : DifferenceTraits {
  static constexpr const char* name = "relativistic";
  static constexpr bool generator_sees_real = true;
  GANYMEDE_MATH static LossTerm discriminator(float r, float f, float /*smoothing*/) {
    const float slope = sigmoid(f - r);
    return {softplus(f - r), -slope, slope};
  }
  GANYMEDE_MATH static LossTerm generator(float r, float f) {
    const float slope = sigmoid(r - f);
    return {softplus(r - f), slope, -slope};
  }
};

}  // namespace ganymede::math
