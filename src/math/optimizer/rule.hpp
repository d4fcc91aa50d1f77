// What every optimiser's rule is written with.
#pragma once

#include <cstdint>

#include "ganymede/optimizer_constants.hpp"
#include "math/functions.hpp"
#include "math/portable.hpp"

namespace ganymede::math {

using ConstantMember = double OptimizerConstants::*;

/// A constant that a rule uses beside the learning rate and what all have (weight decay, clipping).
struct UsedConstant {
  const char* name;  ///< for people: "β₁"
  ConstantMember value;
};

}  // namespace ganymede::math
