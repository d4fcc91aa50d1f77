// Where one network's gradient is summed: over the rows of the batch, over shards, over ranks. Behind the
// gradient, in the same buffer and so in the same all-reduce, a few more sums travel (losses, counts, flags).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ganymede/communicator.hpp"
#include "ganymede/device.hpp"
#include "ganymede/network.hpp"

namespace ganymede {

class GradientSum {
 public:
  /// The network's gradient and `extras` further sums, `per_step` times in a step; `exact`: in fixed point. The network
  /// must outlive the sum.
  GradientSum(Communicator& ranks, Network& network, std::size_t extras, int per_step, bool exact);

  /// Begins a sum: clears what is not overwritten.
  void begin();
  /// Where this rank's part of the gradient goes.
  [[nodiscard]] SumTarget gradient();
  /// Where its part of extra sum number `slot` goes.
  [[nodiscard]] SumTarget extra(std::size_t slot) { return gradient().at(parameters_ + slot); }

  /// Begins the sum over ranks; what has been written so far is final.
  void start();
  /// Completes the step's sum number `repetition`: values() and squared_norm() then hold the same bits on every rank.
  void finish(int repetition);

  /// The summed gradient of the network's parameters; NaN throughout where fixed point overflowed.
  [[nodiscard]] const float* values() const { return parameter_gradient_; }
  /// A copy of it; zeros before the first sum.
  [[nodiscard]] std::vector<float> host() const;
  [[nodiscard]] const float* extras() const { return sum() + parameters_; }
  /// ‖gradient‖² of each of the step's sums, on the device: not finite says that no update must be made from it.
  [[nodiscard]] const double* squared_norm(int repetition) const { return squared_norms_.data() + repetition; }

 private:
  // Of all ranks: with respect to what the network's passes work with, then the extras.
  [[nodiscard]] const float* sum() const;

  Device* device_;
  Network* network_;
  std::size_t parameters_;
  std::size_t extras_;
  std::unique_ptr<Reduction<float>> floats_;        // by default
  std::unique_ptr<Reduction<std::int64_t>> fixed_;  // exact: gradient, extras, overflow count
  DeviceArray<float> converted_;
  const float* parameter_gradient_ = nullptr;
  DeviceArray<double> squared_norms_;  // [per_step]
};

}  // namespace ganymede
