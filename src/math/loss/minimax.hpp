// The minimax loss (Goodfellow et al. 2014, equation 1): G minimises log(1 − σ(D(G(z)))), which saturates
// where D is sure.
#pragma once

#include "math/functions.hpp"
#include "math/loss/term.hpp"

namespace ganymede::math {

struct Minimax {
  static constexpr const char* name = "minimax";
  static constexpr const char* description = "D: softplus(-r) + softplus(f); G: -softplus(f)";
  GANYMEDE_MATH static LossTerm discriminator(float r, float f) {
    return {softplus(-r) + softplus(f), -sigmoid(-r), sigmoid(f)};
  }
  GANYMEDE_MATH static LossTerm generator(float, float f) { return {-softplus(f), 0.0F, -sigmoid(f)}; }
};

}  // namespace ganymede::math
