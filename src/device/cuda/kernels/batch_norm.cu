// Batch normalisation. Sums over the batch are in fixed point, so that blocks can add theirs in any order; what is made
// of them, and of each element by itself, are plain passes. A thread stays with one channel, whose constants it keeps.
#include "device/cuda/kernels/channels.hpp"

namespace ganymede::cuda {
namespace {

// Of a sum of a part: the first, or the second of its two.
__device__ __forceinline__ std::ptrdiff_t place_of(int part, int which, int channels, int channel) {
  return (static_cast<std::ptrdiff_t>(part) * 2 + which) * channels + channel;
}

// Where a shard's rows of a part begin, in positions.
__device__ __forceinline__ std::ptrdiff_t first_position(const Shards& shards, int shard, int part, int pixels) {
  return (static_cast<std::ptrdiff_t>(part) * shards.rows + shards.begin[shard]) * pixels;
}

// Terms of x: x and x²; of δ: δ and δ · x̂.
struct Moments {
  const float* x;
  double unit;
};
struct Adjoints {
  const float* x;
  const float* delta;
  const float* statistics;
};

template <class Of>
__global__ void __launch_bounds__(channel_threads)
    sums_kernel(const __grid_constant__ Shards shards, ChannelBlocks blocks, int pixels, int channels, Of of,
                std::int64_t* sums) {
  const ChannelBlock block(blocks, shards.parts);
  const ChannelThread thread(block.group, blocks.lanes);
  const Piece piece((shards.begin[block.shard + 1] - shards.begin[block.shard]) * pixels, block.piece);
  if (piece.begin == piece.end) return;
  double sum[2] = {};
  double unit = 1;
  if (thread.channel < channels) {
    const std::ptrdiff_t first = first_position(shards, block.shard, block.part, pixels) * channels + thread.channel;
    if constexpr (std::is_same_v<Of, Moments>) {
      const float* x = of.x + first;
      sum_positions(thread, piece.begin, piece.end, sum, [&](int position, float(&chain)[2]) {
        const float value = x[static_cast<std::ptrdiff_t>(position) * channels];
        chain[0] += value;
        chain[1] = fmaf(value, value, chain[1]);
      });
      unit = of.unit;
    } else {
      const float* x = of.x + first;
      const float* delta = of.delta + first;
      const float mean = of.statistics[place_of(block.part, 0, channels, thread.channel)];
      const float inverse = of.statistics[place_of(block.part, 1, channels, thread.channel)];
      sum_positions(thread, piece.begin, piece.end, sum, [&](int position, float(&chain)[2]) {
        const float value = x[static_cast<std::ptrdiff_t>(position) * channels];
        const float d = delta[static_cast<std::ptrdiff_t>(position) * channels];
        chain[0] += d;
        chain[1] = fmaf(d, (value - mean) * inverse, chain[1]);
      });
    }
  }
  sum_over_block(blocks.lanes, sum);
  if (static_cast<int>(threadIdx.x) >= blocks.lanes || thread.channel >= channels) return;
  std::int64_t* overflow = sums + place_of(shards.parts, 0, channels, 0);
  for (int which = 0; which < 2; ++which)
    add_fixed_at(sums + place_of(block.part, which, channels, thread.channel), sum[which] * unit, overflow);
}

template <class Of>
void sums_of(const char* name, cudaStream_t stream, const Shards& shards, const BatchNormShape& shape, const Of& of,
             std::int64_t* sums) {
  const ChannelBlocks blocks(shards, shape.pixels, shape.channels);
  if (blocks.blocks == 0) return;
  launch<sums_kernel<Of>>(name, blocks.blocks, channel_threads, stream, shards, blocks, shape.pixels, shape.channels,
                          of, sums);
}

__device__ __forceinline__ double inverse_deviation(double variance, float epsilon) {
  return 1.0 / sqrt(variance + static_cast<double>(epsilon));
}

__global__ void __launch_bounds__(channel_threads)
    statistics_kernel(int parts, BatchNormShape shape, const std::int64_t* moments, float* statistics, float* running) {
  const int channel = static_cast<int>(blockIdx.x) * channel_threads + static_cast<int>(threadIdx.x);
  if (channel >= shape.channels) return;
  const bool fit = moments[place_of(parts, 0, shape.channels, 0)] == 0;
  for (int part = 0; part < parts; ++part) {
    const std::ptrdiff_t first = place_of(part, 0, shape.channels, channel);
    const std::ptrdiff_t second = place_of(part, 1, shape.channels, channel);
    const std::int64_t squares = moments[second];
    // Squares that sum to less than 0 went beyond 64 bits.
    if (!fit || squares < 0) {
      statistics[first] = statistics[second] = math::as_float(0x7FC00000U);
      continue;
    }
    const double mean = math::from_fixed_point(moments[first]) * moment_unit;
    double variance = math::from_fixed_point(squares) * moment_unit - mean * mean;
    if (variance < 0) variance = 0;
    statistics[first] = static_cast<float>(mean);
    statistics[second] = static_cast<float>(inverse_deviation(variance, shape.epsilon));
    if (running == nullptr) continue;
    if (shape.count > 1) variance *= shape.count / (shape.count - 1);
    const auto weight = static_cast<double>(shape.momentum);
    float* of_mean = running + channel;
    float* of_variance = running + shape.channels + channel;
    *of_mean = static_cast<float>((1 - weight) * static_cast<double>(*of_mean) + weight * mean);
    *of_variance = static_cast<float>((1 - weight) * static_cast<double>(*of_variance) + weight * variance);
  }
}

__global__ void __launch_bounds__(channel_threads)
    frozen_kernel(BatchNormShape shape, const float* running, float* statistics) {
  const int channel = static_cast<int>(blockIdx.x) * channel_threads + static_cast<int>(threadIdx.x);
  if (channel >= shape.channels) return;
  statistics[channel] = running[channel];
  statistics[shape.channels + channel] =
      static_cast<float>(inverse_deviation(static_cast<double>(running[shape.channels + channel]), shape.epsilon));
}

// Passes over elements: a block has so many positions of a part, for up to 32 channels.
struct Pass {
  int positions, channels, lanes, groups, chunks;
};
constexpr int positions_per_thread = 8;

int positions_per_block(int lanes) { return positions_per_thread * (channel_threads / lanes); }

// element(place, channel): what is at this place.
struct ForwardPass {
  const float* x;
  const float* statistics;
  const float* gamma;
  const float* beta;
  Sigma sigma;
  float* to;

  struct OfChannel {
    float mean, inverse, gamma, beta;
  };
  __device__ __forceinline__ OfChannel at(int part, int /*parts*/, int channels, int channel) const {
    return {statistics[place_of(part, 0, channels, channel)], statistics[place_of(part, 1, channels, channel)],
            gamma[channel], beta[channel]};
  }
  __device__ __forceinline__ float element(const OfChannel& of, std::ptrdiff_t place) const {
    return sigma.value(fmaf(of.gamma, (x[place] - of.mean) * of.inverse, of.beta));
  }
};

struct BackwardPass {
  const float* x;
  const float* delta;
  const float* statistics;
  const float* gamma;
  const std::int64_t* adjoints;
  double per_count;
  Sigma below;
  float* to;

  struct OfChannel {
    float mean, inverse, scale, delta, product;
  };
  __device__ __forceinline__ OfChannel at(int part, int parts, int channels, int channel) const {
    const std::ptrdiff_t first = place_of(part, 0, channels, channel);
    const std::ptrdiff_t second = place_of(part, 1, channels, channel);
    const bool fit = adjoints[place_of(parts, 0, channels, 0)] == 0;
    const float inverse = statistics[second];
    return {statistics[first], inverse, fit ? gamma[channel] * inverse : math::as_float(0x7FC00000U),
            static_cast<float>(math::from_fixed_point(adjoints[first]) * per_count),
            static_cast<float>(math::from_fixed_point(adjoints[second]) * per_count)};
  }
  __device__ __forceinline__ float element(const OfChannel& of, std::ptrdiff_t place) const {
    const float value = x[place];
    const float normal = (value - of.mean) * of.inverse;
    return below.slope(value) * of.scale * (delta[place] - fmaf(normal, of.product, of.delta));
  }
};

template <class Of>
__global__ void __launch_bounds__(channel_threads) pass_kernel(int parts, Pass pass, Of of) {
  const int group = static_cast<int>(blockIdx.x) % pass.groups;
  const int chunk = static_cast<int>(blockIdx.x) / pass.groups % pass.chunks;
  const int part = static_cast<int>(blockIdx.x) / pass.groups / pass.chunks;
  const ChannelThread thread(group, pass.lanes);
  if (thread.channel >= pass.channels) return;
  const typename Of::OfChannel constants = of.at(part, parts, pass.channels, thread.channel);
  const int begin = chunk * positions_per_thread * thread.apart + thread.first;
  GANYMEDE_UNROLL
  for (int i = 0; i < positions_per_thread; ++i) {
    const int position = begin + i * thread.apart;
    if (position < pass.positions) {
      const std::ptrdiff_t place =
          (static_cast<std::ptrdiff_t>(part) * pass.positions + position) * pass.channels + thread.channel;
      of.to[place] = of.element(constants, place);
    }
  }
}

template <class Of>
void pass_over(const char* name, cudaStream_t stream, int parts, int rows, const BatchNormShape& shape, const Of& of) {
  Pass pass{rows * shape.pixels, shape.channels, lanes_along(shape.channels), 0, 0};
  pass.groups = ceiling(shape.channels, pass.lanes);
  pass.chunks = ceiling(pass.positions, positions_per_block(pass.lanes));
  const auto blocks = static_cast<unsigned>(pass.groups * pass.chunks) * static_cast<unsigned>(parts);
  if (blocks == 0) return;
  launch<pass_kernel<Of>>(name, blocks, channel_threads, stream, parts, pass, of);
}

// γ's gradients are the second sums, β's the first.
__global__ void __launch_bounds__(channel_threads)
    norm_gradients_kernel(int parts, int channels, const std::int64_t* adjoints, bool accumulate, Sum dgamma,
                          Sum dbeta) {
  const int channel = static_cast<int>(blockIdx.x) * channel_threads + static_cast<int>(threadIdx.x);
  if (channel >= channels) return;
  const std::int64_t lost = adjoints[place_of(parts, 0, channels, 0)];
  for (int which = 0; which < 2; ++which) {
    const Sum& to = which == 0 ? dbeta : dgamma;
    std::int64_t sum = 0;
    for (int part = 0; part < parts; ++part) sum += adjoints[place_of(part, which, channels, channel)];
    if (to.fixed != nullptr) {
      to.fixed[channel] = accumulate ? to.fixed[channel] + sum : sum;
      // Once for all channels and both targets.
      if (channel == 0 && lost != 0 && (which == 0 || dbeta.fixed == nullptr))
        atomicAdd(reinterpret_cast<unsigned long long*>(to.overflow), static_cast<unsigned long long>(lost));
    } else if (to.values != nullptr) {
      const float value = lost == 0 ? static_cast<float>(math::from_fixed_point(sum)) : math::as_float(0x7FC00000U);
      to.values[channel] = accumulate ? to.values[channel] + value : value;
    }
  }
}

}  // namespace

void batch_norm_moments(cudaStream_t stream, const Shards& shards, const BatchNormShape& shape, const float* x,
                        std::int64_t* sums) {
  sums_of("batch_norm_moments", stream, shards, shape, Moments{x, 1 / (moment_unit * shape.count)}, sums);
}

void batch_norm_statistics(cudaStream_t stream, int parts, const BatchNormShape& shape, const std::int64_t* moments,
                           float* statistics, float* running) {
  launch<statistics_kernel>("batch_norm_statistics", static_cast<unsigned>(ceiling(shape.channels, channel_threads)),
                            channel_threads, stream, parts, shape, moments, statistics, running);
}

void batch_norm_frozen(cudaStream_t stream, const BatchNormShape& shape, const float* running, float* statistics) {
  launch<frozen_kernel>("batch_norm_frozen", static_cast<unsigned>(ceiling(shape.channels, channel_threads)),
                        channel_threads, stream, shape, running, statistics);
}

void batch_norm_forward(cudaStream_t stream, int parts, int rows, const BatchNormShape& shape, const float* x,
                        const float* statistics, const float* gamma, const float* beta, int sigma, float parameter,
                        float* y) {
  pass_over("batch_norm_forward", stream, parts, rows, shape,
            ForwardPass{x, statistics, gamma, beta, {sigma, parameter}, y});
}

void batch_norm_adjoints(cudaStream_t stream, const Shards& shards, const BatchNormShape& shape, const float* x,
                         const float* delta, const float* statistics, std::int64_t* sums) {
  sums_of("batch_norm_adjoints", stream, shards, shape, Adjoints{x, delta, statistics}, sums);
}

void batch_norm_gradients(cudaStream_t stream, int parts, const BatchNormShape& shape, const std::int64_t* adjoints,
                          bool accumulate, Sum dgamma, Sum dbeta) {
  launch<norm_gradients_kernel>("batch_norm_gradients", static_cast<unsigned>(ceiling(shape.channels, channel_threads)),
                                channel_threads, stream, parts, shape.channels, adjoints, accumulate, dgamma, dbeta);
}

void batch_norm_backward_data(cudaStream_t stream, int parts, int rows, const BatchNormShape& shape, const float* x,
                              const float* delta, const float* statistics, const float* gamma,
                              const std::int64_t* adjoints, int below, float parameter, float* delta_in) {
  pass_over("batch_norm_backward_data", stream, parts, rows, shape,
            BackwardPass{x, delta, statistics, gamma, adjoints, 1 / shape.count, {below, parameter}, delta_in});
}

}  // namespace ganymede::cuda
