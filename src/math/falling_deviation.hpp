// How strong instance noise is, step by step.
#pragma once

#include <cstdint>

#include "math/portable.hpp"

namespace ganymede::math {

/// A standard deviation at one of a training's steps: `start` at first, 0 from step `end` on, linear between.
GANYMEDE_MATH float falling_deviation(double start, double end, std::uint64_t step) {
  const double left = 1.0 - static_cast<double>(step) / end;
  return left > 0.0 ? static_cast<float>(start * left) : 0.0F;
}

}  // namespace ganymede::math
