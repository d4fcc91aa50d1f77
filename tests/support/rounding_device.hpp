// What products of bfloat16 are, by their definition: those of factors that were rounded before; a convolution's sums
// are rounded once more, for which they are taken in double, so that none is on the wrong side of a tie. Every layer's
// products are such, however small.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "math/activation/activations.hpp"
#include "quality/forwarding_device.hpp"
#include "support/bfloat16.hpp"
#include "support/convolution_taps.hpp"

namespace ganymede::testing {

class RoundingDevice : public quality::ForwardingDevice {
 public:
  explicit RoundingDevice(std::unique_ptr<Device> cpu) : ForwardingDevice(*cpu), cpu_(std::move(cpu)) {}

  [[nodiscard]] bool rounds() const override { return true; }
  void round(std::size_t count, const float* from, Bfloat16* to) override {
    for (std::size_t i = 0; i < count; ++i) to[i] = bfloat16_bits(rounded_number(from[i]));
  }

  void affine_forward(int rows, int in, int out, const float* x, const float* w, const float* b, Activation sigma,
                      float* y, const Rounded& rounded) override {
    const Floats x16 = factor(x, count(rows, in), rounded);
    const Floats w16 = weights(w, count(out, in), rounded);
    cpu_->affine_forward(rows, in, out, x16.data(), w16.data(), b, sigma, y);
  }
  void affine_tangent(int rows, int in, int out, const float* tx, const float* w, Activation sigma, const float* y,
                      float* ty, const Rounded& rounded) override {
    const Floats tx16 = factor(tx, count(rows, in), rounded);
    const Floats w16 = weights(w, count(out, in), rounded);
    cpu_->affine_tangent(rows, in, out, tx16.data(), w16.data(), sigma, y, ty);
  }
  void affine_backward_data(int rows, int in, int out, const float* delta, const float* w, Activation below,
                            const float* x, float* delta_in, const Rounded& rounded) override {
    const Floats delta16 = factor(delta, count(rows, out), rounded);
    const Floats w16 = weights(w, count(out, in), rounded);
    cpu_->affine_backward_data(rows, in, out, delta16.data(), w16.data(), below, x, delta_in);
  }
  void affine_gradients(const BatchLayout& layout, int in, int out, const float* x, const float* delta,
                        const float* row_scale, bool accumulate, SumTarget dw, SumTarget db,
                        const Rounded& rounded) override {
    const Floats x16 = factor(x, count(layout.total_rows(), in), rounded);
    const Floats delta16 = factor(delta, count(layout.total_rows(), out), rounded);
    cpu_->affine_gradients(layout, in, out, x16.data(), delta16.data(), row_scale, accumulate, dw, {});
    // A product that sums its factor's columns, too, sums what was rounded; it overwrites sums that are aligned.
    const bool by_product =
        dw.wanted() && !accumulate && row_scale == nullptr && reinterpret_cast<std::uintptr_t>(db.values) % 16 == 0;
    cpu_->affine_gradients(layout, in, out, x, by_product ? delta16.data() : delta, row_scale, accumulate, {}, db);
  }

  void convolve(const Convolution& g, int rows, const float* fine, const float* w, const Finish& finish, float* coarse,
                const Rounded& rounded) override {
    if (rounded.room == nullptr) return cpu_->convolve(g, rows, fine, w, finish, coarse);
    const Floats x = factor(fine, count(rows, g.fine_size()), rounded);
    const Floats v = weights(w, count(g.coarse_channels, g.filter()), rounded);
    std::vector<double> sums(count(rows, g.coarse_size()));
    for_all(g, rows, [&](std::size_t i, std::size_t k, std::size_t o) { sums[o] += product(x[i], v[k]); });
    end(finish, sums, g.coarse_channels, coarse);
  }
  void convolve_transposed(const Convolution& g, int rows, const float* coarse, const float* w, const Finish& finish,
                           float* fine, const Rounded& rounded) override {
    if (rounded.room == nullptr) return cpu_->convolve_transposed(g, rows, coarse, w, finish, fine);
    const Floats x = factor(coarse, count(rows, g.coarse_size()), rounded);
    const Floats v = weights(w, count(g.coarse_channels, g.filter()), rounded);
    std::vector<double> sums(count(rows, g.fine_size()));
    for_all(g, rows, [&](std::size_t i, std::size_t k, std::size_t o) { sums[i] += product(x[o], v[k]); });
    end(finish, sums, g.fine_channels, fine);
  }
  void convolution_gradients(const BatchLayout& layout, const Convolution& g, const float* fine, const float* coarse,
                             bool accumulate, SumTarget dw, const Rounded& rounded) override {
    if (rounded.room == nullptr) return cpu_->convolution_gradients(layout, g, fine, coarse, accumulate, dw);
    const int rows = layout.total_rows();
    const Floats x = factor(fine, count(rows, g.fine_size()), rounded);
    const Floats y = factor(coarse, count(rows, g.coarse_size()), rounded);
    std::vector<double> sums(count(g.coarse_channels, g.filter()));
    for_all(g, rows, [&](std::size_t i, std::size_t k, std::size_t o) { sums[k] += product(x[i], y[o]); });
    for (std::size_t i = 0; i < sums.size(); ++i)
      dw.values[i] = (accumulate ? dw.values[i] : 0.0F) + rounded_number(static_cast<float>(sums[i]));
  }

 protected:
  /// What becomes of a number.
  [[nodiscard]] virtual float rounded_number(float x) const { return nearest_bfloat16(x); }

 private:
  using Floats = std::vector<float>;
  static std::size_t count(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }
  [[nodiscard]] Floats factor(const float* from, std::size_t size, const Rounded& rounded) const {
    Floats values(from, from + size);
    if (rounded.room != nullptr)
      for (float& value : values) value = rounded_number(value);
    return values;
  }
  // Those that the network has rounded, when it did.
  static Floats weights(const float* from, std::size_t size, const Rounded& rounded) {
    Floats values(from, from + size);
    if (rounded.weights != nullptr)
      for (std::size_t i = 0; i < size; ++i) values[i] = bfloat16_value(rounded.weights[i]);
    return values;
  }
  static double product(float a, float b) { return static_cast<double>(a) * static_cast<double>(b); }
  // visit(fine element, weight, coarse element) for all that meet.
  template <class Visit>
  static void for_all(const Convolution& g, int rows, const Visit& visit) {
    for (int row = 0; row < rows; ++row)
      visit_taps(g, [&](int coarse, int fine, int tap) {
        for (int o = 0; o < g.coarse_channels; ++o)
          for (int i = 0; i < g.fine_channels; ++i)
            visit(count(row * g.fine_pixels() + fine, g.fine_channels) + count(i, 1),
                  count(o, g.filter()) + count(tap, g.fine_channels) + count(i, 1),
                  count(row * g.coarse_pixels() + coarse, g.coarse_channels) + count(o, 1));
      });
  }
  void end(const Finish& finish, const std::vector<double>& sums, int channels, float* to) const {
    math::Activations::visit(finish.activation.kind, [&](auto sigma) {
      const float parameter = finish.activation.parameter;
      for (std::size_t i = 0; i < sums.size(); ++i) {
        to[i] = rounded_number(static_cast<float>(sums[i]));
        if (finish.bias != nullptr) {
          to[i] = sigma.value(to[i] + finish.bias[i % static_cast<std::size_t>(channels)], parameter);
        } else if (finish.slope_of != nullptr) {
          to[i] *= sigma.slope(finish.slope_of[i], parameter);
        }
      }
    });
  }

  std::unique_ptr<Device> cpu_;
};

}  // namespace ganymede::testing
