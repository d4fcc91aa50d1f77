// Vectors of an instruction set's width, and how work is shared among parts. Part of kernels.inl.cpp.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "device/cpu/kernels.hpp"

#define GANYMEDE_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define GANYMEDE_UNROLL _Pragma("unroll")
#define GANYMEDE_LOOP
#else
#define GANYMEDE_UNROLL _Pragma("GCC unroll 64")
// A loop over a vector's elements: unrolled, as GCC would have it, it does not become a vector again.
#define GANYMEDE_LOOP _Pragma("GCC unroll 1")
#endif

namespace ganymede::cpu {
namespace {

#if defined(__AVX512F__)
constexpr int lanes = 16;
constexpr int tile_rows = 12;
#elif defined(__AVX2__)
constexpr int lanes = 8;
constexpr int tile_rows = 6;
#else
constexpr int lanes = 4;
constexpr int tile_rows = 6;
#endif
constexpr int tile_vectors = 2;
constexpr int tile_columns = tile_vectors * lanes;

using Vector = float __attribute__((vector_size(lanes * sizeof(float))));

#if defined(__AVX512F__)
GANYMEDE_INLINE Vector load(const float* from) { return _mm512_loadu_ps(from); }
GANYMEDE_INLINE void store(float* to, Vector value) { _mm512_storeu_ps(to, value); }
GANYMEDE_INLINE bool any_nonzero(Vector v) { return _mm512_cmp_ps_mask(v, Vector{}, _CMP_NEQ_UQ) != 0; }
#elif defined(__AVX2__)
GANYMEDE_INLINE Vector load(const float* from) { return _mm256_loadu_ps(from); }
GANYMEDE_INLINE void store(float* to, Vector value) { _mm256_storeu_ps(to, value); }
GANYMEDE_INLINE bool any_nonzero(Vector v) { return _mm256_movemask_ps(_mm256_cmp_ps(v, Vector{}, _CMP_NEQ_UQ)) != 0; }
#else
GANYMEDE_INLINE Vector load(const float* from) { return _mm_loadu_ps(from); }
GANYMEDE_INLINE void store(float* to, Vector value) { _mm_storeu_ps(to, value); }
GANYMEDE_INLINE bool any_nonzero(Vector v) { return _mm_movemask_ps(_mm_cmpneq_ps(v, Vector{})) != 0; }
#endif

// sum += a · b. By its instruction where there is one: the matrix products fill all registers, and a
// compiler that picks another form of it, which does not leave the sum in its place, spills.
#if defined(__AVX512F__)
GANYMEDE_INLINE Vector broadcast(float value) { return _mm512_set1_ps(value); }
GANYMEDE_INLINE void accumulate(Vector a, Vector b, Vector& sum) {
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
#elif defined(__AVX2__)
GANYMEDE_INLINE Vector broadcast(float value) { return _mm256_set1_ps(value); }
GANYMEDE_INLINE void accumulate(Vector a, Vector b, Vector& sum) {
  asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
}
#else
GANYMEDE_INLINE Vector broadcast(float value) { return _mm_set1_ps(value); }
GANYMEDE_INLINE void accumulate(Vector a, Vector b, Vector& sum) { sum += a * b; }
#endif

GANYMEDE_INLINE int smaller(int a, int b) { return a < b ? a : b; }

struct Range {
  int begin, end;
};

// The `part`-th of `parts` nearly equal pieces of 0 … count-1.
GANYMEDE_INLINE Range piece(int count, int part, int parts) {
  return {static_cast<int>(static_cast<std::int64_t>(count) * part / parts),
          static_cast<int>(static_cast<std::int64_t>(count) * (part + 1) / parts)};
}

// The same for long arrays, cut at multiples of `grain` elements so that no two parts share a cache line.
struct LongRange {
  std::size_t begin, end;
};
GANYMEDE_INLINE LongRange long_piece(std::size_t count, std::size_t grain, int part, int parts) {
  const std::size_t grains = (count + grain - 1) / grain;
  const std::size_t begin = grains * static_cast<std::size_t>(part) / static_cast<std::size_t>(parts) * grain;
  const std::size_t end = grains * (static_cast<std::size_t>(part) + 1) / static_cast<std::size_t>(parts) * grain;
  return {begin < count ? begin : count, end < count ? end : count};
}

}  // namespace
}  // namespace ganymede::cpu
