// Adam over a flat buffer, with what guards it: the gradient's squared norm, and for --debug the place of the first
// value that is not finite.
#include "device/cuda/kernels/device.hpp"

namespace ganymede::cuda {
namespace {

constexpr unsigned threads = 256;
constexpr std::size_t per_block = 4 * threads;

// What one partial sum covers: eight elements to a thread. It is part of the result's bits.
constexpr std::size_t squares_block = 8 * threads;

__device__ __forceinline__ bool finite(double x) { return x - x == 0.0; }
__device__ __forceinline__ bool finite(float x) { return x - x == 0.0F; }

// The block's sum, in thread 0; `by_warp` is the caller's.
__device__ __forceinline__ double block_sum(double value, double (&by_warp)[threads / warp_lanes]) {
  value = warp_sum(value);
  if (thread_lane() == 0) by_warp[thread_warp()] = value;
  __syncthreads();
  double total = 0;
  if (threadIdx.x == 0)
    for (double part : by_warp) total += part;
  return total;
}

__global__ void __launch_bounds__(threads)
    sum_of_squares_kernel(std::size_t count, const float* x, double* result, Scratch scratch, bool vector) {
  GANYMEDE_SHARED(double, by_warp, [threads / warp_lanes]);
  double sum = 0;
  GANYMEDE_UNROLL
  for (int half = 0; half < 2; ++half) {
    const std::size_t i = blockIdx.x * squares_block + half * per_block + 4 * threadIdx.x;
    const float4 v = load4(x + i, static_cast<std::ptrdiff_t>(count - i), vector);
    sum += static_cast<double>(v.x) * static_cast<double>(v.x);
    sum += static_cast<double>(v.y) * static_cast<double>(v.y);
    sum += static_cast<double>(v.z) * static_cast<double>(v.z);
    sum += static_cast<double>(v.w) * static_cast<double>(v.w);
  }
  sum = block_sum(sum, by_warp);
  if (threadIdx.x == 0) scratch.partial[blockIdx.x] = sum;
  if (!last_block(scratch.ticket)) return;
  double total = 0;
  for (unsigned i = threadIdx.x; i < gridDim.x; i += threads) total += scratch.partial[i];
  total = block_sum(total, by_warp);
  if (threadIdx.x == 0) *result = total;
}

struct AdamArgs {
  std::size_t count;
  Adam constants;
  const double* squared_norm;
  const float* gradient;
  float* parameters;
  float* m;
  float* v;
  float* average;
  float decay;
  bool vector;
};

__device__ __forceinline__ void adam_element(const AdamArgs& args, float step_size, float root_scale, float g,
                                             float& parameter, float& m, float& v) {
  m = static_cast<float>(args.constants.beta1) * m + static_cast<float>(1 - args.constants.beta1) * g;
  v = static_cast<float>(args.constants.beta2) * v + static_cast<float>(1 - args.constants.beta2) * g * g;
  const float denominator = sqrtf(v) * root_scale + static_cast<float>(args.constants.epsilon);
  parameter -= step_size * (m / denominator);
}

__global__ void __launch_bounds__(threads) adam_kernel(const __grid_constant__ AdamArgs args) {
  // The two constants that depend on t, once per block: in double they are dear on most GPUs. Meanwhile the others'
  // loads are under way.
  GANYMEDE_SHARED(float, scales, [2]);
  const std::size_t first = blockIdx.x * per_block + 4 * threadIdx.x;
  const auto count = static_cast<std::ptrdiff_t>(args.count - first);
  const float4 g = load4(args.gradient + first, count, args.vector);
  float4 p = load4(args.parameters + first, count, args.vector);
  float4 m = load4(args.m + first, count, args.vector);
  float4 v = load4(args.v + first, count, args.vector);
  float4 a{};
  if (args.average != nullptr) a = load4(args.average + first, count, args.vector);
  if (threadIdx.x < 2) {
    const std::uint64_t t = *args.constants.step * args.constants.per_step + args.constants.offset + 1;
    const double rest = 1 - math::power(threadIdx.x == 0 ? args.constants.beta1 : args.constants.beta2, t);
    scales[threadIdx.x] = static_cast<float>(threadIdx.x == 0 ? args.constants.learning_rate / rest : 1 / sqrt(rest));
  }
  __syncthreads();
  if (!finite(*args.squared_norm)) return;
  const float step_size = scales[0];
  const float root_scale = scales[1];
  adam_element(args, step_size, root_scale, g.x, p.x, m.x, v.x);
  adam_element(args, step_size, root_scale, g.y, p.y, m.y, v.y);
  adam_element(args, step_size, root_scale, g.z, p.z, m.z, v.z);
  adam_element(args, step_size, root_scale, g.w, p.w, m.w, v.w);
  store4(args.parameters + first, count, args.vector, p);
  store4(args.m + first, count, args.vector, m);
  store4(args.v + first, count, args.vector, v);
  if (args.average == nullptr) return;
  const float rest = 1.0F - args.decay;
  a = {args.decay * a.x + rest * p.x, args.decay * a.y + rest * p.y, args.decay * a.z + rest * p.z,
       args.decay * a.w + rest * p.w};
  store4(args.average + first, count, args.vector, a);
}

// One block, for --debug: it need not be quick, and so needs no memory between blocks.
constexpr unsigned search_threads = 1024;
__global__ void __launch_bounds__(search_threads)
    find_not_finite_kernel(std::size_t count, const float* x, unsigned long long* first) {
  GANYMEDE_SHARED(unsigned long long, by_warp, [search_threads / warp_lanes]);
  unsigned long long found = count;
  for (std::size_t i = threadIdx.x; i < count; i += search_threads)
    if (!finite(x[i])) {
      found = i;
      break;
    }
  __syncwarp();
  GANYMEDE_UNROLL
  for (int distance = warp_lanes / 2; distance > 0; distance /= 2) {
    const unsigned long long other = __shfl_xor_sync(all_lanes, found, distance);
    found = other < found ? other : found;
  }
  if (thread_lane() == 0) by_warp[thread_warp()] = found;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (unsigned long long other : by_warp) found = other < found ? other : found;
  *first = found;
}

}  // namespace

void sum_of_squares(cudaStream_t stream, std::size_t count, const float* x, double* result, Scratch scratch) {
  const unsigned blocks = blocks_for(count, squares_block);
  launch<sum_of_squares_kernel>("sum_of_squares", blocks > 0 ? blocks : 1, threads, stream, count, x, result, scratch,
                                aligned(x));
}

void adam(cudaStream_t stream, std::size_t count, const Adam& constants, const double* squared_norm,
          const float* gradient, float* parameters, float* m, float* v, float* average, float decay) {
  if (count == 0) return;
  const bool vector = aligned(gradient) && aligned(parameters) && aligned(m) && aligned(v) && aligned(average);
  launch<adam_kernel>("adam", blocks_for(count, per_block), threads, stream,
                      AdamArgs{count, constants, squared_norm, gradient, parameters, m, v, average, decay, vector});
}

void find_not_finite(cudaStream_t stream, std::size_t count, const float* x, unsigned long long* first) {
  launch<find_not_finite_kernel>("find_not_finite", 1, search_threads, stream, count, x, first);
}

}  // namespace ganymede::cuda
