// Standard normal numbers from random bits: Box and Muller 1958. And the deviation of noise that fades.
#pragma once

#include <cstdint>

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

/// A standard deviation at one of a training's steps: `start` at first, 0 from step `end` on, linear between.
GANYMEDE_MATH float falling_deviation(double start, double end, std::uint64_t step) {
  const double left = 1.0 - static_cast<double>(step) / end;
  return left > 0.0 ? static_cast<float>(start * left) : 0.0F;
}

}  // namespace ganymede::math
