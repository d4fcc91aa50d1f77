// Fixed-point sums, the heart of --reproducible: int64 addition is associative, so neither the number
// of ranks nor the all-reduce algorithm can change a bit of a sum.
//
// A value v is stored as round(v · 2^40) (ties to even). The conversion is exact to 2^-41 ≈ 4.5e-13
// absolute, and holds for |v| < 2^10: `v · 2^40` then stays below 2^50, where adding 1.5 · 2^52 in double
// rounds to an integer that can be read off the bits. Sums of up to 2^12 such values cannot overflow.
// Values outside the range, infinities and NaNs are counted, never converted: the count travels in the
// same reduction and ends the step in an error on every rank.
#pragma once

#include <cstdint>

#include "math/portable.hpp"

namespace ganymede::math {

inline constexpr double fixed_point_scale = 1099511627776.0;  // 2^40
inline constexpr float fixed_point_limit = 1024.0F;

/// True where `value` can be converted; false for |value| >= 1024, infinities and NaN.
GANYMEDE_MATH bool fits_fixed_point(float value) { return value > -fixed_point_limit && value < fixed_point_limit; }
GANYMEDE_MATH bool fits_fixed_point(double value) {
  constexpr double limit = fixed_point_limit;
  return value > -limit && value < limit;
}

/// round(value · 2^40); the caller has checked fits_fixed_point(value).
GANYMEDE_MATH std::int64_t to_fixed_point(double value) {
  constexpr double magic = 6755399441055744.0;  // 1.5 · 2^52
  const double shifted = value * fixed_point_scale + magic;
  std::int64_t bits = 0;
  std::int64_t magic_bits = 0;
  __builtin_memcpy(&bits, &shifted, sizeof bits);
  __builtin_memcpy(&magic_bits, &magic, sizeof magic_bits);
  return bits - magic_bits;
}
GANYMEDE_MATH std::int64_t to_fixed_point(float value) { return to_fixed_point(static_cast<double>(value)); }

GANYMEDE_MATH double from_fixed_point(std::int64_t value) { return static_cast<double>(value) / fixed_point_scale; }

}  // namespace ganymede::math
