// Gradient penalties, weight · E P(‖∇ₓD(x)‖²), on real images (R1: γ/2·‖∇D‖²; Mescheder, Geiger, Nowozin 2018), on
// generated ones (R2) or on points between them (WGAN-GP: λ(‖∇D‖ − 1)²; Gulrajani et al. 2017), with their exact
// gradient and without second-order autograd: for a D made of affine maps and piecewise linear activations it is one
// tangent pass and one weight gradient.
//
// With unit seeds, δ_l = ∂D(x)/∂a_l and g = ∂D(x)/∂x. Along v = ∂(penalty)/∂g the directional derivative of D is
// vᵀg, whose tangents are t_0 = v, t_l = m_l ⊙ W_l t_{l-1}; with v and the slopes m_l held fixed its
// gradient is ∇W_l = Σ_i δ_{i,l} t_{i,l-1}ᵀ, and none for the biases. The loss itself has the gradient
// Σ_i s_i δ_{i,l} h_{i,l-1}ᵀ with s_i = ∂L/∂D_i. Both share δ, so one weight-gradient pass over
// s_i h_{i,l-1} + t_{i,l-1} serves the two. Points between images have no loss: s_i = 0.
#pragma once

#include <string>
#include <vector>

#include "ganymede/network.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

/// Which part of D's batch.
enum class PenaltyPart { between, real, fake };

/// One penalty that a training asks for.
struct PenaltySpec {
  int penalty;  ///< index in math::Penalties
  PenaltyPart part;
  double weight;
  const char* option;  ///< the option that asks for it
};

/// What --r1, --r2 and --gradient-penalty ask for, in the order of D's parts.
std::vector<PenaltySpec> penalties_of(const TrainOptions& options);
/// Whether that is anything.
bool has_penalties(const TrainOptions& options);

class GradientPenalties {
 public:
  /// For up to `rows` images of each part at a time, out of --batch in all. Weights are multiplied by --penalty-every:
  /// a penalty that is applied now and then counts as much as one in every step.
  GradientPenalties(const Network& discriminator, int rows, const TrainOptions& options);

  [[nodiscard]] PenaltyParts parts() const { return parts_; }
  /// 3 with points between images, else 2.
  [[nodiscard]] int part_count() const { return parts_.between ? 3 : 2; }
  /// Where Device::discriminator_loss() puts the seeds of penalised rows; D's bias gradients weigh rows by it.
  [[nodiscard]] float* row_scale() { return row_scale_.data(); }
  /// After D's backward pass: adds the penalties to `value` and turns the penalised rows of x and of the tape's
  /// outputs into s·h + t. `one` is the layout of a part alone; x and tape begin with the first part.
  void apply(const BatchLayout& one, float* x, Tape& tape, SumTarget value);

 private:
  const Network* discriminator_;
  double share_;  // of the weight that a row of a step has
  std::vector<PenaltySpec> specs_;
  PenaltyParts parts_;
  DeviceArray<float> row_scale_;       // [part_count() · rows]
  DeviceArray<float> input_gradient_;  // [rows, inputs]
};

}  // namespace ganymede
