// Between float32 and bfloat16: what goes into a product of bfloat16, and what comes out of a convolution of it. A
// thread takes four elements: 16 bytes of float32, 8 of bfloat16.
#include "device/cuda/kernels/device.hpp"
#include "math/bfloat16.hpp"

namespace ganymede::cuda {
namespace {

constexpr unsigned threads = 256;
constexpr std::size_t per_block = 4 * threads;

inline bool aligned_halves(const std::uint16_t* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 8 == 0; }

// Blocks from `first_of_b` on are b's.
__global__ void __launch_bounds__(threads)
    narrow_kernel(const __grid_constant__ Narrowing a, const __grid_constant__ Narrowing b, unsigned first_of_b,
                  bool vector) {
  const bool is_a = blockIdx.x < first_of_b;
  const Narrowing& task = is_a ? a : b;
  const std::size_t first = (is_a ? blockIdx.x : blockIdx.x - first_of_b) * per_block + 4 * threadIdx.x;
  const auto count = static_cast<std::ptrdiff_t>(task.count - first);
  if (count <= 0) return;
  const float4 x = load4(task.from + first, count, vector);
  const ushort4 y = {math::to_bfloat16(x.x), math::to_bfloat16(x.y), math::to_bfloat16(x.z), math::to_bfloat16(x.w)};
  std::uint16_t* const to = task.to + first;
  if (vector && count >= 4) {
    *reinterpret_cast<ushort4*>(to) = y;
    return;
  }
  to[0] = y.x;
  if (count > 1) to[1] = y.y;
  if (count > 2) to[2] = y.z;
  if (count > 3) to[3] = y.w;
}

__global__ void __launch_bounds__(threads)
    widen_kernel(std::size_t elements, int columns, const std::uint16_t* from, const float* bias, Sigma sigma,
                 const float* slope_of, bool accumulate, float* to, bool vector) {
  const std::size_t first = blockIdx.x * per_block + 4 * threadIdx.x;
  const auto count = static_cast<std::ptrdiff_t>(elements - first);
  if (count <= 0) return;
  ushort4 bits;
  if (vector && count >= 4) {
    bits = *reinterpret_cast<const ushort4*>(from + first);
  } else {
    const std::uint16_t* const x = from + first;
    bits = {x[0], count > 1 ? x[1] : x[0], count > 2 ? x[2] : x[0], count > 3 ? x[3] : x[0]};
  }
  float4 y = {math::from_bfloat16(bits.x), math::from_bfloat16(bits.y), math::from_bfloat16(bits.z),
              math::from_bfloat16(bits.w)};
  if (bias != nullptr) {
    const auto width = static_cast<std::size_t>(columns);
    y = {sigma.value(y.x + bias[first % width]), sigma.value(y.y + bias[(first + 1) % width]),
         sigma.value(y.z + bias[(first + 2) % width]), sigma.value(y.w + bias[(first + 3) % width])};
  } else if (slope_of != nullptr) {
    const float4 h = load4(slope_of + first, count, vector);
    y = {y.x * sigma.slope(h.x), y.y * sigma.slope(h.y), y.z * sigma.slope(h.z), y.w * sigma.slope(h.w)};
  }
  if (accumulate) {
    const float4 before = load4(to + first, count, vector);
    y = {before.x + y.x, before.y + y.y, before.z + y.z, before.w + y.w};
  }
  store4(to + first, count, vector, y);
}

}  // namespace

void narrow(cudaStream_t stream, const Narrowing& a, const Narrowing& b) {
  const unsigned of_a = blocks_for(a.count, per_block);
  const unsigned of_b = blocks_for(b.count, per_block);
  if (of_a + of_b == 0) return;
  const bool vector = aligned(a.from) && aligned_halves(a.to) && aligned(b.from) && aligned_halves(b.to);
  launch<narrow_kernel>("narrow", of_a + of_b, threads, stream, a, b, of_a, vector);
}

void widen(cudaStream_t stream, int rows, int columns, const std::uint16_t* from, const Finishing& finish,
           bool accumulate, float* to) {
  const std::size_t count = area(rows, columns);
  if (count == 0) return;
  const bool vector = aligned_halves(from) && aligned(finish.slope_of) && aligned(to);
  launch<widen_kernel>("widen", blocks_for(count, per_block), threads, stream, count, columns, from, finish.bias,
                       Sigma{finish.sigma, finish.parameter}, finish.slope_of, accumulate, to, vector);
}

}  // namespace ganymede::cuda
