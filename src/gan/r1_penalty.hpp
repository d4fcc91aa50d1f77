// The R1 penalty γ/2 · E_real ‖∇ₓD(x)‖² (Mescheder, Geiger, Nowozin 2018) with its exact gradient and
// without second-order autograd: for a D made of affine maps and piecewise linear activations the penalty's
// gradient is one tangent pass and one weight gradient.
//
// With unit seeds, δ_l = ∂D(x)/∂a_l and g = ∂D(x)/∂x. Along v = (γ/B)·g the directional derivative of D is
// vᵀg, whose tangents are t_0 = v, t_l = m_l ⊙ W_l t_{l-1}; with v and the slopes m_l held fixed its
// gradient is ∇W_l = Σ_i δ_{i,l} t_{i,l-1}ᵀ, and none for the biases. The loss itself has the gradient
// Σ_i s_i δ_{i,l} h_{i,l-1}ᵀ with s_i = ∂L/∂D_i. Both share δ, so one weight-gradient pass over
// s_i h_{i,l-1} + t_{i,l-1} serves the two.
#pragma once

#include "ganymede/network.hpp"

namespace ganymede {

class R1Penalty {
 public:
  /// For `rows` real images on this rank out of `batch` in all; `gamma` is γ.
  R1Penalty(const Network& discriminator, int rows, double gamma, int batch);

  /// Where Device::discriminator_loss() puts the seeds s of the real rows, leaving unit seeds in their place; D's
  /// bias gradients weigh rows by it: s for real rows, 1 for fake ones.
  [[nodiscard]] float* row_scale() { return row_scale_.data(); }
  /// After D's backward pass: adds the penalty to *value and turns the real rows of x and of the tape's
  /// outputs into s·h + t. `real` is the layout of the real rows alone.
  void apply(const BatchLayout& real, float* x, Tape& tape, SumTarget value);

 private:
  const Network* discriminator_;
  int rows_;
  float coefficient_;
  DeviceArray<float> row_scale_;       // [2·rows]
  DeviceArray<float> input_gradient_;  // [rows, inputs]
};

}  // namespace ganymede
