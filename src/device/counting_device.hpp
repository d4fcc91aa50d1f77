// A device that computes nothing and has no memory, and knows what it was asked for: how many bytes, and which
// operations. What is built and run on it says what the same would take elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "device/operations.hpp"
#include "ganymede/device.hpp"

namespace ganymede {

class CountingDevice final : public Device {
 public:
  /// `is_host`, `rounds`: of the device that is meant.
  CountingDevice(bool is_host, bool rounds) : is_host_(is_host), rounds_(rounds) {}

  /// Bytes that are allocated now, those of reductions included.
  [[nodiscard]] std::size_t bytes() const { return arrays_ + sums_; }
  /// Of those, the arrays that reductions have summed.
  [[nodiscard]] std::size_t sums() const { return sums_; }

  /// What was asked of it since the last call, in order.
  [[nodiscard]] std::vector<Operation> take_operations() { return std::exchange(operations_, {}); }

  std::string description() const override { return "none"; }
  std::string arithmetic() const override { return "none"; }
  double peak_flops() const override { return 0; }
  double peak_bandwidth() const override { return 0; }
  /// An address at which nothing is.
  void* allocate(std::size_t bytes) override;
  void release(void* pointer) noexcept override;
  std::size_t available_memory() const override { return 0; }
  bool is_host() const override { return is_host_; }
  void* allocate_host(std::size_t bytes) override;
  void release_host(void* pointer) noexcept override;
  int steps_ahead() const override { return 0; }
  std::unique_ptr<Routine> make_routine(std::function<void()> enqueue) override;

  void upload(void* to_device, const void* from_host, std::size_t bytes) override;
  void download(void* to_host, const void* from_device, std::size_t bytes) override;
  void fetch(void* to_host, const void* from_device, std::size_t bytes) override;
  void copy(void* to, const void* from, std::size_t bytes) override;
  void zero(void* pointer, std::size_t bytes) override;
  void synchronize() override {}
  void mark(int) override {}
  void await(int) override {}
  void time_from_here() override {}
  void enter(const char* name) override { part_ = name; }
  bool rounds() const override { return rounds_; }
  void round(std::size_t count, const float* from, Bfloat16* to) override;
  void affine_forward(int rows, int in, int out, const float* x, const float* w, const float* b, Activation sigma,
                      float* y, const Rounded& rounded) override;
  void affine_tangent(int rows, int in, int out, const float* tx, const float* w, Activation sigma, const float* y,
                      float* ty, const Rounded& rounded) override;
  void affine_backward_data(int rows, int in, int out, const float* delta, const float* w, Activation below,
                            const float* x, float* delta_in, const Rounded& rounded) override;
  void affine_gradients(const BatchLayout& layout, int in, int out, const float* x, const float* delta,
                        const float* row_scale, bool accumulate, SumTarget dw, SumTarget db,
                        const Rounded& rounded) override;
  void convolve(const Convolution& geometry, int rows, const float* fine, const float* w, const Finish& finish,
                float* coarse, const Rounded& rounded) override;
  void convolve_transposed(const Convolution& geometry, int rows, const float* coarse, const float* w,
                           const Finish& finish, float* fine, const Rounded& rounded) override;
  void convolution_gradients(const BatchLayout& layout, const Convolution& geometry, const float* fine,
                             const float* coarse, bool accumulate, SumTarget dw, const Rounded& rounded) override;
  void channel_gradients(const BatchLayout& layout, int pixels, int channels, const float* delta,
                         const float* row_scale, bool accumulate, SumTarget db) override;
  void batch_norm_moments(const BatchLayout& layout, const BatchNorm& norm, const float* x,
                          std::int64_t* sums) override;
  void batch_norm_statistics(int parts, const BatchNorm& norm, const std::int64_t* moments, float* statistics,
                             float* running) override;
  void batch_norm_frozen(const BatchNorm& norm, const float* running, float* statistics) override;
  void batch_norm_forward(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* statistics,
                          const float* gamma, const float* beta, Activation sigma, float* y) override;
  void batch_norm_adjoints(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                           const float* statistics, std::int64_t* sums) override;
  void batch_norm_gradients(int parts, const BatchNorm& norm, const std::int64_t* adjoints, bool accumulate,
                            SumTarget dgamma, SumTarget dbeta) override;
  void batch_norm_backward_data(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                                const float* statistics, const float* gamma, const std::int64_t* adjoints,
                                Activation below, float* delta_in) override;
  void spectral_iteration(const SpectralMatrix& m) override;
  void spectral_normalise(const SpectralMatrix& m) override;
  void spectral_gradient(const SpectralMatrix& m, const float* g, float* to) override;
  void append_class(int rows, int pixels, int channels, int classes, const std::uint8_t* labels, const float* x,
                    float* y) override;
  void append_class_backward(int rows, int pixels, int channels, int classes, const float* delta, Activation below,
                             const float* x, float* delta_in) override;
  void class_score(int rows, int classes, const std::uint8_t* labels, const float* x, float* y) override;
  void class_score_backward(int rows, int classes, const std::uint8_t* labels, const float* delta,
                            float* delta_in) override;
  void draw_mask(const MaskDraw& draw, int rows, int columns, double share, std::uint8_t* mask) override;
  void apply_mask(std::size_t count, const std::uint8_t* mask, float factor, const float* from, Activation below,
                  const float* x, float* to) override;
  void discriminator_loss(GanLoss loss, const BatchLayout& layout, PenaltyParts penalised, const float* logits,
                          float scale, float* seed, float* row_scale, bool accumulate, SumTarget sums) override;
  void generator_loss(GanLoss loss, const BatchLayout& layout, const float* logits, float scale, float* seed,
                      bool accumulate, SumTarget sums) override;
  void gradient_penalty(int penalty, const BatchLayout& layout, int columns, const float* g, float coefficient,
                        float* v, SumTarget value) override;
  void combine_rows(int rows, int columns, const float* scale, const float* t, float* h) override;
  void from_fixed_point(std::size_t count, const std::int64_t* from, const std::int64_t* overflow, float* to) override;
  void add_to(std::size_t count, const float* from, double* to) override;
  void sum_of_squares(std::size_t count, const float* x, double* result) override;
  void optimizer_update(const OptimizerUpdate& args) override;
  void end_step(const StepEnd& args) override;
  void flag_to_sum(const std::uint32_t* flag, SumTarget to) override;
  void draw_normal(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns,
                   float* out) override;
  void draw_uniform(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns,
                    float* out) override;
  void add_noise(std::uint64_t seed, std::uint32_t stream, StepCount first, const FallingDeviation& deviation, int rows,
                 int columns, const float* x, float* out) override;
  void interpolate(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns, const float* a,
                   const float* b, float* out) override;
  void gather_images(std::uint64_t seed, StepCount first, const std::uint8_t* images, std::uint32_t image_count,
                     int rows, int pixels, int channels, float* out) override;
  void gather_labels(std::uint64_t seed, StepCount first, const std::uint8_t* labels, std::uint32_t image_count,
                     int rows, std::uint8_t* out) override;

 private:
  template <class T>
  class CountedReduction;

  std::unique_ptr<Reduction<float>> make_float_reduction(Communicator& ranks, std::size_t count) override;
  std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(Communicator& ranks, std::size_t count) override;

  /// Adds to operations_; `numbers` are those of four bytes that are read or written.
  void note(const char* name, std::string shape, double flops, double numbers);

  bool is_host_;
  bool rounds_;
  const char* part_ = "";
  std::vector<Operation> operations_;
  std::size_t arrays_ = 0;
  std::size_t sums_ = 0;
  std::uintptr_t next_ = std::uintptr_t{1} << 56U;  // no process has memory there
  std::map<void*, std::size_t> sizes_;
};

}  // namespace ganymede
