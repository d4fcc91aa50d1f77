// The activations and their slopes in double: what layers' passes are compared with, on the CPU and in CUDA kernels.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "ganymede/device.hpp"

namespace ganymede::testing {

inline const std::vector<Activation> activations = {Activation::named("identity"), Activation::named("relu"),
                                                    Activation::named("leaky-relu", 0.2F), Activation::named("sigmoid"),
                                                    Activation::named("tanh")};

/// σ(a) and σ'(a), the latter by σ's value h, in double.
inline double value_of(const Activation& sigma, double a) {
  const std::string name = sigma.name();
  if (name == "relu") return a > 0 ? a : 0;
  if (name == "leaky-relu") return a > 0 ? a : static_cast<double>(sigma.parameter) * a;
  if (name == "sigmoid") return 1 / (1 + std::exp(-a));
  if (name == "tanh") return std::tanh(a);
  return a;
}

inline double slope_of(const Activation& sigma, double h) {
  const std::string name = sigma.name();
  if (name == "relu") return h > 0 ? 1 : 0;
  if (name == "leaky-relu") return h > 0 ? 1 : static_cast<double>(sigma.parameter);
  if (name == "sigmoid") return h * (1 - h);
  if (name == "tanh") return 1 - h * h;
  return 1;
}

}  // namespace ganymede::testing
