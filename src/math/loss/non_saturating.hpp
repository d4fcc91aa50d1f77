// The non-saturating loss (Goodfellow et al. 2014, section 3): binary cross-entropy for D; G minimises
// −log σ(D(G(z))), whose gradient is strong where D is sure.
#pragma once

#include "math/functions.hpp"
#include "math/loss/term.hpp"

namespace ganymede::math {

struct NonSaturating {
  static constexpr const char* name = "non-saturating";
  static constexpr const char* description = "D: softplus(-r) + softplus(f); G: softplus(-f)";
  GANYMEDE_MATH static LossTerm discriminator(float r, float f) {
    return {softplus(-r) + softplus(f), -sigmoid(-r), sigmoid(f)};
  }
  GANYMEDE_MATH static LossTerm generator(float, float f) { return {softplus(-f), 0.0F, -sigmoid(-f)}; }
};

}  // namespace ganymede::math
