// See gradient_sum.hpp.
#include "gan/gradient_sum.hpp"

#include "math/fixed_point.hpp"

namespace ganymede {

GradientSum::GradientSum(Device& device, Communicator& ranks, std::size_t parameters, std::size_t extras, bool exact)
    : device_(&device), parameters_(parameters), extras_(extras), squared_norm_(device, 1) {
  if (exact) {
    fixed_ = ranks.make_fixed_reduction(parameters + extras + 1);
    converted_ = DeviceArray<float>(device, parameters + extras);
  } else {
    floats_ = ranks.make_float_reduction(parameters + extras);
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

void GradientSum::set_extra(std::size_t slot, bool value) {
  if (fixed_) {
    const std::int64_t number = value ? math::to_fixed_point(1.0F) : 0;
    device_->upload(fixed_->data() + parameters_ + slot, &number, sizeof number);
  } else {
    const float number = value ? 1.0F : 0.0F;
    device_->upload(floats_->data() + parameters_ + slot, &number, sizeof number);
  }
}

void GradientSum::start() {
  if (fixed_)
    fixed_->start();
  else
    floats_->start();
}

void GradientSum::finish() {
  if (fixed_) {
    fixed_->finish();
    const std::size_t count = parameters_ + extras_;
    device_->from_fixed_point(count, fixed_->sum(), fixed_->sum() + count, converted_.data());
  } else {
    floats_->finish();
  }
  device_->sum_of_squares(parameters_, values(), squared_norm_.data());
}

const float* GradientSum::values() const { return fixed_ ? converted_.data() : floats_->sum(); }

}  // namespace ganymede
