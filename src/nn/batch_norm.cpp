// Batch normalisation (Ioffe, Szegedy 2015), synchronised: y = σ(γ · (x - mean) / √(variance + ε) + β), with mean and
// variance over a part of the batch on all ranks. Their sums travel in fixed point, so that the number of ranks
// changes nothing. Real and generated images in one pass of D are two parts, each normalised by itself.
#include <stdexcept>

#include "ganymede/network.hpp"

namespace ganymede {
namespace {

// D sees real above generated images; penalties' points between them and normalisation exclude each other.
constexpr int most_parts = 2;

// What the forward pass leaves for the backward one, and that one for the gradients.
struct BatchNormState final : LayerState {
  DeviceArray<float> statistics;       // [parts][2][channels]
  DeviceArray<std::int64_t> adjoints;  // this rank's sums, of the same shape
  std::vector<std::unique_ptr<Reduction<std::int64_t>>>
      sums;       // over all ranks, of one part, of two …; empty: evaluation
  int batch = 0;  // rows of a part on all ranks together
};

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
  [[nodiscard]] bool may_be_first() const override { return false; }
  [[nodiscard]] std::unique_ptr<LayerState> make_state(Device& device, int /*rows*/,
                                                       const TrainingBatch* training) const override {
    auto state = std::make_unique<BatchNormState>();
    state->statistics = DeviceArray<float>(device, most_parts * 2 * static_cast<std::size_t>(channels()));
    if (training == nullptr) return state;
    BatchNorm norm;
    norm.channels = channels();
    state->adjoints = DeviceArray<std::int64_t>(device, norm.sums(most_parts));
    for (int parts = 1; parts <= most_parts; ++parts)
      state->sums.push_back(device.make_reduction<std::int64_t>(training->ranks, norm.sums(parts)));
    state->batch = training->batch;
    return state;
  }
  [[nodiscard]] double flops() const override { return 8.0 * image_.size(); }
  [[nodiscard]] LayerOperation operation() const override { return NormalisationOperation{BatchNorm().epsilon}; }

  void forward(const Pass& pass, const float* x, float* y) const override {
    const BatchNorm norm = norm_of(pass);
    float* statistics = statistics_of(pass);
    if (pass.training) {
      Reduction<std::int64_t>& sums = sums_of(pass);
      pass.device.batch_norm_moments(pass.layout, norm, x, sums.data());
      sums.start();
      sums.finish();
      pass.device.batch_norm_statistics(pass.layout.parts, norm, sums.sum(), statistics, pass.buffers);
    } else {
      pass.device.batch_norm_frozen(norm, pass.buffers, statistics);
    }
    pass.device.batch_norm_forward(pass.layout, norm, x, statistics, pass.parameters, pass.parameters + channels(),
                                   activation_, y);
  }
  void tangent(const Pass& /*pass*/, const float* /*tx*/, const float* /*y*/, float* /*ty*/) const override {
    throw std::logic_error("batch normalisation has no tangent of a sample alone");
  }
  void backward_data(const Pass& pass, const float* delta, Activation below, const float* x,
                     float* delta_in) const override {
    const BatchNorm norm = norm_of(pass);
    const float* statistics = statistics_of(pass);
    Reduction<std::int64_t>& sums = sums_of(pass);
    pass.device.batch_norm_adjoints(pass.layout, norm, x, delta, statistics, sums.data());
    pass.device.copy(adjoints_of(pass), sums.data(), norm.sums(pass.layout.parts) * sizeof(std::int64_t));
    sums.start();
    sums.finish();
    pass.device.batch_norm_backward_data(pass.layout, norm, x, delta, statistics, pass.parameters, sums.sum(), below,
                                         delta_in);
  }
  void gradients(const Pass& pass, const float* /*x*/, const float* /*delta*/, const float* /*row_scale*/,
                 bool accumulate, SumTarget gradient) const override {
    pass.device.batch_norm_gradients(pass.layout.parts, norm_of(pass), adjoints_of(pass), accumulate, gradient,
                                     gradient.at(static_cast<std::size_t>(channels())));
  }

 private:
  [[nodiscard]] int channels() const { return flat_ ? image_.size() : image_.channels; }
  [[nodiscard]] BatchNorm norm_of(const Pass& pass) const {
    BatchNorm norm;
    norm.pixels = flat_ ? 1 : image_.pixels();
    norm.channels = channels();
    norm.count = static_cast<double>(state_of(pass).batch) * norm.pixels;
    return norm;
  }
  static BatchNormState& state_of(const Pass& pass) { return static_cast<BatchNormState&>(*pass.state); }
  static Reduction<std::int64_t>& sums_of(const Pass& pass) {
    BatchNormState& state = state_of(pass);
    if (state.sums.empty()) throw std::logic_error("this tape is for evaluation: training normalises over the ranks");
    return *state.sums[static_cast<std::size_t>(pass.layout.parts - 1)];
  }
  // Of the part that the pass begins with.
  [[nodiscard]] float* statistics_of(const Pass& pass) const { return state_of(pass).statistics.data() + skip(pass); }
  [[nodiscard]] std::int64_t* adjoints_of(const Pass& pass) const {
    return state_of(pass).adjoints.data() + skip(pass);
  }
  [[nodiscard]] std::ptrdiff_t skip(const Pass& pass) const {
    const int rows = pass.layout.rows;
    return rows == 0 ? 0 : static_cast<std::ptrdiff_t>(pass.first_row / rows) * 2 * channels();
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
