// Adam with decoupled weight decay (Loshchilov and Hutter 2019), in PyTorch's order (torch.optim.AdamW): weights decay
// first.
#pragma once

#include "math/optimizer/adam.hpp"

namespace ganymede::math {

struct AdamW {
  static constexpr const char* name = "adamw";
  static constexpr const char* states[] = {"m", "v"};
  static constexpr UsedConstant constants[] = {
      {"β₁", &OptimizerConstants::beta1}, {"β₂", &OptimizerConstants::beta2}, {"ε", &OptimizerConstants::epsilon}};
  static constexpr bool decays_weights = true;

  static constexpr int factors = 3;
  GANYMEDE_MATH static double factor(int place, const OptimizerConstants& c, double rate, std::uint64_t t) {
    return place < 2 ? Adam::factor(place, c, rate, t) : 1 - rate * c.weight_decay;
  }
  GANYMEDE_MATH static void update(const OptimizerConstants& c, const float* factor, float g, float& p, float* state) {
    p *= factor[2];
    Adam::update(c, factor, g, p, state);
  }
};

}  // namespace ganymede::math
