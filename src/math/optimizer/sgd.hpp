// Stochastic gradient descent with momentum as PyTorch's torch.optim.SGD has it: m ← μ·m + g, p ← p - η·m.
#pragma once

#include "math/optimizer/rule.hpp"

namespace ganymede::math {

struct Sgd {
  static constexpr const char* name = "sgd";
  static constexpr const char* states[] = {"m"};
  static constexpr UsedConstant constants[] = {{"momentum", &OptimizerConstants::momentum}};
  static constexpr bool decays_weights = false;

  static constexpr int factors = 1;
  GANYMEDE_MATH static double factor(int, const OptimizerConstants&, double rate, std::uint64_t) { return rate; }
  GANYMEDE_MATH static void update(const OptimizerConstants& c, const float* factor, float g, float& p, float* state) {
    state[0] = static_cast<float>(c.momentum) * state[0] + g;
    p -= factor[0] * state[0];
  }
};

}  // namespace ganymede::math
