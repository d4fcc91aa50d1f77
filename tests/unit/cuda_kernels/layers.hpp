// What the tests of the layers' kernels share: activations in double, rows of a batch, shards of it.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "ganymede/device.hpp"
#include "unit/cuda_kernels/memory.hpp"

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

/// Rows first … last-1.
inline Values slice(const Values& values, int columns, int first, int last) {
  return {values.begin() + static_cast<std::ptrdiff_t>(area(first, columns)),
          values.begin() + static_cast<std::ptrdiff_t>(area(last, columns))};
}

/// `rows` per part cut into up to `count` uneven shards, some of them empty.
inline std::vector<int> cuts(int rows, int count) {
  std::vector<int> begin = {0};
  for (int s = 1; s < count; ++s) begin.push_back(std::clamp(rows * s / count + s % 3, begin.back(), rows));
  begin.push_back(rows);
  return begin;
}

}  // namespace ganymede::testing
