// Looks optimisers and schedules up in the lists that every backend dispatches on, and holds their state.
#include "nn/optimizer.hpp"

#include "core/names.hpp"
#include "math/optimizer/optimizers.hpp"

namespace ganymede {

std::vector<std::string> optimizer_names() { return names_of<math::Optimizers>(); }
std::vector<std::string> schedule_names() { return names_of<math::Schedules>(); }
int schedule_index(const std::string& name) { return index_of<math::Schedules>("schedule", name); }
bool schedule_falls(const std::string& name) { return schedule_index(name) != Schedule{}.kind; }

Optimizer::Optimizer(const std::string& name, const OptimizerConstants& constants, Device& device, std::size_t count)
    : device_(&device), index_(index_of<math::Optimizers>("optimiser", name)), constants_(constants), count_(count) {
  math::Optimizers::visit(index_, [&](auto rule) {
    static_assert(math::state_count<decltype(rule)> <= std::tuple_size_v<decltype(OptimizerUpdate::state)>);
    for (const char* state : decltype(rule)::states) state_.push_back({state, DeviceArray<float>(device, count)});
  });
}

void Optimizer::update(StepCount updates, const double* squared_norm, const float* gradient, float* parameters,
                       MovingAverage average) {
  OptimizerUpdate args{index_, constants_, updates, count_, squared_norm, gradient, parameters, {}, average};
  for (std::size_t i = 0; i < state_.size(); ++i) args.state[i] = state_[i].values.data();
  device_->optimizer_update(args);
}

std::vector<std::pair<std::string, double>> Optimizer::own_constants() const {
  std::vector<std::pair<std::string, double>> result;
  math::Optimizers::visit(index_, [&](auto rule) {
    for (const math::UsedConstant& constant : decltype(rule)::constants)
      result.emplace_back(constant.name, constants_.*constant.value);
  });
  return result;
}

}  // namespace ganymede
