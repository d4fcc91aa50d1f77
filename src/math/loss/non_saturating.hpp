// The non-saturating loss (Goodfellow et al. 2014, section 3): binary cross-entropy for D; G minimises
// −log σ(D(G(z))), whose gradient is strong where D is sure.
#pragma once

#include "math/functions.hpp"
#include "math/loss/term.hpp"

namespace ganymede::math {

struct NonSaturating : LossTraits {
  static constexpr const char* name = "non-saturating";
  static constexpr bool has_target = true;
  /// Cross-entropy with the target 1 − smoothing: (1 − s)·softplus(−r) + s·softplus(r) = softplus(−r) + s·r.
  GANYMEDE_MATH static LossTerm discriminator(float r, float f, float smoothing) {
    return {softplus(-r) + smoothing * r + softplus(f), smoothing - sigmoid(-r), sigmoid(f)};
  }
  GANYMEDE_MATH static LossTerm generator(float /*r*/, float f) { return {softplus(-f), 0.0F, -sigmoid(-f)}; }
};

}  // namespace ganymede::math
