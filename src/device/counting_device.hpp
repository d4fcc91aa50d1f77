// A device that computes nothing and has no memory, and knows how much of it was asked for: what is built on it says
// what the same would take elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "ganymede/device.hpp"

namespace ganymede {

class CountingDevice final : public Device {
 public:
  /// `is_host`: of the device that is meant.
  explicit CountingDevice(bool is_host) : is_host_(is_host) {}

  /// Bytes that are allocated now, those of reductions included.
  [[nodiscard]] std::size_t bytes() const { return arrays_ + sums_; }
  /// Of those, the arrays that reductions have summed.
  [[nodiscard]] std::size_t sums() const { return sums_; }

  std::string description() const override { return "none"; }
  std::string arithmetic() const override { return "none"; }
  /// An address at which nothing is.
  void* allocate(std::size_t bytes) override;
  void release(void* pointer) noexcept override;
  std::size_t available_memory() const override { return 0; }
  bool is_host() const override { return is_host_; }
  void* allocate_host(std::size_t bytes) override;
  void release_host(void* pointer) noexcept override;
  int steps_ahead() const override { return 0; }
  std::unique_ptr<Routine> make_routine(std::function<void()> enqueue) override;

  void upload(void*, const void*, std::size_t) override {}
  void download(void*, const void*, std::size_t) override {}
  void copy(void*, const void*, std::size_t) override {}
  void zero(void*, std::size_t) override {}
  void synchronize() override {}
  void mark(int) override {}
  void await(int) override {}
  void enter(const char*) override {}
  void affine_forward(int, int, int, const float*, const float*, const float*, Activation, float*) override {}
  void affine_tangent(int, int, int, const float*, const float*, Activation, const float*, float*) override {}
  void affine_backward_data(int, int, int, const float*, const float*, Activation, const float*, float*) override {}
  void affine_gradients(const BatchLayout&, int, int, const float*, const float*, const float*, bool, SumTarget,
                        SumTarget) override {}
  void convolve(const Convolution&, int, const float*, const float*, const Finish&, float*) override {}
  void convolve_transposed(const Convolution&, int, const float*, const float*, const Finish&, float*) override {}
  void convolution_gradients(const BatchLayout&, const Convolution&, const float*, const float*, bool,
                             SumTarget) override {}
  void channel_gradients(const BatchLayout&, int, int, const float*, const float*, bool, SumTarget) override {}
  void batch_norm_moments(const BatchLayout&, const BatchNorm&, const float*, std::int64_t*) override {}
  void batch_norm_statistics(int, const BatchNorm&, const std::int64_t*, float*, float*) override {}
  void batch_norm_frozen(const BatchNorm&, const float*, float*) override {}
  void batch_norm_forward(const BatchLayout&, const BatchNorm&, const float*, const float*, const float*, const float*,
                          Activation, float*) override {}
  void batch_norm_adjoints(const BatchLayout&, const BatchNorm&, const float*, const float*, const float*,
                           std::int64_t*) override {}
  void batch_norm_gradients(int, const BatchNorm&, const std::int64_t*, bool, SumTarget, SumTarget) override {}
  void batch_norm_backward_data(const BatchLayout&, const BatchNorm&, const float*, const float*, const float*,
                                const float*, const std::int64_t*, Activation, float*) override {}
  void spectral_iteration(const SpectralMatrix&) override {}
  void spectral_normalise(const SpectralMatrix&) override {}
  void spectral_gradient(const SpectralMatrix&, const float*, float*) override {}
  void append_class(int, int, int, int, const std::uint8_t*, const float*, float*) override {}
  void append_class_backward(int, int, int, int, const float*, Activation, const float*, float*) override {}
  void class_score(int, int, const std::uint8_t*, const float*, float*) override {}
  void class_score_backward(int, int, const std::uint8_t*, const float*, float*) override {}
  void draw_mask(const MaskDraw&, int, int, double, std::uint8_t*) override {}
  void apply_mask(std::size_t, const std::uint8_t*, float, const float*, Activation, const float*, float*) override {}
  void discriminator_loss(GanLoss, const BatchLayout&, PenaltyParts, const float*, float, float*, float*, bool,
                          SumTarget) override {}
  void generator_loss(GanLoss, const BatchLayout&, const float*, float, float*, bool, SumTarget) override {}
  void gradient_penalty(int, const BatchLayout&, int, const float*, float, float*, SumTarget) override {}
  void combine_rows(int, int, const float*, const float*, float*) override {}
  void from_fixed_point(std::size_t, const std::int64_t*, const std::int64_t*, float*) override {}
  void add_to(std::size_t, const float*, double*) override {}
  void sum_of_squares(std::size_t, const float*, double*) override {}
  void optimizer_update(const OptimizerUpdate&) override {}
  void end_step(const StepEnd&) override {}
  void flag_to_sum(const std::uint32_t*, SumTarget) override {}
  void draw_normal(std::uint64_t, std::uint32_t, StepCount, int, int, float*) override {}
  void draw_uniform(std::uint64_t, std::uint32_t, StepCount, int, int, float*) override {}
  void add_noise(std::uint64_t, std::uint32_t, StepCount, const FallingDeviation&, int, int, const float*,
                 float*) override {}
  void interpolate(std::uint64_t, std::uint32_t, StepCount, int, int, const float*, const float*, float*) override {}
  void gather_images(std::uint64_t, StepCount, const std::uint8_t*, std::uint32_t, int, int, int, float*) override {}
  void gather_labels(std::uint64_t, StepCount, const std::uint8_t*, std::uint32_t, int, std::uint8_t*) override {}

 private:
  template <class T>
  class CountedReduction;

  std::unique_ptr<Reduction<float>> make_float_reduction(Communicator& ranks, std::size_t count) override;
  std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(Communicator& ranks, std::size_t count) override;

  bool is_host_;
  std::size_t arrays_ = 0;
  std::size_t sums_ = 0;
  std::uintptr_t next_ = std::uintptr_t{1} << 56U;  // no process has memory there
  std::map<void*, std::size_t> sizes_;
};

}  // namespace ganymede
