// Batch normalisation (Ioffe, Szegedy 2015), synchronised: y = σ(γ · (x - mean) / √(variance + ε) + β), with mean and
// variance over a part of the batch on all ranks. Their sums travel in fixed point, so that the number of ranks
// changes nothing. Real and generated images in one pass of D are two parts, each normalised by itself.
#include <stdexcept>

#include "ganymede/network.hpp"

namespace ganymede {
namespace {

class BatchNormLayer final : public Layer {
 public:
  BatchNormLayer(ImageShape image, Activation activation, bool flat)
      : image_(image), flat_(flat), activation_(activation) {}

  [[nodiscard]] int inputs() const override { return image_.size(); }
  [[nodiscard]] int outputs() const override { return image_.size(); }
  [[nodiscard]] Activation activation() const override { return activation_; }
  [[nodiscard]] std::vector<ParameterSpec> parameters() const override {
    std::vector<ParameterSpec> specs = {{"weight", {channels()}, Init::one},
                                        {"bias", {channels()}, Init::zero},
                                        {"running_mean", {channels()}, Init::zero, 0, 0, false},
                                        {"running_var", {channels()}, Init::one, 0, 0, false}};
    if (flat_ && image_.pixels() > 1)
      for (ParameterSpec& spec : specs) {
        spec.view = {image_.channels, image_.height, image_.width};
        spec.order = {1, 2, 0};
      }
    return specs;
  }
  [[nodiscard]] std::string description() const override {
    return "BatchNorm " + std::to_string(channels()) + ", " + activation_.name();
  }
  [[nodiscard]] std::string row_text() const override { return "normalised"; }
  [[nodiscard]] bool affine_per_sample() const override { return false; }
  [[nodiscard]] int normalised_channels() const override { return channels(); }
  [[nodiscard]] double flops() const override { return 8.0 * image_.size(); }

  void forward(const Pass& pass, const float* x, float* y) const override {
    const BatchNorm norm = norm_of(pass);
    if (pass.sums == nullptr) {
      pass.device.batch_norm_frozen(norm, pass.buffers, pass.statistics);
    } else {
      pass.device.batch_norm_moments(pass.layout, norm, x, pass.sums->data());
      pass.sums->start();
      pass.sums->finish();
      pass.device.batch_norm_statistics(pass.layout.parts, norm, pass.sums->sum(), pass.statistics, pass.buffers);
    }
    pass.device.batch_norm_forward(pass.layout, norm, x, pass.statistics, pass.parameters, pass.parameters + channels(),
                                   activation_, y);
  }
  void tangent(const Pass& /*pass*/, const float* /*tx*/, const float* /*y*/, float* /*ty*/) const override {
    throw std::logic_error("batch normalisation has no tangent of a sample alone");
  }
  void backward_data(const Pass& pass, const float* delta, Activation below, const float* x,
                     float* delta_in) const override {
    const BatchNorm norm = norm_of(pass);
    pass.device.batch_norm_adjoints(pass.layout, norm, x, delta, pass.statistics, pass.sums->data());
    pass.device.copy(pass.adjoints, pass.sums->data(), norm.sums(pass.layout.parts) * sizeof(std::int64_t));
    pass.sums->start();
    pass.sums->finish();
    pass.device.batch_norm_backward_data(pass.layout, norm, x, delta, pass.statistics, pass.parameters,
                                         pass.sums->sum(), below, delta_in);
  }
  void gradients(const Pass& pass, const float* /*x*/, const float* /*delta*/, const float* /*row_scale*/,
                 bool accumulate, SumTarget gradient) const override {
    pass.device.batch_norm_gradients(pass.layout.parts, norm_of(pass), pass.adjoints, accumulate, gradient,
                                     gradient.at(static_cast<std::size_t>(channels())));
  }

 private:
  [[nodiscard]] int channels() const { return flat_ ? image_.size() : image_.channels; }
  [[nodiscard]] BatchNorm norm_of(const Pass& pass) const {
    BatchNorm norm;
    norm.pixels = flat_ ? 1 : image_.pixels();
    norm.channels = channels();
    norm.count = static_cast<double>(pass.batch) * norm.pixels;
    return norm;
  }

  ImageShape image_;
  bool flat_;
  Activation activation_;
};

}  // namespace

std::unique_ptr<Layer> make_batch_norm(ImageShape image, Activation activation, bool flat) {
  return std::make_unique<BatchNormLayer>(image, activation, flat);
}

}  // namespace ganymede
