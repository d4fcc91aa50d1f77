// What optimisers are told, as plain data. In double, so that 1 - β is what was asked for.
#pragma once

#include <cstdint>

namespace ganymede {

/// How the learning rate falls over a training: after the last of `updates` it is `end` times what it was until the
/// fraction `start` of them.
struct Schedule {
  int kind = 0;  ///< index into the list of schedules (constant, linear, cosine)
  double start = 0;
  double end = 0;
  std::uint64_t updates = 0;  ///< of the network in the whole training; more than 0, but for the constant one
};

/// The constants of all optimisers; each uses some (src/math/optimizer/).
struct OptimizerConstants {
  double learning_rate = 2e-4;
  double momentum = 0;
  double beta1 = 0.5;
  double beta2 = 0.999;
  double rmsprop_decay = 0.99;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double clip_gradient = 0;  ///< the most that the gradient's norm may be; 0: as it is
  double clip_weights = 0;   ///< the most that a weight's magnitude may be; 0: as it is
  Schedule schedule;
};

}  // namespace ganymede
