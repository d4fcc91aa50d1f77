// Adam (Kingma and Ba 2015, algorithm 1, with bias correction). PyTorch's order of operations (torch.optim.Adam), but
// for the division by √(1-β₂ᵗ), a multiplication here.
#pragma once

#include "math/optimizer/rule.hpp"

namespace ganymede::math {

struct Adam {
  static constexpr const char* name = "adam";
  static constexpr const char* states[] = {"m", "v"};
  static constexpr UsedConstant constants[] = {
      {"β₁", &OptimizerConstants::beta1}, {"β₂", &OptimizerConstants::beta2}, {"ε", &OptimizerConstants::epsilon}};
  static constexpr bool decays_weights = false;

  static constexpr int factors = 2;
  GANYMEDE_MATH static double factor(int place, const OptimizerConstants& c, double rate, std::uint64_t t) {
    const double rest = 1 - power(place == 0 ? c.beta1 : c.beta2, t);
    return place == 0 ? rate / rest : 1 / square_root(rest);
  }
  GANYMEDE_MATH static void update(const OptimizerConstants& c, const float* factor, float g, float& p, float* state) {
    const float m = static_cast<float>(c.beta1) * state[0] + static_cast<float>(1 - c.beta1) * g;
    const float v = static_cast<float>(c.beta2) * state[1] + static_cast<float>(1 - c.beta2) * g * g;
    const float denominator = square_root(v) * factor[1] + static_cast<float>(c.epsilon);
    state[0] = m;
    state[1] = v;
    p -= factor[0] * (m / denominator);
  }
};

}  // namespace ganymede::math
