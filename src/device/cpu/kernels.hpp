// The CPU's inner loops as a table of functions: kernels.inl.cpp is compiled once per instruction set, and
// each copy exports one table. A kernel does part `part` of `parts` of its work; all parts run at the
// same time, write apart from each other, and the bits of a result do not depend on `parts`.
//
// This header is included by objects compiled for newer CPUs than the program may run on, so it holds
// plain data alone: an inline function here could reach the program in its AVX-512 form.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cpu/winograd.hpp"
#include "ganymede/optimizer_constants.hpp"

namespace ganymede::cpu {

// Floats of scratch memory, 64-byte aligned, that every part has to itself: packed pieces of matrices.
inline constexpr std::size_t scratch_right = std::size_t{512} * 32;
inline constexpr std::size_t scratch_left = std::size_t{64} * 1024;
inline constexpr std::size_t scratch_slack = 16;  // the last vector of the left piece may reach beyond it
inline constexpr std::size_t scratch_floats = scratch_right + scratch_left + scratch_slack;
/// Elements that one partial result of sum_of_squares covers.
inline constexpr std::size_t squares_block = 4096;
// Batch normalisation takes several pixels with few channels as one with many, which it calls a row: so its loops are
// long enough for vectors. A row has at least so many elements (or nearly so), and so many rows are summed together.
inline constexpr int norm_row = 256;
inline constexpr int norm_sum_row = 64;
inline constexpr int norm_sum_rows = 256;

/// A layer's forward, tangent and backward-data pass, see Device.
struct AffineArgs {
  int rows, in, out;
  const float* x;  ///< x, tx or delta
  const float* w;
  const float* bias;      ///< forward alone
  const float* slope_of;  ///< tangent: y; backward-data: x, may be null
  int activation;
  float parameter;
  float* result;
};

/// ganymede::Convolution.
struct ConvolutionShape {
  int fine_height, fine_width, fine_channels;
  int coarse_height, coarse_width, coarse_channels;
  int kernel, stride, padding;
};

/// A convolution from fine to coarse, or transposed from coarse to fine.
struct ConvolutionArgs {
  ConvolutionShape shape;
  bool transposed;
  int rows;
  const float* source;
  const float* w;
  const float* bias;
  const float* slope_of;
  int activation;
  float parameter;
  float* packed;               ///< pack_filters' results: packed_columns(channels of the target) · window floats,
  int* offsets;                ///< and where a window's floats lie in the source, for all phases
  float* left;                 ///< for every part left_floats of its own: lines of the source
  std::ptrdiff_t left_floats;  ///< at least for the lines that a line of the result needs, and window_slack more
  float* result;
  /// For winograd_convolve, null where it does not pay. `packed` is then the transformed filters, and `left` holds what
  /// `block` images take.
  const WinogradPlan* winograd;
  int block;
};
/// Convolutions to so few channels are dot products: a tile would waste nearly all of its columns.
inline constexpr int narrow_channels = 4;
/// Transposed ones to so few go through convolve_to_few().
inline constexpr int few_channels = 12;
inline constexpr int most_tile_columns = 32;
/// What a window takes beyond its floats: up to 31 to lie an odd number of cache lines from the next, and a share of
/// the vector that copies may write behind the last.
inline constexpr int window_slack = 48;

/// Rows in the order in which they are summed, and where each shard ends in it.
struct RowOrder {
  int count;
  const int* row;
  int shards;
  const int* shard_end;
};

/// Where sums go, see SumTarget; `overflow` is this call's, and is added to atomically.
struct Sum {
  float* values;
  std::int64_t* fixed;
  std::int64_t* overflow;
};

struct WeightsArgs {
  RowOrder order;
  int in, out;
  const float* x;
  const float* delta;
  bool accumulate;
  Sum dw;
  float* carry;  ///< [out, in], for shards with more rows than are packed at once
};

/// The same for a convolution: rows are pixels of the coarse grid, delta is what lies there, x the fine one.
struct ConvolutionWeightsArgs {
  WeightsArgs weights;
  ConvolutionShape shape;
  int images;  ///< that x holds
};

/// The same block of images by block of images, for window_products() and window_gradients().
struct WindowWeightsArgs {
  ConvolutionShape shape;
  RowOrder order;  ///< of images
  int blocks;
  const int* block_end;  ///< where each ends in the order
  int images;            ///< that `fine` holds
  const float* fine;
  const float* coarse;
  float* sums;      ///< [blocks][filter][the coarse channels, with what fills the last vector]
  bool accumulate;  ///< always where sums are exact
  Sum dw;
};
/// With fewer channels of the coarse grid a vector would not be full.
inline constexpr int window_weights_channels = 16;

/// The gradients of a convolution's weights in the transform's domain: the kernels transform a block of images,
/// multiply and, when a shard is done, bring its sums back.
struct WinogradWeightsArgs {
  const WinogradPlan* plan;
  ConvolutionShape shape;
  int images;        ///< that `fine` holds
  const int* image;  ///< those of the block
  int count;
  int group;  ///< along y, of which is the block's transform
  const float* fine;
  const float* coarse;
  float* source;   ///< of `fine`,
  float* adjoint;  ///< of `coarse`
  float* product;  ///< [points][points] planes, see WinogradPiece
  bool accumulate;
  Sum dw;
};

struct BiasArgs {
  RowOrder order;
  int pixels, out;
  const float* delta;
  const float* row_scale;
  bool accumulate;
  Sum db;
};

/// One GAN loss; `real` or `seed_real` may be null where the loss does not see real logits.
struct LossArgs {
  int loss, rows;
  float smoothing;
  bool discriminator;
  const float* real;
  const float* fake;
  float scale;
  float* seed_real;
  float* seed_fake;
  float* value;  ///< [rows], the unscaled loss of each pair
};

struct PenaltyArgs {
  int penalty, rows, columns;
  const float* g;
  float coefficient;
  float* v;
  float* squares;  ///< [rows], Σ g²
};

struct CombineRowsArgs {
  int rows, columns;
  const float* scale;
  const float* t;
  float* h;
};

/// Elements of an array that batch normalisation sums together.
struct Stretch {
  std::size_t begin, count;
};

struct BatchNormSumsArgs {
  int row;
  int stretches;
  const Stretch* stretch;
  const float* a;
  const float* b;  ///< may be a
  double* sums;    ///< [stretches][2][row], of a and of a · b at each place in the rows
};

/// y = σ(scale · (x - mean) + shift).
struct BatchNormForwardArgs {
  int batch_parts;
  std::size_t part_size;
  int row;
  const float* coefficients;  ///< [batch_parts][3][row]: mean, scale, shift
  const float* x;
  int activation;
  float parameter;
  float* y;
};

/// result = σ'(x) · (scale · delta + slope · (x - mean) + shift).
struct BatchNormBackwardArgs {
  int batch_parts;
  std::size_t part_size;
  int row;
  const float* coefficients;  ///< [batch_parts][4][row]: mean, scale, slope, shift
  const float* x;
  const float* delta;
  int activation;
  float parameter;
  float* result;
};

struct FromFixedArgs {
  std::size_t count;
  const std::int64_t* from;
  float* to;
};

struct AddArgs {
  std::size_t count;
  const float* from;
  double* to;
};

struct SquaresArgs {
  std::size_t count;
  const float* x;
  double* partial;  ///< one per squares_block elements
};

struct OptimizerArgs {
  int optimizer;
  std::size_t count;
  OptimizerConstants constants;
  float factors[5];  ///< math::update_factor
  const float* gradient;
  float* parameters;
  float* state[4];
};

struct AverageArgs {
  std::size_t count;
  float decay;
  const float* value;
  float* average;
};

/// dots[row] = Σ_column a[row][column] · b[row][column], b's rows b_stride apart: 0 where they are one vector.
struct RowDotsArgs {
  int rows, columns;
  const float* a;
  const float* b;
  std::ptrdiff_t b_stride;
  double* dots;
};

/// sums[column] = Σ_row u[row] · w[row][column].
struct ColumnSumsArgs {
  int rows, columns;
  const float* u;
  const float* w;
  double* sums;
};

/// to = from / divisor.
struct DivideArgs {
  std::size_t count;
  float divisor;
  const float* from;
  float* to;
};

/// to[row][column] = (g[row][column] - factor · u[row] · v[column]) / divisor.
struct RankOneArgs {
  int rows, columns;
  const float* g;
  const float* u;
  const float* v;
  float factor, divisor;
  float* to;
};

/// Device::draw_mask().
struct MaskArgs {
  std::uint64_t seed;
  std::uint32_t stream;
  std::uint64_t first_sample;
  std::uint32_t layer;
  int rows, columns;
  std::uint32_t threshold;  ///< math::drop_threshold
  std::uint8_t* mask;
};

/// Device::apply_mask().
struct ApplyMaskArgs {
  std::size_t count;
  const std::uint8_t* mask;
  float factor;
  const float* from;
  const float* slope_of;
  int activation;
  float parameter;
  float* to;
};

/// append_class: x, with labels or null, to result; append_class_backward: delta as x, slope_of, to result. See Device.
struct ClassArgs {
  int rows, pixels, channels, classes;
  const std::uint8_t* labels;
  const float* x;
  const float* slope_of;
  int activation;
  float parameter;
  float* result;
};

struct NoiseArgs {
  std::uint64_t seed;
  std::uint32_t stream;
  std::uint64_t first_sample;
  int rows, columns;
  float* out;
};

/// out = x + deviation · the noise.
struct AddNoiseArgs {
  NoiseArgs noise;
  float deviation;
  const float* x;
};

struct InterpolateArgs {
  std::uint64_t seed;
  std::uint32_t stream;
  std::uint64_t first_sample;
  int rows, columns;
  const float* a;
  const float* b;
  float* out;
};

struct ImagesArgs {
  std::uint64_t seed;
  std::uint64_t first_sample;
  const std::uint8_t* images;
  std::uint32_t image_count;
  int rows, pixels, channels;
  float* out;
};

template <class Args>
using Kernel = void (*)(const Args& args, float* scratch, int part, int parts);

struct Kernels {
  Kernel<AffineArgs> affine_forward;
  Kernel<AffineArgs> affine_tangent;
  Kernel<AffineArgs> affine_backward_data;
  Kernel<WeightsArgs> affine_backward_weights;
  Kernel<BiasArgs> bias_gradient;
  Kernel<ConvolutionArgs> pack_filters;
  Kernel<ConvolutionArgs> convolve;
  Kernel<ConvolutionWeightsArgs> convolution_weights;
  Kernel<WindowWeightsArgs> window_products;
  Kernel<WindowWeightsArgs> window_gradients;
  Kernel<ConvolutionArgs> winograd_filters;
  Kernel<ConvolutionArgs> winograd_convolve;
  Kernel<WinogradWeightsArgs> winograd_transform;
  Kernel<WinogradWeightsArgs> winograd_multiply;
  Kernel<WinogradWeightsArgs> winograd_gradients;
  Kernel<BatchNormSumsArgs> batch_norm_sums;
  Kernel<BatchNormForwardArgs> batch_norm_forward;
  Kernel<BatchNormBackwardArgs> batch_norm_backward_data;
  Kernel<LossArgs> loss;
  Kernel<PenaltyArgs> gradient_penalty;
  Kernel<CombineRowsArgs> combine_rows;
  Kernel<FromFixedArgs> from_fixed_point;
  Kernel<AddArgs> add_to;
  Kernel<SquaresArgs> sum_of_squares;
  Kernel<OptimizerArgs> optimizer_update;
  Kernel<AverageArgs> exponential_average;
  Kernel<RowDotsArgs> row_dots;
  Kernel<ColumnSumsArgs> column_sums;
  Kernel<DivideArgs> divide;
  Kernel<RankOneArgs> take_rank_one;
  Kernel<MaskArgs> draw_mask;
  Kernel<ApplyMaskArgs> apply_mask;
  Kernel<ClassArgs> append_class;
  Kernel<ClassArgs> append_class_backward;
  Kernel<NoiseArgs> draw_normal;
  Kernel<NoiseArgs> draw_uniform;
  Kernel<AddNoiseArgs> add_noise;
  Kernel<InterpolateArgs> interpolate;
  Kernel<ImagesArgs> gather_images;
  /// Runs `rounds` rounds of independent multiply-adds on registers and returns how many floating-point
  /// operations that were.
  double (*multiply_adds)(std::int64_t rounds, float* sink);
};

extern const Kernels kernels_v2;
extern const Kernels kernels_v3;
extern const Kernels kernels_v4;

}  // namespace ganymede::cpu
