// Standard normal numbers from random bits: Box and Muller 1958.
#pragma once

#include "math/functions.hpp"
#include "math/philox.hpp"

namespace ganymede::math {

struct NormalPair {
  float first, second;
};

/// Two independent ones from two times 32 bits.
GANYMEDE_MATH NormalPair normal_pair(std::uint32_t a, std::uint32_t b) {
  const float radius = square_root(-2.0F * logarithm(unit_interval(a)));
  const SinCos angle = sincos_turn(unit_interval(b));
  return {radius * angle.cos, radius * angle.sin};
}

}  // namespace ganymede::math
