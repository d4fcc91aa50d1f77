// What a loss gives for one pair of logits.
#pragma once

namespace ganymede::math {

/// The loss of one pair (real logit r, fake logit f) and its derivatives. The loss of a batch is the mean
/// over its pairs.
struct LossTerm {
  float value;
  float d_real;  ///< ∂value/∂r
  float d_fake;  ///< ∂value/∂f
};

}  // namespace ganymede::math
