// What a loss gives for one pair of logits.
#pragma once

#include "math/portable.hpp"

namespace ganymede::math {

/// The loss of one pair (real logit r, fake logit f) and its derivatives. The loss of a batch is the mean
/// over its pairs.
struct LossTerm {
  float value;
  float d_real;  ///< ∂value/∂r
  float d_fake;  ///< ∂value/∂f
};

/// What most losses are; each names what is otherwise.
struct LossTraits {
  /// G's loss depends on D(real): its step then shows D real images too.
  static constexpr bool generator_sees_real = false;
  /// Real images have a target that one-sided label smoothing can lower by its `smoothing` (Salimans et al. 2016).
  static constexpr bool has_target = false;
  /// D can make it as small as it likes by growing alone, so that something else has to bound D.
  static constexpr bool unbounded = false;
  /// Its value, taken negative, estimates a distance between real and generated images, where D is kept Lipschitz.
  static constexpr bool estimates_distance = false;
  /// It is a function of the difference r - f alone.
  static constexpr bool of_differences = false;
  /// Whether D is right about the real and the generated image of a pair: by the sign of its logits.
  GANYMEDE_MATH static bool right_on_real(float r, float /*f*/) { return r > 0.0F; }
  GANYMEDE_MATH static bool right_on_fake(float /*r*/, float f) { return f < 0.0F; }
};

/// Losses of D's output on real images less that on generated ones: alone, an output says nothing.
struct DifferenceTraits : LossTraits {
  static constexpr bool of_differences = true;
  GANYMEDE_MATH static bool right_on_real(float r, float f) { return r > f; }
  GANYMEDE_MATH static bool right_on_fake(float r, float f) { return r > f; }
};

}  // namespace ganymede::math
