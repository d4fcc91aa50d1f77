// Convolutions, y = σ(w ∗ x + b), and transposed ones: the same pair of grids (see struct Convolution), gone through in
// either direction with the same weights. What is forward for one is backward to the data for the other.
#include <stdexcept>

#include "ganymede/network.hpp"
#include "nn/spectral_norm.hpp"

namespace ganymede {
namespace {

class ConvolutionLayer final : public Layer {
 public:
  ConvolutionLayer(const Convolution& geometry, bool transposed, Activation activation, Weights weights, bool unflatten)
      : geometry_(geometry),
        transposed_(transposed),
        activation_(activation),
        options_(weights),
        unflatten_(unflatten) {
    // Device::convolve() takes sums without a bias for a backward pass.
    if (!weights.bias && !activation.is_identity())
      throw std::logic_error("a convolution without a bias has no activation: a normalisation follows it");
    if (weights.spectral && transposed)
      throw std::logic_error("the matrix of a transposed convolution has its rows along the weights' second axis");
  }

  [[nodiscard]] int inputs() const override { return transposed_ ? geometry_.coarse_size() : geometry_.fine_size(); }
  [[nodiscard]] int outputs() const override { return transposed_ ? geometry_.fine_size() : geometry_.coarse_size(); }
  [[nodiscard]] Activation activation() const override { return activation_; }
  [[nodiscard]] bool reshapes_input() const override { return unflatten_; }
  [[nodiscard]] std::vector<ParameterSpec> parameters() const override {
    const Convolution& g = geometry_;
    const int taps = g.kernel * g.kernel;
    // PyTorch counts both of its layers' fans on this shape alike: the second axis is "in".
    ParameterSpec weight{"weight",
                         {g.coarse_channels, g.fine_channels, g.kernel, g.kernel},
                         options_.init,
                         taps * g.fine_channels,
                         taps * g.coarse_channels};
    weight.view = weight.shape;
    weight.order = {0, 2, 3, 1};
    const ParameterSpec bias{"bias", {channels()}, Init::zero, weight.fan_in, weight.fan_out};
    std::vector<ParameterSpec> specs = {weight};
    if (options_.spectral) specs = parametrized_spectrally(weight);
    if (options_.bias) specs.push_back(bias);
    return specs;
  }
  [[nodiscard]] std::string description() const override {
    const std::string kernel = std::to_string(geometry_.kernel) + "×" + std::to_string(geometry_.kernel);
    return (transposed_ ? "ConvTranspose " + coarse() + " → " + fine() : "Conv " + fine() + " → " + coarse()) +
           ", kernel " + kernel + ", stride " + std::to_string(geometry_.stride) +
           (options_.spectral ? ", spectral norm, " : ", ") + activation_.name();
  }
  [[nodiscard]] std::optional<MatrixShape> spectral() const override {
    if (!options_.spectral) return {};
    return MatrixShape{geometry_.coarse_channels, geometry_.filter()};
  }
  [[nodiscard]] std::string row_text() const override { return "→ " + (transposed_ ? fine() : coarse()); }
  [[nodiscard]] bool affine_per_sample() const override { return true; }
  [[nodiscard]] std::size_t rounding_room(int rows) const override {
    const auto all = static_cast<std::size_t>(rows);
    return Rounded::room_for(all * static_cast<std::size_t>(geometry_.fine_size()),
                             all * static_cast<std::size_t>(geometry_.coarse_size()), weights());
  }
  [[nodiscard]] double flops() const override { return 2.0 * geometry_.coarse_size() * geometry_.filter(); }
  [[nodiscard]] LayerOperation operation() const override { return ConvolutionOperation{geometry_, transposed_}; }

  void forward(const Pass& pass, const float* x, float* y) const override {
    upwards(pass, x, {options_.bias ? pass.parameters + weights() : nullptr, activation_, nullptr}, y);
  }
  void tangent(const Pass& pass, const float* tx, const float* y, float* ty) const override {
    upwards(pass, tx, {nullptr, activation_, y}, ty);
  }
  void backward_data(const Pass& pass, const float* delta, Activation below, const float* x,
                     float* delta_in) const override {
    const Finish finish{nullptr, below, x};
    if (transposed_)
      pass.device.convolve(geometry_, pass.layout.total_rows(), delta, pass.parameters, finish, delta_in, pass.rounded);
    else
      pass.device.convolve_transposed(geometry_, pass.layout.total_rows(), delta, pass.parameters, finish, delta_in,
                                      pass.rounded);
  }
  void gradients(const Pass& pass, const float* x, const float* delta, const float* row_scale, bool accumulate,
                 SumTarget gradient) const override {
    pass.device.convolution_gradients(pass.layout, geometry_, transposed_ ? delta : x, transposed_ ? x : delta,
                                      accumulate, gradient, pass.rounded);
    if (options_.bias)
      pass.device.channel_gradients(pass.layout, outputs() / channels(), channels(), delta, row_scale, accumulate,
                                    gradient.at(weights()));
  }

 private:
  static std::string grid(int channels, int height, int width) {
    return std::to_string(channels) + "×" + std::to_string(height) + "×" + std::to_string(width);
  }
  [[nodiscard]] std::string fine() const {
    return grid(geometry_.fine_channels, geometry_.fine_height, geometry_.fine_width);
  }
  [[nodiscard]] std::string coarse() const {
    return grid(geometry_.coarse_channels, geometry_.coarse_height, geometry_.coarse_width);
  }
  void upwards(const Pass& pass, const float* x, const Finish& finish, float* y) const {
    if (transposed_)
      pass.device.convolve_transposed(geometry_, pass.layout.total_rows(), x, pass.parameters, finish, y, pass.rounded);
    else
      pass.device.convolve(geometry_, pass.layout.total_rows(), x, pass.parameters, finish, y, pass.rounded);
  }
  [[nodiscard]] int channels() const { return transposed_ ? geometry_.fine_channels : geometry_.coarse_channels; }
  [[nodiscard]] std::size_t weights() const {
    return static_cast<std::size_t>(geometry_.coarse_channels) * static_cast<std::size_t>(geometry_.filter());
  }

  Convolution geometry_;
  bool transposed_;
  Activation activation_;
  Weights options_;
  bool unflatten_;
};

}  // namespace

std::unique_ptr<Layer> make_convolution(const Convolution& geometry, Activation activation, Weights weights,
                                        bool unflatten) {
  return std::make_unique<ConvolutionLayer>(geometry, false, activation, weights, unflatten);
}

std::unique_ptr<Layer> make_transposed_convolution(const Convolution& geometry, Activation activation, Weights weights,
                                                   bool unflatten) {
  return std::make_unique<ConvolutionLayer>(geometry, true, activation, weights, unflatten);
}

}  // namespace ganymede
