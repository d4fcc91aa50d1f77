// The GAN losses and the gradient penalties: per row what goes back, and over all rows the sums for the log.
#include "device/cuda/kernels/device.hpp"
#include "math/loss/losses.hpp"

namespace ganymede::cuda {
namespace {

// One block: a batch has a few hundred pairs, and the sums need all of them.
constexpr int loss_warps = 8;
// A row to a block: 784 columns are 1.5 vectors to each thread.
constexpr int penalty_warps = 4;
constexpr int penalty_threads = penalty_warps * warp_lanes;

template <class... Known>
__device__ __forceinline__ math::LossTerm loss_of(math::TypeList<Known...>, int loss, bool discriminator, float real,
                                                  float fake) {
  math::LossTerm term{};
  int i = 0;
  ((i++ == loss
        ? static_cast<void>(term = discriminator ? Known::discriminator(real, fake) : Known::generator(real, fake))
        : static_cast<void>(0)),
   ...);
  return term;
}

struct LossArgs {
  int loss;
  bool discriminator;
  const float* real;
  const float* fake;
  float scale;
  float* seed_real;
  float* seed_fake;
  float* row_scale;
  Sum sums;
};

__global__ void __launch_bounds__(loss_warps* warp_lanes)
    gan_loss_kernel(const __grid_constant__ Shards shards, const __grid_constant__ LossArgs args) {
  const double factor = args.scale;
  sum_rows<3, loss_warps>(shards, args.sums, [&](int row, double(&sums)[3]) {
    const float real = args.real == nullptr ? 0.0F : args.real[row];
    const float fake = args.fake[row];
    const math::LossTerm term = loss_of(math::Losses{}, args.loss, args.discriminator, real, fake);
    float seed = args.scale * term.d_real;
    if (args.row_scale != nullptr) {
      args.row_scale[row] = seed;
      args.row_scale[shards.rows + row] = 1.0F;
      seed = 1.0F;
    }
    if (args.seed_real != nullptr) args.seed_real[row] = seed;
    args.seed_fake[row] = args.scale * term.d_fake;
    sums[0] += factor * static_cast<double>(term.value);
    sums[1] += real > 0.0F ? factor : 0.0;  // without real logits 0 stands for them
    sums[2] += fake < 0.0F ? factor : 0.0;
  });
}

__global__ void __launch_bounds__(penalty_threads)
    penalty_kernel(const __grid_constant__ Shards shards, int columns, const float* g, float coefficient, float* v,
                   Sum penalty, Scratch scratch, bool vector) {
  GANYMEDE_SHARED(double, by_warp, [penalty_warps]);
  const int row = static_cast<int>(blockIdx.x);
  // There is a block even where there is no row, since the sum is written in any case.
  if (row < shards.rows) {
    const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(row) * columns;
    double sum = 0;
    for (int j = 4 * static_cast<int>(threadIdx.x); j < columns; j += 4 * penalty_threads) {
      const float4 x = load4(g + start + j, columns - j, vector);
      store4(v + start + j, columns - j, vector,
             {coefficient * x.x, coefficient * x.y, coefficient * x.z, coefficient * x.w});
      sum += static_cast<double>(x.x) * static_cast<double>(x.x);
      sum += static_cast<double>(x.y) * static_cast<double>(x.y);
      sum += static_cast<double>(x.z) * static_cast<double>(x.z);
      sum += static_cast<double>(x.w) * static_cast<double>(x.w);
    }
    sum = warp_sum(sum);
    if (thread_lane() == 0) by_warp[thread_warp()] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
      double total = by_warp[0];
      for (int w = 1; w < penalty_warps; ++w) total += by_warp[w];
      scratch.partial[row] = 0.5 * static_cast<double>(coefficient) * total;
    }
  }
  if (!last_block(scratch.ticket)) return;
  sum_rows<1, penalty_warps>(shards, penalty, [&](int r, double(&sums)[1]) { sums[0] += scratch.partial[r]; });
}

}  // namespace

void gan_loss(cudaStream_t stream, int loss, bool discriminator, const Shards& shards, const float* real,
              const float* fake, float scale, float* seed_real, float* seed_fake, float* row_scale, Sum sums) {
  launch<gan_loss_kernel>("gan_loss", 1, loss_warps * warp_lanes, stream, shards,
                          LossArgs{loss, discriminator, real, fake, scale, seed_real, seed_fake, row_scale, sums});
}

void squared_norm_penalty(cudaStream_t stream, const Shards& shards, int columns, const float* g, float coefficient,
                          float* v, Sum penalty, Scratch scratch) {
  launch<penalty_kernel>("squared_norm_penalty", static_cast<unsigned>(shards.rows > 0 ? shards.rows : 1),
                         penalty_threads, stream, shards, columns, g, coefficient, v, penalty, scratch,
                         aligned_rows(g, columns) && aligned(v));
}

}  // namespace ganymede::cuda
