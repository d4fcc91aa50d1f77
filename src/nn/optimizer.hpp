// Optimisers over a network's flat parameter buffer. To add one: a file in src/nn/optimizer/ with a class
// and a make_… function, and its name in optimizer.cpp.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ganymede/device.hpp"

namespace ganymede {

struct OptimizerConstants {
  double learning_rate = 0;
  double beta1 = 0;
  double beta2 = 0;
  double epsilon = 0;
};

class Optimizer {
 public:
  Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  virtual ~Optimizer() = default;

  /// One update of all parameters, and of their average. `updates` counts those before this one; nothing changes
  /// when *squared_norm (device) is not finite.
  virtual void update(StepCount updates, const double* squared_norm, const float* gradient, float* parameters,
                      MovingAverage average) = 0;

  /// A flat buffer of the parameters' layout that a checkpoint must hold.
  struct State {
    const char* name;
    DeviceArray<float>* values;
  };
  [[nodiscard]] virtual std::vector<State> state() = 0;
};

/// `name` is one of the option's; `count` parameters.
std::unique_ptr<Optimizer> make_optimizer(const std::string& name, const OptimizerConstants& constants, Device& device,
                                          std::size_t count);

/// Kingma and Ba 2015.
std::unique_ptr<Optimizer> make_adam(const OptimizerConstants& constants, Device& device, std::size_t count);

}  // namespace ganymede
