// See gradient_sum.hpp.
#include "gan/gradient_sum.hpp"

namespace ganymede {

GradientSum::GradientSum(Communicator& ranks, Network& network, std::size_t extras, int per_step, bool exact)
    : device_(&network.device()),
      network_(&network),
      parameters_(network.parameter_count()),
      extras_(extras),
      squared_norms_(*device_, static_cast<std::size_t>(per_step)) {
  if (exact) {
    fixed_ = device_->make_reduction<std::int64_t>(ranks, parameters_ + extras + 1);
    converted_ = DeviceArray<float>(*device_, parameters_ + extras);
  } else {
    floats_ = device_->make_reduction<float>(ranks, parameters_ + extras);
  }
}

void GradientSum::begin() {
  // Gradients and sums overwrite; the overflow count alone adds up.
  if (fixed_) device_->zero(fixed_->data() + parameters_ + extras_, sizeof(std::int64_t));
}

SumTarget GradientSum::gradient() {
  if (fixed_) return {nullptr, fixed_->data(), fixed_->data() + parameters_ + extras_};
  return {floats_->data(), nullptr, nullptr};
}

void GradientSum::start() {
  if (fixed_)
    fixed_->start();
  else
    floats_->start();
}

void GradientSum::finish(int repetition) {
  if (fixed_) {
    fixed_->finish();
    const std::size_t count = parameters_ + extras_;
    device_->from_fixed_point(count, fixed_->sum(), fixed_->sum() + count, converted_.data());
  } else {
    floats_->finish();
  }
  parameter_gradient_ = network_->parameter_gradient(sum());
  device_->sum_of_squares(parameters_, values(), squared_norms_.data() + repetition);
}

std::vector<float> GradientSum::host() const {
  std::vector<float> copy(parameters_);
  if (values() != nullptr) device_->download(copy.data(), values(), copy.size() * sizeof(float));
  return copy;
}

const float* GradientSum::sum() const { return fixed_ ? converted_.data() : floats_->sum(); }

}  // namespace ganymede
