// bfloat16 by its definition, for tests to compare with: 8 bits of precision, float32's range, ties to the even one.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace ganymede::testing {

/// The nearest bfloat16 as a float; a value that is not a number as it is.
inline float nearest_bfloat16(float x) {
  if (!std::isfinite(x) || x == 0) return x;
  int exponent = 0;
  std::frexp(x, &exponent);
  // The spacing of bfloat16 there, which is no less than the least of them: in double all of this is exact.
  const double spacing = std::ldexp(1.0, std::max(exponent - 8, -133));
  const double nearest = spacing * std::nearbyint(static_cast<double>(x) / spacing);
  if (std::abs(nearest) >= 0x1p128) return std::copysign(std::numeric_limits<float>::infinity(), x);
  return static_cast<float>(nearest);
}

inline std::vector<float> nearest_bfloat16(std::vector<float> values) {
  for (float& value : values) value = nearest_bfloat16(value);
  return values;
}

/// The bits of a float that is one.
inline std::uint16_t bfloat16_bits(float x) {
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16U);
}
inline float bfloat16_value(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16U); }

}  // namespace ganymede::testing
