// The hinge loss (Lim and Ye 2017, Miyato et al. 2018): D stops caring where it is right by a margin of 1.
#pragma once

#include "math/loss/term.hpp"
#include "math/portable.hpp"

namespace ganymede::math {

struct Hinge : LossTraits {
  static constexpr const char* name = "hinge";
  GANYMEDE_MATH static LossTerm discriminator(float r, float f, float /*smoothing*/) {
    // Written so that a NaN is no 0.
    const bool right_on_real = r > 1.0F;
    const bool right_on_fake = f < -1.0F;
    return {(right_on_real ? 0.0F : 1.0F - r) + (right_on_fake ? 0.0F : 1.0F + f), right_on_real ? 0.0F : -1.0F,
            right_on_fake ? 0.0F : 1.0F};
  }
  GANYMEDE_MATH static LossTerm generator(float /*r*/, float f) { return {-f, 0.0F, -1.0F}; }
};

}  // namespace ganymede::math
