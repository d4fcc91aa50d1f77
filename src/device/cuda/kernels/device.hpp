// What the kernels share: vector loads that know where a row ends, sums over a warp and over blocks in a fixed
// order, sums in both forms of a target, activations by index.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "device/cuda/kernels.hpp"
#include "device/cuda/launch.hpp"
#include "math/activation/activations.hpp"
#include "math/fixed_point.hpp"
#include "math/functions.hpp"

namespace ganymede::cuda {

inline constexpr int warp_lanes = 32;
inline constexpr unsigned all_lanes = 0xFFFFFFFFU;

__device__ __forceinline__ int thread_lane() { return static_cast<int>(threadIdx.x % 32U); }
__device__ __forceinline__ int thread_warp() { return static_cast<int>(threadIdx.x / 32U); }

// --- on the host: how to launch ----------------------------------------------------------------------------------

inline unsigned blocks_for(std::size_t count, std::size_t per_block) {
  return static_cast<unsigned>((count + per_block - 1) / per_block);
}
inline std::size_t area(int rows, int columns) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
}
inline int ceiling(int count, int per_part) { return (count + per_part - 1) / per_part; }

/// Whether groups of four can be loaded and stored at once.
inline bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }
/// The same of the rows of a matrix.
inline bool aligned_rows(const void* pointer, int columns) { return columns % 4 == 0 && aligned(pointer); }

// --- four at a time ------------------------------------------------------------------------------------------------

/// The first min(count, 4) of from[0 … 3], then zeros; `count` may be negative.
__device__ __forceinline__ float4 load4(const float* from, std::ptrdiff_t count, bool vector) {
  if (vector && count >= 4) return *reinterpret_cast<const float4*>(from);
  return {count > 0 ? from[0] : 0.0F, count > 1 ? from[1] : 0.0F, count > 2 ? from[2] : 0.0F,
          count > 3 ? from[3] : 0.0F};
}
/// to[0 … min(count, 4) - 1] = value.
__device__ __forceinline__ void store4(float* to, std::ptrdiff_t count, bool vector, const float4& value) {
  if (vector && count >= 4) {
    *reinterpret_cast<float4*>(to) = value;
    return;
  }
  if (count > 0) to[0] = value.x;
  if (count > 1) to[1] = value.y;
  if (count > 2) to[2] = value.z;
  if (count > 3) to[3] = value.w;
}

// --- activations ---------------------------------------------------------------------------------------------------

// Written out rather than by TypeList::visit, which is for lambdas of the host as well.
template <class... Known>
__device__ __forceinline__ float value_of(math::TypeList<Known...>, int kind, float parameter, float a) {
  float result = a;
  int i = 0;
  ((i++ == kind ? static_cast<void>(result = Known::value(a, parameter)) : static_cast<void>(0)), ...);
  return result;
}
template <class... Known>
__device__ __forceinline__ float slope_of(math::TypeList<Known...>, int kind, float parameter, float h) {
  float result = 1.0F;
  int i = 0;
  ((i++ == kind ? static_cast<void>(result = Known::slope(h, parameter)) : static_cast<void>(0)), ...);
  return result;
}
/// σ(a) and σ'(a), the latter by σ's value h, for the activation that Device knows by this index.
struct Sigma {
  int kind;
  float parameter;
  __device__ __forceinline__ float value(float a) const { return value_of(math::Activations{}, kind, parameter, a); }
  __device__ __forceinline__ float slope(float h) const { return slope_of(math::Activations{}, kind, parameter, h); }
};

// --- sums ------------------------------------------------------------------------------------------------------------

/// The sum over the warp, in every lane, by a fixed tree.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
  GANYMEDE_UNROLL
  for (int distance = warp_lanes / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(all_lanes, value, distance);
  return value;
}

/// Adds `value` to a fixed-point sum, or counts that it does not fit.
__device__ __forceinline__ void add_fixed(float value, std::int64_t& sum, unsigned& overflow) {
  if (math::fits_fixed_point(value)) {
    sum += math::to_fixed_point(value);
  } else {
    ++overflow;
  }
}
__device__ __forceinline__ void report_overflow(const Sum& target, unsigned overflow) {
  // The same bits, signed or not, and CUDA has the unsigned one.
  if (overflow != 0) atomicAdd(reinterpret_cast<unsigned long long*>(target.overflow), overflow);
}

/// Rows of shard `shard`, in the order in which they are summed: those of part 0, then of part 1, … Of rows that hold
/// several positions (pixels), these.
struct ShardRows {
  int begin, length, rows, count;
  __device__ __forceinline__ ShardRows(const Shards& shards, int shard, int positions = 1)
      : begin(shards.begin[shard] * positions),
        length((shards.begin[shard + 1] - shards.begin[shard]) * positions),
        rows(shards.rows * positions),
        count(shards.parts * length) {}
  __device__ __forceinline__ int operator[](int i) const { return i / length * rows + begin + i % length; }
};
/// All rows as they lie.
struct AllRows {
  int count;
  __device__ __forceinline__ int operator[](int i) const { return i; }
};

/// target[0 … Terms-1] (+)= Σ over the rows of one part, by one block of Warps warps. term(row, sums) adds a row's
/// terms to sums[Terms]; it is called once for each row. With a fixed-point target shard by shard, a warp to a shard.
template <int Terms, int Warps, class Term>
__device__ __forceinline__ void sum_rows(const Shards& shards, const Sum& target, bool accumulate, Term&& term) {
  const int lane = thread_lane();
  const int warp = thread_warp();
  if (target.fixed != nullptr) {
    GANYMEDE_SHARED(std::int64_t, by_warp, [Warps][Terms]);
    std::int64_t total[Terms] = {};
    unsigned overflow = 0;
    for (int s = warp; s < shards.count; s += Warps) {
      double sums[Terms] = {};
      for (int row = shards.begin[s] + lane; row < shards.begin[s + 1]; row += warp_lanes) term(row, sums);
      GANYMEDE_UNROLL
      for (int i = 0; i < Terms; ++i) add_fixed(static_cast<float>(warp_sum(sums[i])), total[i], overflow);
    }
    if (lane == 0) {
      GANYMEDE_UNROLL
      for (int i = 0; i < Terms; ++i) by_warp[warp][i] = total[i];
      report_overflow(target, overflow);
    }
    __syncthreads();
    if (threadIdx.x < Terms) {
      std::int64_t all = 0;
      for (int w = 0; w < Warps; ++w) all += by_warp[w][threadIdx.x];
      target.fixed[threadIdx.x] = accumulate ? target.fixed[threadIdx.x] + all : all;
    }
  } else {
    GANYMEDE_SHARED(double, by_warp, [Warps][Terms]);
    double sums[Terms] = {};
    for (int row = static_cast<int>(threadIdx.x); row < shards.rows; row += Warps * warp_lanes) term(row, sums);
    GANYMEDE_UNROLL
    for (int i = 0; i < Terms; ++i) sums[i] = warp_sum(sums[i]);
    if (lane == 0) {
      GANYMEDE_UNROLL
      for (int i = 0; i < Terms; ++i) by_warp[warp][i] = sums[i];
    }
    __syncthreads();
    if (threadIdx.x < Terms) {
      double all = 0;
      for (int w = 0; w < Warps; ++w) all += by_warp[w][threadIdx.x];
      const auto sum = static_cast<float>(all);
      target.values[threadIdx.x] = accumulate ? target.values[threadIdx.x] + sum : sum;
    }
  }
}

/// Called by all threads of the `blocks` blocks that share a sum once they have written their parts: true in the one
/// that finds all others done, which then sees what they wrote. Leaves the ticket at 0.
__device__ __forceinline__ bool last_block(unsigned* ticket, unsigned blocks) {
  GANYMEDE_SHARED(bool, last, [1]);
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    last[0] = atomicAdd(ticket, 1U) + 1U == blocks;
    __threadfence();
    if (last[0]) *ticket = 0;
  }
  __syncthreads();
  return last[0];
}

}  // namespace ganymede::cuda
