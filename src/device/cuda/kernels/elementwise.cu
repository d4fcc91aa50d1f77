// Kernels in which every element is on its own: what follows a product of cuBLASLt, rows combined, constants,
// fixed point to float, running sums. A thread takes four elements, one load of each operand.
#include "device/cuda/kernels/device.hpp"

namespace ganymede::cuda {
namespace {

constexpr unsigned threads = 256;
constexpr std::size_t per_block = 4 * threads;

// The first of the thread's four elements, and how many of them there are (none: zero or less).
struct Four {
  std::size_t first;
  std::ptrdiff_t count;
  __device__ __forceinline__ explicit Four(std::size_t elements)
      : first(blockIdx.x * per_block + 4 * threadIdx.x), count(static_cast<std::ptrdiff_t>(elements - first)) {}
};

__global__ void __launch_bounds__(threads)
    activate_kernel(std::size_t count, int columns, const float* b, Sigma sigma, float* y, bool vector) {
  const Four four(count);
  if (four.count <= 0) return;
  float4 a = load4(y + four.first, four.count, vector);
  if (b != nullptr) {
    const auto width = static_cast<std::size_t>(columns);
    a.x += b[four.first % width];
    a.y += b[(four.first + 1) % width];
    a.z += b[(four.first + 2) % width];
    a.w += b[(four.first + 3) % width];
  }
  store4(y + four.first, four.count, vector, {sigma.value(a.x), sigma.value(a.y), sigma.value(a.z), sigma.value(a.w)});
}

__global__ void __launch_bounds__(threads)
    multiply_slope_kernel(std::size_t count, Sigma sigma, const float* h, float* delta, bool vector) {
  const Four four(count);
  if (four.count <= 0) return;
  const float4 d = load4(delta + four.first, four.count, vector);
  const float4 x = load4(h + four.first, four.count, vector);
  store4(delta + four.first, four.count, vector,
         {d.x * sigma.slope(x.x), d.y * sigma.slope(x.y), d.z * sigma.slope(x.z), d.w * sigma.slope(x.w)});
}

__global__ void __launch_bounds__(threads)
    combine_rows_kernel(std::size_t count, int columns, const float* scale, const float* t, float* h, bool vector) {
  const Four four(count);
  if (four.count <= 0) return;
  const float4 a = load4(h + four.first, four.count, vector);
  const float4 b = load4(t + four.first, four.count, vector);
  // Past the end there is no row: the last one's scale serves.
  const auto width = static_cast<std::size_t>(columns);
  const auto scale_of = [&](std::size_t ahead) {
    const std::size_t i = four.first + ahead;
    return scale[(i < count ? i : count - 1) / width];
  };
  store4(h + four.first, four.count, vector,
         {fmaf(scale_of(0), a.x, b.x), fmaf(scale_of(1), a.y, b.y), fmaf(scale_of(2), a.z, b.z),
          fmaf(scale_of(3), a.w, b.w)});
}

// One element to a thread: 64-bit numbers fill a load as it is.
__global__ void __launch_bounds__(threads)
    from_fixed_point_kernel(std::size_t count, const std::int64_t* from, const std::int64_t* overflow, float* to) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * threads + threadIdx.x;
  if (i >= count) return;
  to[i] = *overflow == 0 ? static_cast<float>(math::from_fixed_point(from[i])) : math::as_float(0x7FC00000U);
}

__global__ void __launch_bounds__(threads) add_to_kernel(std::size_t count, const float* from, double* to) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * threads + threadIdx.x;
  if (i < count) to[i] += static_cast<double>(from[i]);
}

}  // namespace

void activate(cudaStream_t stream, int rows, int columns, const float* b, int sigma, float parameter, float* y) {
  const std::size_t count = area(rows, columns);
  if (count == 0) return;
  launch<activate_kernel>("activate", blocks_for(count, per_block), threads, stream, count, columns, b,
                          Sigma{sigma, parameter}, y, aligned(y));
}

void multiply_slope(cudaStream_t stream, std::size_t count, int sigma, float parameter, const float* h, float* delta) {
  if (count == 0) return;
  launch<multiply_slope_kernel>("multiply_slope", blocks_for(count, per_block), threads, stream, count,
                                Sigma{sigma, parameter}, h, delta, aligned(h) && aligned(delta));
}

void combine_rows(cudaStream_t stream, int rows, int columns, const float* scale, const float* t, float* h) {
  const std::size_t count = area(rows, columns);
  if (count == 0) return;
  launch<combine_rows_kernel>("combine_rows", blocks_for(count, per_block), threads, stream, count, columns, scale, t,
                              h, aligned(t) && aligned(h));
}

void from_fixed_point(cudaStream_t stream, std::size_t count, const std::int64_t* from, const std::int64_t* overflow,
                      float* to) {
  if (count == 0) return;
  launch<from_fixed_point_kernel>("from_fixed_point", blocks_for(count, threads), threads, stream, count, from,
                                  overflow, to);
}

void add_to(cudaStream_t stream, std::size_t count, const float* from, double* to) {
  if (count == 0) return;
  launch<add_to_kernel>("add_to", blocks_for(count, threads), threads, stream, count, from, to);
}

}  // namespace ganymede::cuda
