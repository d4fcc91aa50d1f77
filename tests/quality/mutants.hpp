// The usual ways to break the training of a GAN, each as a device on which one operation goes wrong. They
// read and write the device's memory, so they stand on the CPU's.
#pragma once

#include <algorithm>
#include <vector>

#include "forwarding_device.hpp"

namespace ganymede::quality {

/// D is never updated: the optimiser does nothing to a buffer of D's size.
class FrozenDiscriminator final : public ForwardingDevice {
 public:
  FrozenDiscriminator(Device& to, std::size_t discriminator_parameters)
      : ForwardingDevice(to), frozen_(discriminator_parameters) {}
  void optimizer_update(const OptimizerUpdate& args) override {
    if (args.count != frozen_) ForwardingDevice::optimizer_update(args);
  }

 private:
  std::size_t frozen_;
};

/// What G gets from D has the wrong sign: G goes where D says "fake".
class WrongSign final : public ForwardingDevice {
 public:
  using ForwardingDevice::ForwardingDevice;
  void generator_loss(GanLoss loss, const BatchLayout& layout, const float* logits, float scale, float* seed,
                      bool accumulate, SumTarget sums) override {
    ForwardingDevice::generator_loss(loss, layout, logits, scale, seed, accumulate, sums);
    std::for_each(seed, seed + layout.total_rows(), [](float& s) { s = -s; });
  }
};

/// Every step draws the z of the first.
class ReusedNoise final : public ForwardingDevice {
 public:
  using ForwardingDevice::ForwardingDevice;
  void draw_normal(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns,
                   float* out) override {
    ForwardingDevice::draw_normal(seed, stream, {&first_, first.per_step, first.offset}, rows, columns, out);
  }

 private:
  const std::uint64_t first_ = 0;
};

/// D is told that real images are fake and fakes real.
class SwappedLabels final : public ForwardingDevice {
 public:
  using ForwardingDevice::ForwardingDevice;
  void discriminator_loss(GanLoss loss, const BatchLayout& layout, PenaltyParts penalised, const float* logits,
                          float scale, float* seed, float* row_scale, bool accumulate, SumTarget sums) override {
    std::vector<float> swapped(logits, logits + layout.total_rows());
    std::rotate(swapped.begin(), swapped.begin() + layout.rows, swapped.end());
    ForwardingDevice::discriminator_loss(loss, layout, {}, swapped.data(), scale, seed, nullptr, accumulate, sums);
    std::rotate(seed, seed + layout.rows, seed + layout.total_rows());
    if (!penalised.real) return;
    std::fill(std::copy(seed, seed + layout.rows, row_scale), row_scale + layout.total_rows(), 1.0F);
    std::fill(seed, seed + layout.rows, 1.0F);
  }
};

}  // namespace ganymede::quality
