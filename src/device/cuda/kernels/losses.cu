// The GAN losses and the gradient penalties: per row what goes back, and over all rows the sums for the log.
#include "device/cuda/kernels/device.hpp"
#include "math/loss/losses.hpp"
#include "math/penalty/penalties.hpp"

namespace ganymede::cuda {
namespace {

// One block: a batch has a few hundred pairs, and the sums need all of them.
constexpr int loss_warps = 8;
// A row to a block: 784 columns are 1.5 vectors to each thread.
constexpr int penalty_warps = 4;
constexpr int penalty_threads = penalty_warps * warp_lanes;

template <class... Known>
__device__ __forceinline__ math::LossTerm loss_of(math::TypeList<Known...>, int loss, bool discriminator, float real,
                                                  float fake, float smoothing) {
  math::LossTerm term{};
  int i = 0;
  ((i++ == loss ? static_cast<void>(term = discriminator ? Known::discriminator(real, fake, smoothing)
                                                         : Known::generator(real, fake))
                : static_cast<void>(0)),
   ...);
  return term;
}

struct Right {
  bool real, fake;
};
template <class... Known>
__device__ __forceinline__ Right right_of(math::TypeList<Known...>, int loss, float real, float fake) {
  Right right{};
  int i = 0;
  ((i++ == loss ? static_cast<void>(right = Right{Known::right_on_real(real, fake), Known::right_on_fake(real, fake)})
                : static_cast<void>(0)),
   ...);
  return right;
}

template <class... Known>
__device__ __forceinline__ float factor_of(math::TypeList<Known...>, int penalty, float squared) {
  float factor = 0;
  int i = 0;
  ((i++ == penalty ? static_cast<void>(factor = Known::factor(squared)) : static_cast<void>(0)), ...);
  return factor;
}

template <class... Known>
__device__ __forceinline__ double value_of(math::TypeList<Known...>, int penalty, double squared) {
  double value = 0;
  int i = 0;
  ((i++ == penalty ? static_cast<void>(value = Known::value(squared)) : static_cast<void>(0)), ...);
  return value;
}

// A row of a part that a penalty works on has the seed 1, and its own in row_scale.
__device__ __forceinline__ void give_seed(const GanLossArgs& args, bool penalised, int row, float own, float* seed) {
  if (args.row_scale != nullptr) args.row_scale[row] = penalised ? own : 1.0F;
  seed[row] = penalised ? 1.0F : own;
}

__global__ void __launch_bounds__(loss_warps* warp_lanes)
    gan_loss_kernel(const __grid_constant__ Shards shards, const __grid_constant__ GanLossArgs args, Sum target) {
  const double factor = args.scale;
  const int real_row = args.between ? shards.rows : 0;
  const int fake_row = real_row + (args.real ? shards.rows : 0);
  sum_rows<6, loss_warps>(shards, target, args.accumulate, [&](int row, double(&sums)[6]) {
    const float real = args.real ? args.logits[real_row + row] : 0.0F;
    const float fake = args.logits[fake_row + row];
    const math::LossTerm term = loss_of(math::Losses{}, args.loss, args.discriminator, real, fake, args.smoothing);
    if (args.between) give_seed(args, true, row, 0.0F, args.seed);
    if (args.real) give_seed(args, args.penalise_real, real_row + row, args.scale * term.d_real, args.seed);
    give_seed(args, args.penalise_fake, fake_row + row, args.scale * term.d_fake, args.seed);
    const Right right = right_of(math::Losses{}, args.loss, real, fake);
    sums[0] += factor * static_cast<double>(term.value);
    if (args.real) {
      sums[1] += right.real ? factor : 0.0;
      sums[3] += factor * static_cast<double>(real);
    }
    sums[2] += right.fake ? factor : 0.0;
    sums[4] += factor * static_cast<double>(fake);
  });
}

__global__ void __launch_bounds__(penalty_threads)
    penalty_kernel(const __grid_constant__ Shards shards, int penalty, int columns, const float* g, float coefficient,
                   float* v, Sum value, Scratch scratch, bool vector) {
  GANYMEDE_SHARED(double, by_warp, [penalty_warps]);
  const int row = static_cast<int>(blockIdx.x);
  // There is a block even where there is no row, since the sum is written in any case.
  if (row < shards.rows) {
    const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(row) * columns;
    double sum = 0;
    for (int j = 4 * static_cast<int>(threadIdx.x); j < columns; j += 4 * penalty_threads) {
      const float4 x = load4(g + start + j, columns - j, vector);
      sum = fma(static_cast<double>(x.x), static_cast<double>(x.x), sum);
      sum = fma(static_cast<double>(x.y), static_cast<double>(x.y), sum);
      sum = fma(static_cast<double>(x.z), static_cast<double>(x.z), sum);
      sum = fma(static_cast<double>(x.w), static_cast<double>(x.w), sum);
    }
    sum = warp_sum(sum);
    if (thread_lane() == 0) by_warp[thread_warp()] = sum;
    __syncthreads();
    double total = by_warp[0];
    for (int w = 1; w < penalty_warps; ++w) total += by_warp[w];
    const float factor = coefficient * factor_of(math::Penalties{}, penalty, static_cast<float>(total));
    for (int j = 4 * static_cast<int>(threadIdx.x); j < columns; j += 4 * penalty_threads) {
      const float4 x = load4(g + start + j, columns - j, vector);
      store4(v + start + j, columns - j, vector, {factor * x.x, factor * x.y, factor * x.z, factor * x.w});
    }
    if (threadIdx.x == 0)
      scratch.partial[row] = static_cast<double>(coefficient) * value_of(math::Penalties{}, penalty, total);
  }
  if (!last_block(scratch.tickets, gridDim.x)) return;
  sum_rows<1, penalty_warps>(shards, value, true, [&](int r, double(&sums)[1]) { sums[0] += scratch.partial[r]; });
}

}  // namespace

void gan_loss(cudaStream_t stream, const Shards& shards, const GanLossArgs& args, Sum sums) {
  launch<gan_loss_kernel>("gan_loss", 1, loss_warps * warp_lanes, stream, shards, args, sums);
}

void gradient_penalty(cudaStream_t stream, int penalty, const Shards& shards, int columns, const float* g,
                      float coefficient, float* v, Sum value, Scratch scratch) {
  launch<penalty_kernel>("gradient_penalty", static_cast<unsigned>(shards.rows > 0 ? shards.rows : 1), penalty_threads,
                         stream, shards, penalty, columns, g, coefficient, v, value, scratch,
                         aligned_rows(g, columns) && aligned(v));
}

}  // namespace ganymede::cuda
