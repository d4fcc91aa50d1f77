// What a step draws: noise, and which images it shows. Functions of (seed, draw, global sample), src/math/philox.hpp.
#include "device/cuda/kernels/device.hpp"
#include "math/falling_deviation.hpp"
#include "math/normal.hpp"
#include "math/permutation.hpp"
#include "math/philox.hpp"

namespace ganymede::cuda {
namespace {

constexpr unsigned threads = 256;

__device__ __forceinline__ float4 normal_numbers(const math::Philox4& bits) {
  const math::NormalPair one = math::normal_pair(bits.v[0], bits.v[1]);
  const math::NormalPair two = math::normal_pair(bits.v[2], bits.v[3]);
  return {one.first, one.second, two.first, two.second};
}

// Four numbers to a Philox block, a block to a thread; by Box and Muller, or uniform on (-1, 1).
template <bool Normal>
__global__ void __launch_bounds__(threads)
    draw_noise_kernel(std::uint64_t seed, std::uint32_t draw, const std::uint64_t* step, std::uint64_t per_step,
                      std::uint64_t offset, int rows, int columns, float* out, bool vector) {
  const int per_row = (columns + 3) / 4;
  const std::ptrdiff_t index = static_cast<std::ptrdiff_t>(blockIdx.x) * threads + threadIdx.x;
  const std::ptrdiff_t row = index / per_row;
  const int block = static_cast<int>(index % per_row);
  if (row >= rows) return;
  const std::uint64_t sample = *step * per_step + offset + static_cast<std::uint64_t>(row);
  const math::Philox4 bits =
      math::philox_draw(seed, static_cast<math::Stream>(draw), sample, static_cast<std::uint32_t>(block));
  float4 noise;
  if constexpr (Normal) {
    noise = normal_numbers(bits);
  } else {
    noise = {math::symmetric_unit(bits.v[0]), math::symmetric_unit(bits.v[1]), math::symmetric_unit(bits.v[2]),
             math::symmetric_unit(bits.v[3])};
  }
  store4(out + row * columns + 4 * block, columns - 4 * block, vector, noise);
}

// The same, added to x.
__global__ void __launch_bounds__(threads)
    add_noise_kernel(std::uint64_t seed, std::uint32_t draw, const std::uint64_t* step, std::uint64_t per_step,
                     std::uint64_t offset, double start, double end, const std::uint64_t* steps, int rows, int columns,
                     const float* x, float* out, bool vector) {
  const int per_row = (columns + 3) / 4;
  const std::ptrdiff_t index = static_cast<std::ptrdiff_t>(blockIdx.x) * threads + threadIdx.x;
  const std::ptrdiff_t row = index / per_row;
  const int block = static_cast<int>(index % per_row);
  if (row >= rows) return;
  const std::ptrdiff_t place = row * columns + 4 * block;
  const float s = math::falling_deviation(start, end, *steps);
  float4 sum = load4(x + place, columns - 4 * block, vector);
  if (s > 0.0F) {
    const std::uint64_t sample = *step * per_step + offset + static_cast<std::uint64_t>(row);
    const float4 noise = normal_numbers(
        math::philox_draw(seed, static_cast<math::Stream>(draw), sample, static_cast<std::uint32_t>(block)));
    sum = {sum.x + s * noise.x, sum.y + s * noise.y, sum.z + s * noise.z, sum.w + s * noise.w};
  }
  store4(out + place, columns - 4 * block, vector, sum);
}

// A row to a block; all threads draw its α.
__global__ void __launch_bounds__(threads)
    interpolate_kernel(std::uint64_t seed, std::uint32_t draw, const std::uint64_t* step, std::uint64_t per_step,
                       std::uint64_t offset, int columns, const float* a, const float* b, float* out) {
  const std::uint64_t sample = *step * per_step + offset + blockIdx.x;
  const float alpha = math::unit_interval(math::philox_draw(seed, static_cast<math::Stream>(draw), sample, 0).v[0]);
  const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(blockIdx.x) * columns;
  for (int j = static_cast<int>(threadIdx.x); j < columns; j += static_cast<int>(threads))
    out[start + j] = alpha * a[start + j] + (1.0F - alpha) * b[start + j];
}

// An image to a block, channels next to each other. All threads find out which image it is: that takes no longer than
// for one to tell the others.
__global__ void __launch_bounds__(threads)
    gather_images_kernel(std::uint64_t seed, const std::uint64_t* step, std::uint64_t per_step, std::uint64_t offset,
                         const std::uint8_t* images, std::uint32_t image_count, int pixels, int channels, float* out,
                         bool vector) {
  const unsigned row = blockIdx.x / static_cast<unsigned>(channels);
  const unsigned channel = blockIdx.x % static_cast<unsigned>(channels);
  const std::uint64_t sample = *step * per_step + offset + row;
  const std::uint32_t image = math::image_of_sample(seed, sample, image_count, channel);
  const std::uint8_t* from = images + static_cast<std::size_t>(image) * static_cast<std::size_t>(pixels);
  float* to = out + static_cast<std::ptrdiff_t>(row) * pixels * channels + channel;
  if (vector) {
    for (int j = 4 * static_cast<int>(threadIdx.x); j < pixels; j += 4 * static_cast<int>(threads)) {
      const uchar4 p = *reinterpret_cast<const uchar4*>(from + j);
      *reinterpret_cast<float4*>(to + j) = {static_cast<float>(p.x) / 255.0F, static_cast<float>(p.y) / 255.0F,
                                            static_cast<float>(p.z) / 255.0F, static_cast<float>(p.w) / 255.0F};
    }
  } else {
    for (int j = static_cast<int>(threadIdx.x); j < pixels; j += static_cast<int>(threads))
      to[static_cast<std::ptrdiff_t>(j) * channels] = static_cast<float>(from[j]) / 255.0F;
  }
}

// A label to a thread.
__global__ void __launch_bounds__(threads)
    gather_labels_kernel(std::uint64_t seed, const std::uint64_t* step, std::uint64_t per_step, std::uint64_t offset,
                         const std::uint8_t* labels, std::uint32_t image_count, int rows, std::uint8_t* out) {
  const unsigned row = blockIdx.x * threads + threadIdx.x;
  if (row >= static_cast<unsigned>(rows)) return;
  out[row] = labels[math::image_of_sample(seed, *step * per_step + offset + row, image_count)];
}

template <bool Normal>
void draw_noise(const char* name, cudaStream_t stream, std::uint64_t seed, std::uint32_t draw,
                const std::uint64_t* step, std::uint64_t per_step, std::uint64_t offset, int rows, int columns,
                float* out) {
  const std::size_t draws = area(rows, ceiling(columns, 4));
  if (draws == 0) return;
  launch<draw_noise_kernel<Normal>>(name, blocks_for(draws, threads), threads, stream, seed, draw, step, per_step,
                                    offset, rows, columns, out, aligned_rows(out, columns));
}

}  // namespace

void draw_normal(cudaStream_t stream, std::uint64_t seed, std::uint32_t draw, const std::uint64_t* step,
                 std::uint64_t per_step, std::uint64_t offset, int rows, int columns, float* out) {
  draw_noise<true>("draw_normal", stream, seed, draw, step, per_step, offset, rows, columns, out);
}

void draw_uniform(cudaStream_t stream, std::uint64_t seed, std::uint32_t draw, const std::uint64_t* step,
                  std::uint64_t per_step, std::uint64_t offset, int rows, int columns, float* out) {
  draw_noise<false>("draw_uniform", stream, seed, draw, step, per_step, offset, rows, columns, out);
}

void add_noise(cudaStream_t stream, std::uint64_t seed, std::uint32_t draw, const std::uint64_t* step,
               std::uint64_t per_step, std::uint64_t offset, double start, double end, const std::uint64_t* steps,
               int rows, int columns, const float* x, float* out) {
  const std::size_t draws = area(rows, ceiling(columns, 4));
  if (draws == 0) return;
  launch<add_noise_kernel>("add_noise", blocks_for(draws, threads), threads, stream, seed, draw, step, per_step, offset,
                           start, end, steps, rows, columns, x, out, aligned_rows(x, columns) && aligned(out));
}

void interpolate(cudaStream_t stream, std::uint64_t seed, std::uint32_t draw, const std::uint64_t* step,
                 std::uint64_t per_step, std::uint64_t offset, int rows, int columns, const float* a, const float* b,
                 float* out) {
  if (rows == 0) return;
  launch<interpolate_kernel>("interpolate", static_cast<unsigned>(rows), threads, stream, seed, draw, step, per_step,
                             offset, columns, a, b, out);
}

void gather_images(cudaStream_t stream, std::uint64_t seed, const std::uint64_t* step, std::uint64_t per_step,
                   std::uint64_t offset, const std::uint8_t* images, std::uint32_t image_count, int rows, int pixels,
                   int channels, float* out) {
  if (rows == 0) return;
  const bool vector = channels == 1 && aligned_rows(out, pixels) && reinterpret_cast<std::uintptr_t>(images) % 4 == 0;
  launch<gather_images_kernel>("gather_images", static_cast<unsigned>(rows * channels), threads, stream, seed, step,
                               per_step, offset, images, image_count, pixels, channels, out, vector);
}

void gather_labels(cudaStream_t stream, std::uint64_t seed, const std::uint64_t* step, std::uint64_t per_step,
                   std::uint64_t offset, const std::uint8_t* labels, std::uint32_t image_count, int rows,
                   std::uint8_t* out) {
  if (rows == 0) return;
  launch<gather_labels_kernel>("gather_labels", blocks_for(static_cast<std::size_t>(rows), threads), threads, stream,
                               seed, step, per_step, offset, labels, image_count, rows, out);
}

}  // namespace ganymede::cuda
