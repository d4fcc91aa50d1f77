// RMSprop (Hinton 2012) as PyTorch's torch.optim.RMSprop has it, uncentred and without momentum: ε is added to the
// root.
#pragma once

#include "math/optimizer/rule.hpp"

namespace ganymede::math {

struct RmsProp {
  static constexpr const char* name = "rmsprop";
  static constexpr const char* states[] = {"v"};
  static constexpr UsedConstant constants[] = {{"α", &OptimizerConstants::rmsprop_decay},
                                               {"ε", &OptimizerConstants::epsilon}};
  static constexpr bool decays_weights = false;

  static constexpr int factors = 1;
  GANYMEDE_MATH static double factor(int, const OptimizerConstants&, double rate, std::uint64_t) { return rate; }
  GANYMEDE_MATH static void update(const OptimizerConstants& c, const float* factor, float g, float& p, float* state) {
    state[0] = static_cast<float>(c.rmsprop_decay) * state[0] + static_cast<float>(1 - c.rmsprop_decay) * g * g;
    p -= factor[0] * (g / (square_root(state[0]) + static_cast<float>(c.epsilon)));
  }
};

}  // namespace ganymede::math
