// A device that hands every operation on to another one: what a test derives from to change one of them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "ganymede/device.hpp"

namespace ganymede::quality {

class ForwardingDevice : public Device {
 public:
  explicit ForwardingDevice(Device& to) : to_(to) {}

  [[nodiscard]] std::string description() const override { return to_.description(); }
  [[nodiscard]] std::string arithmetic() const override { return to_.arithmetic(); }
  [[nodiscard]] double peak_flops() const override { return to_.peak_flops(); }
  [[nodiscard]] double peak_bandwidth() const override { return to_.peak_bandwidth(); }
  [[nodiscard]] void* allocate(std::size_t bytes) override { return to_.allocate(bytes); }
  void release(void* pointer) noexcept override { to_.release(pointer); }
  [[nodiscard]] std::size_t available_memory() const override { return to_.available_memory(); }
  void upload(void* to_device, const void* from_host, std::size_t bytes) override {
    to_.upload(to_device, from_host, bytes);
  }
  void download(void* to_host, const void* from_device, std::size_t bytes) override {
    to_.download(to_host, from_device, bytes);
  }
  void fetch(void* to_host, const void* from_device, std::size_t bytes) override {
    to_.fetch(to_host, from_device, bytes);
  }
  void copy(void* to, const void* from, std::size_t bytes) override { to_.copy(to, from, bytes); }
  void zero(void* pointer, std::size_t bytes) override { to_.zero(pointer, bytes); }
  void synchronize() override { to_.synchronize(); }
  [[nodiscard]] bool is_host() const override { return to_.is_host(); }
  [[nodiscard]] void* allocate_host(std::size_t bytes) override { return to_.allocate_host(bytes); }
  void release_host(void* pointer) noexcept override { to_.release_host(pointer); }

  [[nodiscard]] int steps_ahead() const override { return to_.steps_ahead(); }
  void mark(int number) override { to_.mark(number); }
  void await(int number) override { to_.await(number); }
  void time_from_here() override { to_.time_from_here(); }
  [[nodiscard]] std::unique_ptr<Routine> make_routine(std::function<void()> enqueue) override {
    return to_.make_routine(std::move(enqueue));
  }
  void enter(const char* name) override { to_.enter(name); }

  [[nodiscard]] bool rounds() const override { return to_.rounds(); }
  void round(std::size_t count, const float* from, Bfloat16* to) override { to_.round(count, from, to); }

  void affine_forward(int rows, int in, int out, const float* x, const float* w, const float* b, Activation sigma,
                      float* y, const Rounded& rounded) override {
    to_.affine_forward(rows, in, out, x, w, b, sigma, y, rounded);
  }
  void affine_tangent(int rows, int in, int out, const float* tx, const float* w, Activation sigma, const float* y,
                      float* ty, const Rounded& rounded) override {
    to_.affine_tangent(rows, in, out, tx, w, sigma, y, ty, rounded);
  }
  void affine_backward_data(int rows, int in, int out, const float* delta, const float* w, Activation below,
                            const float* x, float* delta_in, const Rounded& rounded) override {
    to_.affine_backward_data(rows, in, out, delta, w, below, x, delta_in, rounded);
  }
  void affine_gradients(const BatchLayout& layout, int in, int out, const float* x, const float* delta,
                        const float* row_scale, bool accumulate, SumTarget dw, SumTarget db,
                        const Rounded& rounded) override {
    to_.affine_gradients(layout, in, out, x, delta, row_scale, accumulate, dw, db, rounded);
  }

  void convolve(const Convolution& geometry, int rows, const float* fine, const float* w, const Finish& finish,
                float* coarse, const Rounded& rounded) override {
    to_.convolve(geometry, rows, fine, w, finish, coarse, rounded);
  }
  void convolve_transposed(const Convolution& geometry, int rows, const float* coarse, const float* w,
                           const Finish& finish, float* fine, const Rounded& rounded) override {
    to_.convolve_transposed(geometry, rows, coarse, w, finish, fine, rounded);
  }
  void convolution_gradients(const BatchLayout& layout, const Convolution& geometry, const float* fine,
                             const float* coarse, bool accumulate, SumTarget dw, const Rounded& rounded) override {
    to_.convolution_gradients(layout, geometry, fine, coarse, accumulate, dw, rounded);
  }
  void channel_gradients(const BatchLayout& layout, int pixels, int channels, const float* delta,
                         const float* row_scale, bool accumulate, SumTarget db) override {
    to_.channel_gradients(layout, pixels, channels, delta, row_scale, accumulate, db);
  }

  void batch_norm_moments(const BatchLayout& layout, const BatchNorm& norm, const float* x,
                          std::int64_t* sums) override {
    to_.batch_norm_moments(layout, norm, x, sums);
  }
  void batch_norm_statistics(int parts, const BatchNorm& norm, const std::int64_t* moments, float* statistics,
                             float* running) override {
    to_.batch_norm_statistics(parts, norm, moments, statistics, running);
  }
  void batch_norm_frozen(const BatchNorm& norm, const float* running, float* statistics) override {
    to_.batch_norm_frozen(norm, running, statistics);
  }
  void batch_norm_forward(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* statistics,
                          const float* gamma, const float* beta, Activation sigma, float* y) override {
    to_.batch_norm_forward(layout, norm, x, statistics, gamma, beta, sigma, y);
  }
  void batch_norm_adjoints(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                           const float* statistics, std::int64_t* sums) override {
    to_.batch_norm_adjoints(layout, norm, x, delta, statistics, sums);
  }
  void batch_norm_gradients(int parts, const BatchNorm& norm, const std::int64_t* adjoints, bool accumulate,
                            SumTarget dgamma, SumTarget dbeta) override {
    to_.batch_norm_gradients(parts, norm, adjoints, accumulate, dgamma, dbeta);
  }
  void batch_norm_backward_data(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                                const float* statistics, const float* gamma, const std::int64_t* adjoints,
                                Activation below, float* delta_in) override {
    to_.batch_norm_backward_data(layout, norm, x, delta, statistics, gamma, adjoints, below, delta_in);
  }

  void spectral_iteration(const SpectralMatrix& m) override { to_.spectral_iteration(m); }
  void spectral_normalise(const SpectralMatrix& m) override { to_.spectral_normalise(m); }
  void spectral_gradient(const SpectralMatrix& m, const float* g, float* to) override {
    to_.spectral_gradient(m, g, to);
  }
  void draw_mask(const MaskDraw& draw, int rows, int columns, double share, std::uint8_t* mask) override {
    to_.draw_mask(draw, rows, columns, share, mask);
  }
  void apply_mask(std::size_t count, const std::uint8_t* mask, float factor, const float* from, Activation below,
                  const float* x, float* to) override {
    to_.apply_mask(count, mask, factor, from, below, x, to);
  }
  void append_class(int rows, int pixels, int channels, int classes, const std::uint8_t* labels, const float* x,
                    float* y) override {
    to_.append_class(rows, pixels, channels, classes, labels, x, y);
  }
  void append_class_backward(int rows, int pixels, int channels, int classes, const float* delta, Activation below,
                             const float* x, float* delta_in) override {
    to_.append_class_backward(rows, pixels, channels, classes, delta, below, x, delta_in);
  }
  void class_score(int rows, int classes, const std::uint8_t* labels, const float* x, float* y) override {
    to_.class_score(rows, classes, labels, x, y);
  }
  void class_score_backward(int rows, int classes, const std::uint8_t* labels, const float* delta,
                            float* delta_in) override {
    to_.class_score_backward(rows, classes, labels, delta, delta_in);
  }

  void discriminator_loss(GanLoss loss, const BatchLayout& layout, PenaltyParts penalised, const float* logits,
                          float scale, float* seed, float* row_scale, bool accumulate, SumTarget sums) override {
    to_.discriminator_loss(loss, layout, penalised, logits, scale, seed, row_scale, accumulate, sums);
  }
  void generator_loss(GanLoss loss, const BatchLayout& layout, const float* logits, float scale, float* seed,
                      bool accumulate, SumTarget sums) override {
    to_.generator_loss(loss, layout, logits, scale, seed, accumulate, sums);
  }
  void gradient_penalty(int penalty, const BatchLayout& layout, int columns, const float* g, float coefficient,
                        float* v, SumTarget value) override {
    to_.gradient_penalty(penalty, layout, columns, g, coefficient, v, value);
  }
  void combine_rows(int rows, int columns, const float* scale, const float* t, float* h) override {
    to_.combine_rows(rows, columns, scale, t, h);
  }

  void from_fixed_point(std::size_t count, const std::int64_t* from, const std::int64_t* overflow, float* to) override {
    to_.from_fixed_point(count, from, overflow, to);
  }
  void add_to(std::size_t count, const float* from, double* to) override { to_.add_to(count, from, to); }
  void sum_of_squares(std::size_t count, const float* x, double* result) override {
    to_.sum_of_squares(count, x, result);
  }
  void optimizer_update(const OptimizerUpdate& args) override { to_.optimizer_update(args); }
  void end_step(const StepEnd& args) override { to_.end_step(args); }
  void flag_to_sum(const std::uint32_t* flag, SumTarget to) override { to_.flag_to_sum(flag, to); }

  void draw_normal(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns,
                   float* out) override {
    to_.draw_normal(seed, stream, first, rows, columns, out);
  }
  void draw_uniform(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns,
                    float* out) override {
    to_.draw_uniform(seed, stream, first, rows, columns, out);
  }
  void add_noise(std::uint64_t seed, std::uint32_t stream, StepCount first, const FallingDeviation& deviation, int rows,
                 int columns, const float* x, float* out) override {
    to_.add_noise(seed, stream, first, deviation, rows, columns, x, out);
  }
  void interpolate(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns, const float* a,
                   const float* b, float* out) override {
    to_.interpolate(seed, stream, first, rows, columns, a, b, out);
  }
  void gather_images(std::uint64_t seed, StepCount first, const std::uint8_t* images, std::uint32_t image_count,
                     int rows, int pixels, int channels, float* out) override {
    to_.gather_images(seed, first, images, image_count, rows, pixels, channels, out);
  }
  void gather_labels(std::uint64_t seed, StepCount first, const std::uint8_t* labels, std::uint32_t image_count,
                     int rows, std::uint8_t* out) override {
    to_.gather_labels(seed, first, labels, image_count, rows, out);
  }

 private:
  [[nodiscard]] std::unique_ptr<Reduction<float>> make_float_reduction(Communicator& ranks,
                                                                       std::size_t count) override {
    return to_.make_reduction<float>(ranks, count);
  }
  [[nodiscard]] std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(Communicator& ranks,
                                                                              std::size_t count) override {
    return to_.make_reduction<std::int64_t>(ranks, count);
  }

  Device& to_;
};

}  // namespace ganymede::quality
