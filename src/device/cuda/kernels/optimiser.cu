// The optimisers over a flat buffer, with what guards them: the gradient's squared norm, and for --debug the place of
// the first value that is not finite.
#include "device/cuda/kernels/device.hpp"
#include "math/optimizer/optimizers.hpp"

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
    sum = fma(static_cast<double>(v.x), static_cast<double>(v.x), sum);
    sum = fma(static_cast<double>(v.y), static_cast<double>(v.y), sum);
    sum = fma(static_cast<double>(v.z), static_cast<double>(v.z), sum);
    sum = fma(static_cast<double>(v.w), static_cast<double>(v.w), sum);
  }
  sum = block_sum(sum, by_warp);
  if (threadIdx.x == 0) scratch.partial[blockIdx.x] = sum;
  if (!last_block(scratch.tickets, gridDim.x)) return;
  double total = 0;
  for (unsigned i = threadIdx.x; i < gridDim.x; i += threads) total += scratch.partial[i];
  total = block_sum(total, by_warp);
  if (threadIdx.x == 0) *result = total;
}

template <class Rule, bool Plain>
__device__ __forceinline__ void update_lane(const Update& args, const float* factors, float float4::*lane,
                                            const float4& g, float4& p, float4 (&state)[math::state_count<Rule>]) {
  float values[math::state_count<Rule>];
  GANYMEDE_UNROLL
  for (int s = 0; s < math::state_count<Rule>; ++s) values[s] = state[s].*lane;
  math::update_element<Rule, Plain>(args.constants, factors, g.*lane, p.*lane, values);
  GANYMEDE_UNROLL
  for (int s = 0; s < math::state_count<Rule>; ++s) state[s].*lane = values[s];
}

template <class Rule, bool Plain>
__global__ void __launch_bounds__(threads)
    optimizer_kernel(const __grid_constant__ Update args, const __grid_constant__ bool vector) {
  // What depends on the number of updates, once per block: in double it is dear on most GPUs. Meanwhile the others'
  // loads are under way.
  constexpr int states = math::state_count<Rule>;
  GANYMEDE_SHARED(float, shared_factors, [math::most_factors]);
  const std::size_t first = blockIdx.x * per_block + 4 * threadIdx.x;
  const auto count = static_cast<std::ptrdiff_t>(args.count - first);
  const float4 g = load4(args.gradient + first, count, vector);
  float4 p = load4(args.parameters + first, count, vector);
  float4 state[states];
  GANYMEDE_UNROLL
  for (int s = 0; s < states; ++s) state[s] = load4(args.state[s] + first, count, vector);
  float4 a{};
  if (args.average != nullptr) a = load4(args.average + first, count, vector);
  if (threadIdx.x < (Plain ? Rule::factors : math::factor_count<Rule>)) {
    const std::uint64_t update = *args.step * args.per_step + args.offset;
    shared_factors[threadIdx.x] = math::update_factor<Rule, Plain>(
        static_cast<int>(threadIdx.x), args.constants, update, args.constants.schedule.updates, *args.squared_norm);
  }
  __syncthreads();
  if (!finite(*args.squared_norm)) return;
  float factors[math::most_factors];
  GANYMEDE_UNROLL
  for (int i = 0; i < math::most_factors; ++i) factors[i] = shared_factors[i];
  update_lane<Rule, Plain>(args, factors, &float4::x, g, p, state);
  update_lane<Rule, Plain>(args, factors, &float4::y, g, p, state);
  update_lane<Rule, Plain>(args, factors, &float4::z, g, p, state);
  update_lane<Rule, Plain>(args, factors, &float4::w, g, p, state);
  store4(args.parameters + first, count, vector, p);
  GANYMEDE_UNROLL
  for (int s = 0; s < states; ++s) store4(args.state[s] + first, count, vector, state[s]);
  if (args.average == nullptr) return;
  const float rest = 1.0F - args.decay;
  a = {args.decay * a.x + rest * p.x, args.decay * a.y + rest * p.y, args.decay * a.z + rest * p.z,
       args.decay * a.w + rest * p.w};
  store4(args.average + first, count, vector, a);
}

template <class Rule>
void launch_update(cudaStream_t stream, const Update& args) {
  bool vector = aligned(args.gradient) && aligned(args.parameters) && aligned(args.average);
  for (int s = 0; s < math::state_count<Rule>; ++s) vector = vector && aligned(args.state[s]);
  const unsigned blocks = blocks_for(args.count, per_block);
  if (math::plain_update(args.constants)) {
    launch<optimizer_kernel<Rule, true>>(Rule::name, blocks, threads, stream, args, vector);
  } else {
    launch<optimizer_kernel<Rule, false>>(Rule::name, blocks, threads, stream, args, vector);
  }
}

template <class... Known>
void launch_update(math::TypeList<Known...>, cudaStream_t stream, const Update& args) {
  int i = 0;
  ((i++ == args.optimizer ? launch_update<Known>(stream, args) : static_cast<void>(0)), ...);
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

void optimizer_update(cudaStream_t stream, const Update& args) {
  if (args.count > 0) launch_update(math::Optimizers{}, stream, args);
}

void find_not_finite(cudaStream_t stream, std::size_t count, const float* x, unsigned long long* first) {
  launch<find_not_finite_kernel>("find_not_finite", 1, search_threads, stream, count, x, first);
}

}  // namespace ganymede::cuda
