// Adam (Kingma and Ba 2015, algorithm 1).
#include "nn/optimizer.hpp"

namespace ganymede {
namespace {

class Adam final : public Optimizer {
 public:
  Adam(const OptimizerConstants& c, Device& device, std::size_t count)
      : device_(&device),
        constants_{c.learning_rate, c.beta1, c.beta2, c.epsilon},
        m_(device, count),
        v_(device, count) {}

  void update(StepCount updates, const double* squared_norm, const float* gradient, float* parameters,
              MovingAverage average) override {
    device_->adam(m_.size(), constants_, updates, squared_norm, gradient, parameters, m_.data(), v_.data(), average);
  }
  [[nodiscard]] std::vector<State> state() override { return {{"m", &m_}, {"v", &v_}}; }

 private:
  Device* device_;
  AdamConstants constants_;
  DeviceArray<float> m_;
  DeviceArray<float> v_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adam(const OptimizerConstants& constants, Device& device, std::size_t count) {
  return std::make_unique<Adam>(constants, device, count);
}

}  // namespace ganymede
