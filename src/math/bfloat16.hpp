// bfloat16: the upper half of a float32, so that it has float32's range and 8 bits of precision: what is rounded to it
// differs by up to 2^-8 of itself (down to 2^-126).
#pragma once

#include <cstdint>

#include "math/functions.hpp"
#include "math/portable.hpp"

namespace ganymede::math {

/// The nearest one's bits, of two that are as near the one whose last bit is 0: what GPUs and PyTorch round to. Not a
/// number stays so.
GANYMEDE_MATH std::uint16_t to_bfloat16(float x) {
  const std::uint32_t bits = as_bits(x);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<std::uint16_t>((bits >> 16U) | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

GANYMEDE_MATH float from_bfloat16(std::uint16_t bits) { return as_float(static_cast<std::uint32_t>(bits) << 16U); }

}  // namespace ganymede::math
