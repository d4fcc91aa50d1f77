// The CPU's inner loops, compiled once per instruction set by kernels_v2.cpp, kernels_v3.cpp and
// kernels_v4.cpp, which name the table: GANYMEDE_KERNELS.
//
// Matrix products: every element of a result is one chain of fused multiply-adds over k = 0, 1, 2, …,
// starting from zero, whatever the number of rows, the row's place, the tile sizes and the threads.
// Forward, tangent and backward-data passes therefore give a row the same bits in any batch. (An
// instruction set without fused multiply-add rounds each product; its chain is as fixed.) Steps whose factor
// is zero may be left out: a multiply-add by zero changes nothing but the sign of a sum that underflowed to -0.
// Convolutions put several such sums together, in an order that their geometry fixes.
//
// Everything here but the table has internal linkage, and of other headers only always-inlined functions
// and intrinsics are used: see kernels.hpp for why.
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the "undefined" vectors inside its own AVX-512 intrinsics for our mistake.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "device/cpu/kernels/affine.inl.cpp"
#include "device/cpu/kernels/batch_norm.inl.cpp"
#include "device/cpu/kernels/classes.inl.cpp"
#include "device/cpu/kernels/convolution.inl.cpp"
#include "device/cpu/kernels/draws.inl.cpp"
#include "device/cpu/kernels/dropout.inl.cpp"
#include "device/cpu/kernels/flat.inl.cpp"
#include "device/cpu/kernels/gradients.inl.cpp"
#include "device/cpu/kernels/losses.inl.cpp"
#include "device/cpu/kernels/product.inl.cpp"
#include "device/cpu/kernels/spectral.inl.cpp"
#include "device/cpu/kernels/vectors.inl.cpp"
#include "device/cpu/kernels/window_weights.inl.cpp"
#include "device/cpu/kernels/winograd.inl.cpp"

namespace ganymede::cpu {
namespace {

// The machine's peak.
double multiply_adds(std::int64_t rounds, float* sink) {
  constexpr int chains = 12;
  Vector sum[chains];
  GANYMEDE_UNROLL
  for (int i = 0; i < chains; ++i) sum[i] = broadcast(static_cast<float>(i));
  const Vector factor = broadcast(0.999F);
  const Vector term = broadcast(0.001F);
  for (std::int64_t round = 0; round < rounds; ++round) {
    GANYMEDE_UNROLL
    for (int i = 0; i < chains; ++i) accumulate(factor, term, sum[i]);
  }
  Vector total = sum[0];
  GANYMEDE_UNROLL
  for (int i = 1; i < chains; ++i) total += sum[i];
  *sink = total[0];
  return 2.0 * lanes * chains * static_cast<double>(rounds);
}

}  // namespace

extern const Kernels GANYMEDE_KERNELS = {
    affine_forward,
    affine_tangent,
    affine_backward_data,
    affine_backward_weights,
    bias_gradient,
    pack_filters,
    convolve,
    convolution_weights,
    window_products,
    window_gradients,
    winograd_filters,
    winograd_convolve,
    winograd_transform,
    winograd_multiply,
    winograd_gradients,
    batch_norm_sums,
    batch_norm_forward,
    batch_norm_backward_data,
    loss,
    gradient_penalty,
    combine_rows,
    from_fixed_point,
    add_to,
    sum_of_squares,
    optimizer_update,
    exponential_average,
    row_dots,
    column_sums,
    divide,
    take_rank_one,
    draw_mask,
    apply_mask,
    append_class,
    append_class_backward,
    draw_noise<NormalNoise>,
    draw_noise<UniformNoise>,
    add_noise,
    interpolate,
    gather_images,
    multiply_adds,
};

}  // namespace ganymede::cpu
