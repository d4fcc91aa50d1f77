// Sums per channel over the positions (pixels of rows) of a batch, [positions, channels]. A block takes up to 32
// channels and a piece of the positions: a shard's are cut into pieces by their number alone, so that what a piece sums
// to, and is converted to fixed point as, does not depend on what else is summed.
#pragma once

#include "device/cuda/kernels/device.hpp"

namespace ganymede::cuda {

inline constexpr int channel_threads = 256;
/// Pieces of a shard. With 256 shards their sums of less than 1024 each stay within what int64 holds.
inline constexpr int most_pieces = 32;
inline constexpr int least_positions = 64;

/// How many threads of a warp lie along the channels: a power of two.
inline int lanes_along(int channels) {
  int lanes = 1;
  while (lanes < warp_lanes && lanes < channels) lanes *= 2;
  return lanes;
}

/// A thread's channel, and which of the block's positions are its own: first, first + apart, …
struct ChannelThread {
  int channel, first, apart;
  __device__ __forceinline__ ChannelThread(int group, int lanes)
      : channel(group * lanes + static_cast<int>(threadIdx.x) % lanes),
        first(static_cast<int>(threadIdx.x) / lanes),
        apart(channel_threads / lanes) {}
};

/// sum[Terms] += Σ over positions begin … end-1, in floats over short chains and in double beyond. term(position,
/// chain) adds one position's terms to chain[Terms].
template <int Terms, class Term>
__device__ __forceinline__ void sum_positions(const ChannelThread& thread, int begin, int end, double (&sum)[Terms],
                                              Term&& term) {
  constexpr int together = 4;
  for (int i = begin + thread.first; i < end; i += together * thread.apart) {
    float chain[Terms] = {};
    GANYMEDE_UNROLL
    for (int ahead = 0; ahead < together; ++ahead) {
      const int position = i + ahead * thread.apart;
      if (position < end) term(position, chain);
    }
    GANYMEDE_UNROLL
    for (int t = 0; t < Terms; ++t) sum[t] += static_cast<double>(chain[t]);
  }
}

/// The sums of all threads that have the same channel, in the first `lanes` threads, by a fixed tree.
template <int Terms>
__device__ __forceinline__ void sum_over_block(int lanes, double (&sum)[Terms]) {
  GANYMEDE_SHARED(double, shared, [Terms][channel_threads]);
  const int thread = static_cast<int>(threadIdx.x);
  GANYMEDE_UNROLL
  for (int t = 0; t < Terms; ++t) shared[t][thread] = sum[t];
  for (int half = channel_threads / 2; half >= lanes; half /= 2) {
    __syncthreads();
    if (thread < half) {
      GANYMEDE_UNROLL
      for (int t = 0; t < Terms; ++t) shared[t][thread] += shared[t][thread + half];
    }
  }
  // Of the last additions each thread has done its own.
  GANYMEDE_UNROLL
  for (int t = 0; t < Terms; ++t) sum[t] = shared[t][thread];
}

/// Which of a shard's positions a piece has.
struct Piece {
  int begin, end;
  __host__ __device__ __forceinline__ static int length(int positions) {
    const int even = (positions + most_pieces - 1) / most_pieces;
    return even < least_positions ? least_positions : even;
  }
  __device__ __forceinline__ Piece(int positions, int number) {
    const int each = length(positions);
    begin = number * each < positions ? number * each : positions;
    end = positions - begin < each ? positions : begin + each;
  }
};

/// What a block of a kernel over [shards, pieces, parts, groups of channels] has.
struct ChannelBlocks {
  int pieces, groups, lanes;
  unsigned blocks;

  ChannelBlocks(const Shards& shards, int pixels, int channels) : pieces(0), groups(0), lanes(lanes_along(channels)) {
    for (int s = 0; s < shards.count; ++s) {
      const int positions = (shards.begin[s + 1] - shards.begin[s]) * pixels;
      const int needed = ceiling(positions, Piece::length(positions));
      if (needed > pieces) pieces = needed;
    }
    groups = ceiling(channels, lanes);
    blocks = static_cast<unsigned>(shards.count) * static_cast<unsigned>(pieces * shards.parts * groups);
  }
};
struct ChannelBlock {
  int shard, piece, part, group;
  __device__ __forceinline__ ChannelBlock(const ChannelBlocks& blocks, int parts) {
    int number = static_cast<int>(blockIdx.x);
    group = number % blocks.groups;
    number /= blocks.groups;
    part = number % parts;
    number /= parts;
    piece = number % blocks.pieces;
    shard = number / blocks.pieces;
  }
};

/// Adds a value to a fixed-point sum in memory, in any order, or counts that it does not fit.
__device__ __forceinline__ void add_fixed_at(std::int64_t* to, double value, std::int64_t* overflow) {
  // The same bits, signed or not, and CUDA has the unsigned one.
  if (math::fits_fixed_point(value)) {
    atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(math::to_fixed_point(value)));
  } else {
    atomicAdd(reinterpret_cast<unsigned long long*>(overflow), 1ULL);
  }
}

}  // namespace ganymede::cuda
