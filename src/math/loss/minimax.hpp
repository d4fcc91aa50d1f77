// The minimax loss (Goodfellow et al. 2014, equation 1): G minimises log(1 − σ(D(G(z)))), which saturates
// where D is sure.
#pragma once

#include "math/functions.hpp"
#include "math/loss/non_saturating.hpp"
#include "math/loss/term.hpp"

namespace ganymede::math {

struct Minimax : LossTraits {
  static constexpr const char* name = "minimax";
  static constexpr bool has_target = true;
  GANYMEDE_MATH static LossTerm discriminator(float r, float f, float smoothing) {
    return NonSaturating::discriminator(r, f, smoothing);
  }
  GANYMEDE_MATH static LossTerm generator(float /*r*/, float f) { return {-softplus(f), 0.0F, -sigmoid(f)}; }
};

}  // namespace ganymede::math
