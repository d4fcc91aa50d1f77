// The gradient penalties: functions P of ‖g‖², g = ∇ₓD(x), for one sample. To add one: write its struct here and name
// it in `Penalties`; src/gan/gradient_penalty.cpp says which option asks for it and on which images.
#pragma once

#include "math/functions.hpp"
#include "math/type_list.hpp"

namespace ganymede::math {

/// R1 and R2 (Mescheder, Geiger, Nowozin 2018): ½‖g‖².
struct SquaredNorm {
  static constexpr const char* name = "squared-norm";
  GANYMEDE_MATH static double value(double squared) { return 0.5 * squared; }
  /// ∂P/∂g = factor · g.
  GANYMEDE_MATH static float factor(float /*squared*/) { return 1.0F; }
};

/// WGAN-GP (Gulrajani et al. 2017): (‖g‖ − 1)², with ‖g‖ = √(‖g‖² + 1e-12), whose derivative exists at 0.
struct UnitNorm {
  static constexpr const char* name = "unit-norm";
  GANYMEDE_MATH static double value(double squared) {
    const double above = square_root(squared + 1e-12) - 1.0;
    return above * above;
  }
  GANYMEDE_MATH static float factor(float squared) { return 2.0F - 2.0F / square_root(squared + 1e-12F); }
};

using Penalties = TypeList<SquaredNorm, UnitNorm>;

}  // namespace ganymede::math
