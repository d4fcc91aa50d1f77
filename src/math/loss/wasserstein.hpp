// The Wasserstein loss (Arjovsky, Chintala, Bottou 2017, algorithm 1): −value estimates the distance between the two
// distributions, up to a factor, when D is kept Lipschitz (--clip-weights or --gradient-penalty).
#pragma once

#include "math/loss/term.hpp"
#include "math/portable.hpp"

namespace ganymede::math {

struct Wasserstein : DifferenceTraits {
  static constexpr const char* name = "wasserstein";
  static constexpr bool unbounded = true;
  static constexpr bool estimates_distance = true;
  GANYMEDE_MATH static LossTerm discriminator(float r, float f, float /*smoothing*/) { return {f - r, -1.0F, 1.0F}; }
  GANYMEDE_MATH static LossTerm generator(float /*r*/, float f) { return {-f, 0.0F, -1.0F}; }
};

}  // namespace ganymede::math
