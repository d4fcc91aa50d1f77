// An optimiser over a network's flat parameter buffer: one of those in src/math/optimizer/ and its state.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ganymede/device.hpp"

namespace ganymede {

std::vector<std::string> optimizer_names();
std::vector<std::string> schedule_names();

/// Index in math::Schedules; throws Error(usage) naming the known ones.
int schedule_index(const std::string& name);
/// Whether learning rates change by it.
bool schedule_falls(const std::string& name);

class Optimizer {
 public:
  /// For `count` parameters. Throws Error(usage) for an unknown name, naming the known ones.
  Optimizer(const std::string& name, const OptimizerConstants& constants, Device& device, std::size_t count);

  /// One update of all parameters, and of their average. `updates` counts those before this one; nothing changes
  /// when *squared_norm (device) is not finite.
  void update(StepCount updates, const double* squared_norm, const float* gradient, float* parameters,
              MovingAverage average);

  /// A flat buffer of the parameters' layout that a checkpoint must hold.
  struct State {
    const char* name;
    DeviceArray<float> values;
  };
  [[nodiscard]] std::vector<State>& state() { return state_; }

  [[nodiscard]] const OptimizerConstants& constants() const { return constants_; }
  /// From the next update on, but for updates in a Routine that a GPU has recorded before.
  void scale_learning_rate(double factor) { constants_.learning_rate *= factor; }
  /// Those that only some optimisers have and this one uses, as people write them.
  [[nodiscard]] std::vector<std::pair<std::string, double>> own_constants() const;

 private:
  Device* device_;
  int index_;
  OptimizerConstants constants_;
  std::size_t count_;
  std::vector<State> state_;
};

}  // namespace ganymede
