// The activations and their slopes in double: what layers' passes are compared with, on the CPU and in CUDA kernels.
// A new one belongs into value_of and slope_of.
#pragma once

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/names.hpp"
#include "ganymede/device.hpp"
#include "math/activation/activations.hpp"

namespace ganymede::testing {

/// All of them.
inline const std::vector<Activation> activations = [] {
  std::vector<Activation> all;
  for (const std::string& name : names_of<math::Activations>())
    all.push_back(Activation::named(name, name == "leaky-relu" ? 0.2F : 0.0F));
  return all;
}();

[[noreturn]] inline void throw_unknown_activation(const std::string& name) {
  throw std::invalid_argument("the tests have no activation " + name +
                              " in double: add it to tests/support/activations.hpp");
}

/// σ(a), in double; `leak` is that of leaky-relu.
inline double value_of(const std::string& name, double leak, double a) {
  if (name == "identity") return a;
  if (name == "relu") return a > 0 ? a : 0;
  if (name == "leaky-relu") return a > 0 ? a : leak * a;
  if (name == "sigmoid") return 1 / (1 + std::exp(-a));
  if (name == "tanh") return std::tanh(a);
  throw_unknown_activation(name);
}

/// σ'(a) by σ's value h, in double.
inline double slope_of(const std::string& name, double leak, double h) {
  if (name == "identity") return 1;
  if (name == "relu") return h > 0 ? 1 : 0;
  if (name == "leaky-relu") return h > 0 ? 1 : leak;
  if (name == "sigmoid") return h * (1 - h);
  if (name == "tanh") return 1 - h * h;
  throw_unknown_activation(name);
}

inline double value_of(const Activation& sigma, double a) {
  return value_of(sigma.name(), static_cast<double>(sigma.parameter), a);
}
inline double slope_of(const Activation& sigma, double h) {
  return slope_of(sigma.name(), static_cast<double>(sigma.parameter), h);
}

}  // namespace ganymede::testing
