// The fully connected layer, y = σ(W·x + b).
#include <stdexcept>

#include "ganymede/network.hpp"
#include "nn/spectral_norm.hpp"

namespace ganymede {
namespace {

class Linear final : public Layer {
 public:
  Linear(int in, int out, Activation activation, Weights weights, std::optional<ImageShape> in_image,
         std::optional<ImageShape> out_image)
      : in_(in), out_(out), activation_(activation), options_(weights), in_image_(in_image), out_image_(out_image) {
    if (weights.spectral && out_image)
      throw std::logic_error("a layer that makes an image has its rows in an order that singular vectors do not know");
  }

  [[nodiscard]] int inputs() const override { return in_; }
  [[nodiscard]] int outputs() const override { return out_; }
  [[nodiscard]] Activation activation() const override { return activation_; }
  [[nodiscard]] bool reshapes_input() const override { return in_image_.has_value(); }
  [[nodiscard]] std::vector<ParameterSpec> parameters() const override {
    ParameterSpec weight{"weight", {out_, in_}, options_.init, in_, out_};
    ParameterSpec bias{"bias", {out_}, Init::zero, in_, out_};
    // Images count [channel][y][x] in PyTorch, [y][x][channel] here.
    if (in_image_) {
      weight.view = {out_, in_image_->channels, in_image_->height, in_image_->width};
      weight.order = {0, 2, 3, 1};
      weight.tail = in_ - in_image_->size();
    }
    if (out_image_) {
      weight.view = {out_image_->channels, out_image_->height, out_image_->width, in_};
      weight.order = {1, 2, 0, 3};
      bias.view = {out_image_->channels, out_image_->height, out_image_->width};
      bias.order = {1, 2, 0};
    }
    std::vector<ParameterSpec> specs = {weight};
    if (options_.spectral) specs = parametrized_spectrally(weight);
    if (options_.bias) specs.push_back(bias);
    return specs;
  }
  [[nodiscard]] std::string description() const override {
    return "Linear " + std::to_string(in_) + " → " + std::to_string(out_) +
           (options_.spectral ? ", spectral norm, " : ", ") + activation_.name();
  }
  [[nodiscard]] std::optional<MatrixShape> spectral() const override {
    if (!options_.spectral) return {};
    return MatrixShape{out_, in_};
  }
  [[nodiscard]] bool affine_per_sample() const override { return true; }
  [[nodiscard]] std::size_t rounding_room(int rows) const override {
    const auto all = static_cast<std::size_t>(rows);
    return Rounded::room_for(all * static_cast<std::size_t>(in_), all * static_cast<std::size_t>(out_));
  }
  [[nodiscard]] double flops() const override { return 2.0 * in_ * out_; }
  [[nodiscard]] LayerOperation operation() const override { return AffineOperation{}; }

  void forward(const Pass& pass, const float* x, float* y) const override {
    const float* bias = options_.bias ? pass.parameters + weights() : nullptr;
    pass.device.affine_forward(pass.layout.total_rows(), in_, out_, x, pass.parameters, bias, activation_, y,
                               pass.rounded);
  }
  void tangent(const Pass& pass, const float* tx, const float* y, float* ty) const override {
    pass.device.affine_tangent(pass.layout.total_rows(), in_, out_, tx, pass.parameters, activation_, y, ty,
                               pass.rounded);
  }
  void backward_data(const Pass& pass, const float* delta, Activation below, const float* x,
                     float* delta_in) const override {
    pass.device.affine_backward_data(pass.layout.total_rows(), in_, out_, delta, pass.parameters, below, x, delta_in,
                                     pass.rounded);
  }
  void gradients(const Pass& pass, const float* x, const float* delta, const float* row_scale, bool accumulate,
                 SumTarget gradient) const override {
    pass.device.affine_gradients(pass.layout, in_, out_, x, delta, row_scale, accumulate, gradient,
                                 options_.bias ? gradient.at(weights()) : SumTarget{}, pass.rounded);
  }

 private:
  [[nodiscard]] std::size_t weights() const { return static_cast<std::size_t>(in_) * static_cast<std::size_t>(out_); }

  int in_;
  int out_;
  Activation activation_;
  Weights options_;
  std::optional<ImageShape> in_image_;
  std::optional<ImageShape> out_image_;
};

}  // namespace

std::unique_ptr<Layer> make_linear(int in, int out, Activation activation, Weights weights,
                                   std::optional<ImageShape> in_image, std::optional<ImageShape> out_image) {
  return std::make_unique<Linear>(in, out, activation, weights, in_image, out_image);
}

}  // namespace ganymede
