// The fully connected layer, y = σ(W·x + b).
#include "ganymede/network.hpp"

namespace ganymede {
namespace {

class Linear final : public Layer {
 public:
  Linear(int in, int out, Activation activation) : in_(in), out_(out), activation_(activation) {}

  [[nodiscard]] int inputs() const override { return in_; }
  [[nodiscard]] int outputs() const override { return out_; }
  [[nodiscard]] Activation activation() const override { return activation_; }
  [[nodiscard]] std::vector<ParameterSpec> parameters() const override {
    return {{"weight", {out_, in_}, Init::glorot_uniform, in_, out_}, {"bias", {out_}, Init::zero, in_, out_}};
  }
  [[nodiscard]] std::string description() const override {
    return "Linear " + std::to_string(in_) + " → " + std::to_string(out_) + ", " + activation_.name();
  }
  [[nodiscard]] bool affine_per_sample() const override { return true; }
  [[nodiscard]] double flops() const override { return 2.0 * in_ * out_; }

  void forward(Device& device, const BatchLayout& layout, const float* parameters, const float* x,
               float* y) const override {
    device.affine_forward(layout.total_rows(), in_, out_, x, parameters, parameters + weights(), activation_, y);
  }
  void tangent(Device& device, const BatchLayout& layout, const float* parameters, const float* tx, const float* y,
               float* ty) const override {
    device.affine_tangent(layout.total_rows(), in_, out_, tx, parameters, activation_, y, ty);
  }
  void backward_data(Device& device, const BatchLayout& layout, const float* parameters, const float* delta,
                     Activation below, const float* x, float* delta_in) const override {
    device.affine_backward_data(layout.total_rows(), in_, out_, delta, parameters, below, x, delta_in);
  }
  void gradients(Device& device, const BatchLayout& layout, const float* x, const float* delta, const float* row_scale,
                 bool accumulate, SumTarget gradient) const override {
    device.affine_gradients(layout, in_, out_, x, delta, row_scale, accumulate, gradient, gradient.at(weights()));
  }

 private:
  [[nodiscard]] std::size_t weights() const { return static_cast<std::size_t>(in_) * static_cast<std::size_t>(out_); }

  int in_;
  int out_;
  Activation activation_;
};

}  // namespace

std::unique_ptr<Layer> make_linear(int in, int out, Activation activation) {
  return std::make_unique<Linear>(in, out, activation);
}

}  // namespace ganymede
