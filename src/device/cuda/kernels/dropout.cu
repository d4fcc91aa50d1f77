// Dropout: masks, and what they leave of a layer.
#include "device/cuda/kernels/device.hpp"
#include "math/dropout.hpp"

namespace ganymede::cuda {
namespace {

constexpr unsigned threads = 256;

// A Philox block, four elements, to a thread.
__global__ void __launch_bounds__(threads)
    draw_mask_kernel(std::uint64_t seed, std::uint32_t draw, const std::uint64_t* step, std::uint64_t per_step,
                     std::uint64_t offset, std::uint32_t layer, int rows, int columns, std::uint32_t threshold,
                     std::uint8_t* mask) {
  const int per_row = (columns + 3) / 4;
  const std::ptrdiff_t index = static_cast<std::ptrdiff_t>(blockIdx.x) * threads + threadIdx.x;
  const std::ptrdiff_t row = index / per_row;
  const int group = static_cast<int>(index % per_row);
  if (row >= rows) return;
  const std::uint64_t sample = *step * per_step + offset + static_cast<std::uint64_t>(row);
  const math::Philox4 bits = math::philox_draw(seed, static_cast<math::Stream>(draw), sample,
                                               math::dropout_block(layer, static_cast<std::uint32_t>(group)));
  std::uint8_t* to = mask + row * columns + 4 * group;
  GANYMEDE_UNROLL
  for (int j = 0; j < 4; ++j)
    if (4 * group + j < columns) to[j] = bits.v[j] < threshold ? 0 : 1;
}

// An element to a thread.
__global__ void __launch_bounds__(threads)
    apply_mask_kernel(std::size_t count, const std::uint8_t* mask, float factor, const float* from, Sigma sigma,
                      const float* x, float* to) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * threads + threadIdx.x;
  if (i >= count) return;
  const float slope = x == nullptr ? 1.0F : sigma.slope(x[i]);
  to[i] = mask[i] != 0 ? factor * from[i] * slope : 0.0F;
}

}  // namespace

void draw_mask(cudaStream_t stream, std::uint64_t seed, std::uint32_t draw, const std::uint64_t* step,
               std::uint64_t per_step, std::uint64_t offset, std::uint32_t layer, int rows, int columns,
               std::uint32_t threshold, std::uint8_t* mask) {
  const std::size_t blocks = area(rows, (columns + 3) / 4);
  if (blocks == 0) return;
  launch<draw_mask_kernel>("draw_mask", blocks_for(blocks, threads), threads, stream, seed, draw, step, per_step,
                           offset, layer, rows, columns, threshold, mask);
}

void apply_mask(cudaStream_t stream, std::size_t count, const std::uint8_t* mask, float factor, const float* from,
                int below, float parameter, const float* x, float* to) {
  if (count == 0) return;
  launch<apply_mask_kernel>("apply_mask", blocks_for(count, threads), threads, stream, count, mask, factor, from,
                            Sigma{below, parameter}, x, to);
}

}  // namespace ganymede::cuda
