// Elementary functions in single precision, written without branches or tables so that loops over them
// vectorise, and with the same operations on every instruction set that has fused multiply-add: the bits
// do not depend on the vector width, the compiler's maths library or the machine's glibc.
//
// Polynomials after Cephes (S. L. Moshier, expf.c, logf.c, sinf.c). tests/unit/math checks each against
// double precision over its whole domain; the bounds given here are those that it asserts.
#pragma once

#include <cstdint>

#include "math/portable.hpp"

namespace ganymede::math {

GANYMEDE_MATH float as_float(std::uint32_t bits) {
  float value = 0;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}
GANYMEDE_MATH std::uint32_t as_bits(float value) {
  std::uint32_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}

/// pixel / 255, correctly rounded: 1/255 = 257/65536 + 1/(255 · 65536), and the first product is exact.
GANYMEDE_MATH float unit_scaled(std::uint8_t pixel) {
  const auto x = static_cast<float>(pixel);
  return x * (257.0F / 65536.0F) + x * (1.0F / (255.0F * 65536.0F));
}

/// e^x, within 2 ulp; 0 below -87.3, clamped to e^88.3 above; NaN stays NaN.
GANYMEDE_MATH float exponential(float x) {
  float clamped = x > 88.3F ? 88.3F : x;
  clamped = clamped < -87.3F ? -87.3F : clamped;
  // Adding 1.5 · 2^23 rounds to an integer that stands in the low bits.
  const float shifted = clamped * 1.44269504088896341F + 12582912.0F;
  const float n = shifted - 12582912.0F;
  const float r = (clamped - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.0F;
  const float scale = as_float((as_bits(shifted) + 127U) << 23);
  const float result = p * scale;
  return x < -87.3F ? 0.0F : result;
}

/// ln x for normal x > 0, within 2 ulp (absolute 1e-7 near 1).
GANYMEDE_MATH float logarithm(float x) {
  // x = m · 2^e with m in [√½, √2).
  const std::uint32_t bits = as_bits(x) - 0x3F3504F3U;
  const auto e = static_cast<float>(static_cast<std::int32_t>(bits) >> 23);
  const float m = as_float((bits & 0x007FFFFFU) + 0x3F3504F3U) - 1.0F;
  const float z = m * m;
  float p = 7.0376836292e-2F;
  p = p * m - 1.1514610310e-1F;
  p = p * m + 1.1676998740e-1F;
  p = p * m - 1.2420140846e-1F;
  p = p * m + 1.4249322787e-1F;
  p = p * m - 1.6668057665e-1F;
  p = p * m + 2.0000714765e-1F;
  p = p * m - 2.4999993993e-1F;
  p = p * m + 3.3333331174e-1F;
  p = p * m * z;
  p = p + e * -2.12194440e-4F;
  p = p - 0.5F * z;
  return (m + p) + e * 0.693359375F;
}

/// 1 / (1 + e^-x), within 4 ulp above -87.
GANYMEDE_MATH float sigmoid(float x) { return 1.0F / (1.0F + exponential(-x)); }

/// ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|), never overflowing; within 4 ulp above -87, 0 below.
GANYMEDE_MATH float softplus(float x) {
  const float magnitude = x < 0.0F ? -x : x;
  const float tail = exponential(-magnitude);
  // ln(1 + tail) from the rounded sum, and the first-order term for what the rounding lost. (It also carries
  // a NaN past the logarithm, which does not know them.)
  const float sum = 1.0F + tail;
  const float log1p = logarithm(sum) + (tail - (sum - 1.0F)) / sum;
  return (x > 0.0F ? x : 0.0F) + log1p;
}

/// Correctly rounded, and one instruction where there is one.
GANYMEDE_MATH float square_root(float x) {
#if defined(__CUDA_ARCH__)
  return sqrtf(x);
#else
  return __builtin_sqrtf(x);
#endif
}
GANYMEDE_MATH double square_root(double x) {
#if defined(__CUDA_ARCH__)
  return sqrt(x);
#else
  return __builtin_sqrt(x);
#endif
}

/// cos(πx) for x in [0, 1], absolute error below 1e-15: the sine's series at a quarter of a turn or less. (glibc's cos,
/// too, may differ in a bit between CPUs.)
GANYMEDE_MATH double cosine_half_turn(double x) {
  const double t = 3.14159265358979323846 * (0.5 - x);
  double sum = 1.0;
  for (int k = 20; k > 0; k -= 2) sum = 1.0 - t * t * (1.0 / (k * (k + 1))) * sum;
  return t * sum;
}

/// base^exponent by repeated squaring: glibc's pow may differ in a bit between CPUs, which replicas must not.
GANYMEDE_MATH double power(double base, std::uint64_t exponent) {
  double result = 1.0;
  for (; exponent != 0; exponent >>= 1U) {
    if ((exponent & 1U) != 0) result *= base;
    base *= base;
  }
  return result;
}

struct SinCos {
  float sin;
  float cos;
};

/// sin and cos of 2πu for u in [0, 1], absolute error below 2e-7.
GANYMEDE_MATH SinCos sincos_turn(float u) {
  // Quadrant q and rest t in [-1/8, 1/8] of a turn.
  const float q = (u * 4.0F + 12582912.0F) - 12582912.0F;
  const float t = (u - q * 0.25F) * 6.28318530717958648F;
  const float z = t * t;
  float s = -1.9515295891e-4F;
  s = s * z + 8.3321608736e-3F;
  s = s * z - 1.6666654611e-1F;
  s = s * z * t + t;
  float c = 2.443315711809948e-5F;
  c = c * z - 1.388731625493765e-3F;
  c = c * z + 4.166664568298827e-2F;
  c = c * z * z - 0.5F * z + 1.0F;
  const auto quadrant = static_cast<std::int32_t>(q) & 3;
  const float swap_sin = (quadrant & 1) != 0 ? c : s;
  const float swap_cos = (quadrant & 1) != 0 ? s : c;
  return {quadrant >= 2 ? -swap_sin : swap_sin, quadrant == 1 || quadrant == 2 ? -swap_cos : swap_cos};
}

}  // namespace ganymede::math
