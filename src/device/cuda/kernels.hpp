// Ganymede's own CUDA kernels: one function per launch, which enqueues exactly one kernel on `stream` and
// returns at once. The operations are those of Device (include/ganymede/device.hpp), which says what each
// computes; here is what a launch adds to that. All pointers are device memory unless they say host; shapes are
// row-major. None of the functions allocates, synchronises or fails (cudaGetLastError() tells a bad launch). Where
// there is nothing to write (no rows, no elements) nothing is enqueued; sums over no rows are written, as 0.
//
// The kernels live in kernels/*.cu, written for nvcc and, through launch.hpp, for a host compiler with the
// emulation of tests/cuda_emulation. This header is plain: a .cu file can include it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "ganymede/optimizer_constants.hpp"

namespace ganymede::cuda {

/// The most virtual shards that one rank can hold: BatchLayout::shard_begin travels in a kernel's parameters.
inline constexpr int max_shards = 256;

/// BatchLayout as a kernel takes it. `count` shards; shard s is rows begin[s] … begin[s+1]-1 of every part.
struct Shards {
  int parts = 1;
  int rows = 0;
  int count = 1;
  int begin[max_shards + 1] = {};
  [[nodiscard]] int total_rows() const { return parts * rows; }
};

/// SumTarget as a kernel takes it: `values`, or `fixed` with `overflow` (atomically added to).
struct Sum {
  float* values = nullptr;
  std::int64_t* fixed = nullptr;
  std::int64_t* overflow = nullptr;
};

/// Memory that launches on one stream share to sum over blocks in a fixed order: `partial` holds at least
/// partial_count doubles; each of ticket_count `tickets` counts the blocks of one sum that are done, and is 0 before a
/// launch and after it. Most kernels have one sum, and use the first.
struct Scratch {
  static constexpr std::size_t partial_count = 65536;
  static constexpr std::size_t ticket_count = 64;
  double* partial = nullptr;
  unsigned* tickets = nullptr;
};

/// OptimizerUpdate as a kernel takes it. There have been *step · per_step + offset updates before this one.
struct Update {
  int optimizer;
  OptimizerConstants constants;
  const std::uint64_t* step;
  std::uint64_t per_step, offset;
  std::size_t count;
  const double* squared_norm;
  const float* gradient;
  float* parameters;
  float* state[4];
  float* average;  ///< null: none
  float decay;
};

/// What the host learns of a step; written to host memory that the device can write (cudaHostAllocMapped).
struct Report {
  std::uint64_t step;                 ///< steps completed with this one; written last
  double discriminator_squared_norm;  ///< the last of StepEnd's, or the first that is not finite
  double generator_squared_norm;
  double own_seconds;
  float stop;  ///< how many ranks had been asked to stop
};

/// A stopwatch in device memory: nanoseconds by the GPU's clock.
struct Timer {
  std::uint64_t since;   ///< it goes since then
  std::uint64_t passed;  ///< before that
};

/// The end of a step, in one launch of one block: running[i] += extras[i] for D's extras and then G's, a report in
/// reports[*step % report_count], then ++*step and *discriminator_total += discriminator_updates. The timer's time is
/// reported as the rank's own, and it goes on from zero.
struct StepEnd {
  const float* discriminator_extras;
  int discriminator_count;
  const float* generator_extras;
  int generator_count;
  double* running;                            ///< [discriminator_count + generator_count]
  const double* discriminator_squared_norms;  ///< [discriminator_updates]
  int discriminator_updates;
  const double* generator_squared_norm;
  const float* stop;               ///< null: 1 where *stop_flag (host memory, mapped) is not 0
  const std::uint32_t* stop_flag;  ///< read when the kernel runs
  std::uint64_t* step;
  std::uint64_t* discriminator_total;
  Timer* timer;     ///< null: none
  Report* reports;  ///< host memory, mapped
  int report_count;
};

/// ganymede::Convolution as a kernel takes it.
struct ConvolutionShape {
  int fine_height, fine_width, fine_channels;
  int coarse_height, coarse_width, coarse_channels;
  int kernel, stride, padding;
};

/// Finish as a kernel takes it: σ(sum + bias) where there is a bias, else sum · σ'(slope_of), or the sum itself.
struct Finishing {
  const float* bias;
  int sigma;
  float parameter;
  const float* slope_of;
};

/// ganymede::SpectralMatrix::epsilon.
inline constexpr double least_norm = 1e-12;
/// ganymede::BatchNorm::moment_unit.
inline constexpr double moment_unit = 256;
/// What batch normalisation's kernels need of ganymede::BatchNorm.
struct BatchNormShape {
  int pixels, channels;
  double count;
  float epsilon, momentum;
};

// --- fully connected layers, float32 -----------------------------------------------------------------------
// Every element of y, ty and delta_in is summed over k in one fixed order that depends on neither `rows` nor the
// row's place: a row has the same bits in any batch.
/// `b` may be null: none.
void affine_forward(cudaStream_t stream, int rows, int in, int out, const float* x, const float* w, const float* b,
                    int sigma, float parameter, float* y);
void affine_tangent(cudaStream_t stream, int rows, int in, int out, const float* tx, const float* w, int sigma,
                    float parameter, const float* y, float* ty);
/// `x` may be null: slope 1.
void affine_backward_data(cudaStream_t stream, int rows, int in, int out, const float* delta, const float* w, int below,
                          float parameter, const float* x, float* delta_in);
/// dW[out, in] and db[out] in one launch; row_scale (null: 1) weighs the rows of db alone. With `fixed` targets a
/// shard's contribution is a function of its rows alone. Either target may be empty (all null): left out.
void affine_gradients(cudaStream_t stream, const Shards& shards, int in, int out, const float* x, const float* delta,
                      const float* row_scale, bool accumulate, Sum dw, Sum db);

// --- convolutions, float32 -----------------------------------------------------------------------------------
// Every element of coarse and of fine is summed in one fixed order that depends on the geometry alone: a row has the
// same bits in any batch. Weights are [coarse channels][kernel][kernel][fine channels]. Images are less than 16384
// pixels high and wide, a batch has less than 2^31 pixels.
void convolve(cudaStream_t stream, const ConvolutionShape& shape, int rows, const float* fine, const float* w,
              const Finishing& finish, float* coarse);
void convolve_transposed(cudaStream_t stream, const ConvolutionShape& shape, int rows, const float* coarse,
                         const float* w, const Finishing& finish, float* fine);
/// With a `fixed` target a shard's contribution is a function of its rows alone.
void convolution_gradients(cudaStream_t stream, const Shards& shards, const ConvolutionShape& shape, const float* fine,
                           const float* coarse, bool accumulate, Sum dw, Scratch scratch);
/// A `fixed` target is added to in any case (so clear it); a shard's contribution is a function of its rows alone.
void channel_gradients(cudaStream_t stream, const Shards& shards, int pixels, int channels, const float* delta,
                       const float* row_scale, bool accumulate, Sum db, Scratch scratch);

// --- batch normalisation -----------------------------------------------------------------------------------------
// x is [parts · rows, pixels, channels], statistics [parts][2][channels]. Sums, [parts][2][channels] and a count of
// what did not fit, are added to (so clear them); a shard's contribution is a function of its rows alone.
void batch_norm_moments(cudaStream_t stream, const Shards& shards, const BatchNormShape& shape, const float* x,
                        std::int64_t* sums);
/// `running` may be null.
void batch_norm_statistics(cudaStream_t stream, int parts, const BatchNormShape& shape, const std::int64_t* moments,
                           float* statistics, float* running);
void batch_norm_frozen(cudaStream_t stream, const BatchNormShape& shape, const float* running, float* statistics);
void batch_norm_forward(cudaStream_t stream, int parts, int rows, const BatchNormShape& shape, const float* x,
                        const float* statistics, const float* gamma, const float* beta, int sigma, float parameter,
                        float* y);
void batch_norm_adjoints(cudaStream_t stream, const Shards& shards, const BatchNormShape& shape, const float* x,
                         const float* delta, const float* statistics, std::int64_t* sums);
/// NaN in float targets, a count in a fixed one's overflow where an adjoint sum did not fit.
void batch_norm_gradients(cudaStream_t stream, int parts, const BatchNormShape& shape, const std::int64_t* adjoints,
                          bool accumulate, Sum dgamma, Sum dbeta);
/// NaN where an adjoint sum did not fit.
void batch_norm_backward_data(cudaStream_t stream, int parts, int rows, const BatchNormShape& shape, const float* x,
                              const float* delta, const float* statistics, const float* gamma,
                              const std::int64_t* adjoints, int below, float parameter, float* delta_in);

// --- spectral normalisation: w, g and w̄ are [rows, columns] -------------------------------------------------------
// `work` holds sums on their way, [rows] or [columns]; they are in double and in a fixed order.
/// u = w v / ‖w v‖.
void spectral_left(cudaStream_t stream, int rows, int columns, const float* w, const float* v, float* u, double* work,
                   Scratch scratch);
/// v = wᵀu / ‖wᵀu‖.
void spectral_right(cudaStream_t stream, int rows, int columns, const float* w, const float* u, float* v, double* work,
                    Scratch scratch);
/// *sigma = uᵀ w v.
void spectral_sigma(cudaStream_t stream, int rows, int columns, const float* w, const float* u, const float* v,
                    float* sigma, double* work, Scratch scratch);
/// to = from / *divisor.
void divide(cudaStream_t stream, std::size_t count, const float* from, const float* divisor, float* to);
/// work[0] = ⟨g, w̄⟩.
void spectral_product(cudaStream_t stream, int rows, int columns, const float* g, const float* normalised, double* work,
                      Scratch scratch);
/// to = (g - *product u vᵀ) / *sigma.
void spectral_gradient(cudaStream_t stream, int rows, int columns, const float* g, const double* product,
                       const float* u, const float* v, const float* sigma, float* to);

// --- what follows a matrix product of cuBLASLt ----------------------------------------------------------------
/// y[rows, columns] = σ(y + b); `b` may be null.
void activate(cudaStream_t stream, int rows, int columns, const float* b, int sigma, float parameter, float* y);
/// delta[i] *= σ'(h[i]).
void multiply_slope(cudaStream_t stream, std::size_t count, int sigma, float parameter, const float* h, float* delta);

// --- around products of bfloat16 ------------------------------------------------------------------------------
/// to[i] = the bfloat16 nearest to from[i].
struct Narrowing {
  const float* from = nullptr;
  std::uint16_t* to = nullptr;
  std::size_t count = 0;
};
/// Of one array, or of two.
void narrow(cudaStream_t stream, const Narrowing& a, const Narrowing& b = {});
/// to[rows, columns] (+)= finish(from), where `from` is bfloat16.
void widen(cudaStream_t stream, int rows, int columns, const std::uint16_t* from, const Finishing& finish,
           bool accumulate, float* to);

// --- dropout -----------------------------------------------------------------------------------------------------
/// `threshold`: math::drop_threshold of the share.
void draw_mask(cudaStream_t stream, std::uint64_t seed, std::uint32_t draw, const std::uint64_t* step,
               std::uint64_t per_step, std::uint64_t offset, std::uint32_t layer, int rows, int columns,
               std::uint32_t threshold, std::uint8_t* mask);
/// `x` may be null with an identity below.
void apply_mask(cudaStream_t stream, std::size_t count, const std::uint8_t* mask, float factor, const float* from,
                int below, float parameter, const float* x, float* to);

// --- classes: labels[rows] are less than `classes` -----------------------------------------------------------------
/// `labels` may be null: zeros.
void append_class(cudaStream_t stream, int rows, int pixels, int channels, int classes, const std::uint8_t* labels,
                  const float* x, float* y);
void append_class_backward(cudaStream_t stream, int rows, int pixels, int channels, int classes, const float* delta,
                           int below, float parameter, const float* x, float* delta_in);
void class_score(cudaStream_t stream, int rows, int classes, const std::uint8_t* labels, const float* x, float* y);
void class_score_backward(cudaStream_t stream, int rows, int classes, const std::uint8_t* labels, const float* delta,
                          float* delta_in);

// --- losses and penalties ----------------------------------------------------------------------------------------
/// See Device::discriminator_loss(), Device::generator_loss(). `logits`, `seed` and `row_scale` stand at the first
/// part: points between images, real images, generated ones, where the first two may be missing.
struct GanLossArgs {
  int loss;
  float smoothing;
  bool discriminator;
  bool between, real;
  bool penalise_real, penalise_fake;
  const float* logits;
  float scale;
  float* seed;
  float* row_scale;  ///< null without a penalty
  bool accumulate;
};
void gan_loss(cudaStream_t stream, const Shards& shards, const GanLossArgs& args, Sum sums);
/// At most Scratch::partial_count rows.
void gradient_penalty(cudaStream_t stream, int penalty, const Shards& shards, int columns, const float* g,
                      float coefficient, float* v, Sum value, Scratch scratch);
void combine_rows(cudaStream_t stream, int rows, int columns, const float* scale, const float* t, float* h);

// --- flat buffers ---------------------------------------------------------------------------------------------------
void from_fixed_point(cudaStream_t stream, std::size_t count, const std::int64_t* from, const std::int64_t* overflow,
                      float* to);
void add_to(cudaStream_t stream, std::size_t count, const float* from, double* to);
/// The same bits on any device: a fixed tree over blocks of 2048. At most 2048 · Scratch::partial_count elements.
void sum_of_squares(cudaStream_t stream, std::size_t count, const float* x, double* result, Scratch scratch);
/// average = decay · average + (1 - decay) · parameters rides along when `average` is not null.
void optimizer_update(cudaStream_t stream, const Update& args);
/// *first = the least index of a value that is not finite, or count when there is none.
void find_not_finite(cudaStream_t stream, std::size_t count, const float* x, unsigned long long* first);

// --- draws ----------------------------------------------------------------------------------------------------------
void draw_normal(cudaStream_t stream, std::uint64_t seed, std::uint32_t draw, const std::uint64_t* step,
                 std::uint64_t per_step, std::uint64_t offset, int rows, int columns, float* out);
void draw_uniform(cudaStream_t stream, std::uint64_t seed, std::uint32_t draw, const std::uint64_t* step,
                  std::uint64_t per_step, std::uint64_t offset, int rows, int columns, float* out);
/// out = x + math::falling_deviation(start, end, *steps) · noise; out may be x.
void add_noise(cudaStream_t stream, std::uint64_t seed, std::uint32_t draw, const std::uint64_t* step,
               std::uint64_t per_step, std::uint64_t offset, double start, double end, const std::uint64_t* steps,
               int rows, int columns, const float* x, float* out);
void interpolate(cudaStream_t stream, std::uint64_t seed, std::uint32_t draw, const std::uint64_t* step,
                 std::uint64_t per_step, std::uint64_t offset, int rows, int columns, const float* a, const float* b,
                 float* out);
void gather_images(cudaStream_t stream, std::uint64_t seed, const std::uint64_t* step, std::uint64_t per_step,
                   std::uint64_t offset, const std::uint8_t* images, std::uint32_t image_count, int rows, int pixels,
                   int channels, float* out);
void gather_labels(cudaStream_t stream, std::uint64_t seed, const std::uint64_t* step, std::uint64_t per_step,
                   std::uint64_t offset, const std::uint8_t* labels, std::uint32_t image_count, int rows,
                   std::uint8_t* out);

// --- counters and flags ---------------------------------------------------------------------------------------------
/// *to = *flag ≠ 0 ? 1 : 0, in the target's form; `flag` is host memory, mapped, read when the kernel runs.
void flag_to_sum(cudaStream_t stream, const std::uint32_t* flag, Sum to);
void end_step(cudaStream_t stream, const StepEnd& args);
/// The timer stands still.
void stop_timer(cudaStream_t stream, Timer* timer);
/// It goes on, or begins anew.
void start_timer(cudaStream_t stream, Timer* timer, bool from_zero);

}  // namespace ganymede::cuda
