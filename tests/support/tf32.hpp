// TF32 by its definition, for what simulates tensor cores: a float of 10 bits of fraction.
#pragma once

#include <bit>
#include <cstdint>

namespace ganymede::testing {

/// The nearest TF32 as a float; a value that is not finite as it is.
inline float nearest_tf32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7F800000U) == 0x7F800000U) return value;
  return std::bit_cast<float>((bits + 0xFFFU + ((bits >> 13U) & 1U)) & ~0x1FFFU);
}

}  // namespace ganymede::testing
