// Where one network's gradient is summed: over the rows of the batch, over shards, over ranks. Behind the
// gradient, in the same buffer and so in the same all-reduce, a few more sums travel (losses, counts, flags).
#pragma once

#include <cstdint>
#include <memory>

#include "ganymede/communicator.hpp"
#include "ganymede/device.hpp"

namespace ganymede {

class GradientSum {
 public:
  /// `parameters` gradient elements and `extras` further sums; `exact`: in fixed point.
  GradientSum(Device& device, Communicator& ranks, std::size_t parameters, std::size_t extras, bool exact);

  /// Begins a step: clears what is not overwritten.
  void begin();
  /// Where this rank's part of the gradient goes.
  [[nodiscard]] SumTarget gradient();
  /// Where its part of extra sum number `slot` goes.
  [[nodiscard]] SumTarget extra(std::size_t slot) { return gradient().at(parameters_ + slot); }
  /// Sets an extra sum from the host: 0 or 1.
  void set_extra(std::size_t slot, bool value);

  /// Begins the sum over ranks; what has been written so far is final.
  void start();
  /// Completes it: values() and squared_norm() then hold the same bits on every rank.
  void finish();

  /// The summed gradient (parameters elements), then the extras; NaN throughout where fixed point overflowed.
  [[nodiscard]] const float* values() const;
  [[nodiscard]] const float* extras() const { return values() + parameters_; }
  /// ‖gradient‖², on the device: not finite says that no update must be made from it.
  [[nodiscard]] const double* squared_norm() const { return squared_norm_.data(); }

 private:
  Device* device_;
  std::size_t parameters_;
  std::size_t extras_;
  std::unique_ptr<Reduction<float>> floats_;        // by default
  std::unique_ptr<Reduction<std::int64_t>> fixed_;  // exact: gradient, extras, overflow count
  DeviceArray<float> converted_;
  DeviceArray<double> squared_norm_;
};

}  // namespace ganymede
