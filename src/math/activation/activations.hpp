// The activations, one struct each. To add one: write the struct, name it in `Activations`; the command
// line, the networks and every backend take it from there, and tests/support/activations.hpp needs it in double.
//
// An activation gives its value and its slope σ'(a), the latter as a function of its own output: every
// pass after the forward pass then needs the layer's output alone.
#pragma once

#include "math/functions.hpp"
#include "math/portable.hpp"
#include "math/type_list.hpp"

namespace ganymede::math {

struct Identity {
  static constexpr const char* name = "identity";
  static constexpr bool piecewise_linear = true;
  GANYMEDE_MATH static float value(float a, float) { return a; }
  GANYMEDE_MATH static float slope(float, float) { return 1.0F; }
};

struct Relu {
  static constexpr const char* name = "relu";
  static constexpr bool piecewise_linear = true;
  // Written so that a NaN passes through: hiding it here would hide a broken training.
  GANYMEDE_MATH static float value(float a, float) { return a <= 0.0F ? 0.0F : a; }
  GANYMEDE_MATH static float slope(float h, float) { return h <= 0.0F ? 0.0F : 1.0F; }
};

struct LeakyRelu {
  static constexpr const char* name = "leaky-relu";
  static constexpr bool piecewise_linear = true;
  GANYMEDE_MATH static float value(float a, float leak) { return a <= 0.0F ? leak * a : a; }
  GANYMEDE_MATH static float slope(float h, float leak) { return h <= 0.0F ? leak : 1.0F; }
};

struct Sigmoid {
  static constexpr const char* name = "sigmoid";
  static constexpr bool piecewise_linear = false;
  GANYMEDE_MATH static float value(float a, float) { return sigmoid(a); }
  GANYMEDE_MATH static float slope(float h, float) { return h * (1.0F - h); }
};

struct Tanh {
  static constexpr const char* name = "tanh";
  static constexpr bool piecewise_linear = false;
  GANYMEDE_MATH static float value(float a, float) { return 2.0F * sigmoid(2.0F * a) - 1.0F; }
  GANYMEDE_MATH static float slope(float h, float) { return 1.0F - h * h; }
};

using Activations = TypeList<Identity, Relu, LeakyRelu, Sigmoid, Tanh>;

}  // namespace ganymede::math
