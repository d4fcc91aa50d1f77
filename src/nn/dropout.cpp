// Dropout (Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014): in training y = mask ⊙ x / (1 - share),
// where a share of the mask's elements is 0; in evaluation y = x. The mask is drawn in the forward pass and kept for
// all that follow, so that the network stays affine for each sample, and exact penalties exact.
#include <stdexcept>

#include "core/numbers.hpp"
#include "ganymede/network.hpp"

namespace ganymede {
namespace {

struct DropoutState final : LayerState {
  DeviceArray<std::uint8_t> mask;  // [rows of the tape, size]; empty: evaluation
};

class Dropout final : public Layer {
 public:
  Dropout(int size, double share, int number) : size_(size), share_(share), number_(number) {}

  [[nodiscard]] int inputs() const override { return size_; }
  [[nodiscard]] int outputs() const override { return size_; }
  [[nodiscard]] Activation activation() const override { return {}; }
  [[nodiscard]] std::vector<ParameterSpec> parameters() const override { return {}; }
  [[nodiscard]] std::string description() const override { return "Dropout " + pretty(share_); }
  [[nodiscard]] std::string row_text() const override { return "dropout " + pretty(share_); }
  [[nodiscard]] bool affine_per_sample() const override { return true; }
  [[nodiscard]] std::unique_ptr<LayerState> make_state(Device& device, int rows,
                                                       const TrainingBatch* training) const override {
    auto state = std::make_unique<DropoutState>();
    if (training != nullptr)
      state->mask = DeviceArray<std::uint8_t>(device, static_cast<std::size_t>(rows) * static_cast<std::size_t>(size_));
    return state;
  }
  [[nodiscard]] double flops() const override { return size_; }
  [[nodiscard]] LayerOperation operation() const override { return IdentityOperation{}; }

  void forward(const Pass& pass, const float* x, float* y) const override {
    if (!pass.training) {
      pass.device.copy(y, x, count(pass) * sizeof(float));
      return;
    }
    if (pass.draws == nullptr) throw std::logic_error("the rows of this pass have no samples to draw masks for");
    std::uint8_t* mask = mask_of(pass);
    for (int part = 0; part < pass.layout.parts; ++part, mask += part_size(pass))
      pass.device.draw_mask({pass.draws->seed, pass.draws->stream + static_cast<std::uint32_t>(part), pass.draws->first,
                             static_cast<std::uint32_t>(number_)},
                            pass.layout.rows, size_, share_, mask);
    apply(pass, x, {}, nullptr, y);
  }
  void tangent(const Pass& pass, const float* tx, const float* /*y*/, float* ty) const override {
    apply(pass, tx, {}, nullptr, ty);
  }
  void backward_data(const Pass& pass, const float* delta, Activation below, const float* x,
                     float* delta_in) const override {
    apply(pass, delta, below, x, delta_in);
  }
  void gradients(const Pass& /*pass*/, const float* /*x*/, const float* /*delta*/, const float* /*row_scale*/,
                 bool /*accumulate*/, SumTarget /*gradient*/) const override {}

 private:
  void apply(const Pass& pass, const float* from, Activation below, const float* x, float* to) const {
    pass.device.apply_mask(count(pass), mask_of(pass), static_cast<float>(1 / (1 - share_)), from, below, x, to);
  }
  // Of the row that the pass begins with.
  [[nodiscard]] std::uint8_t* mask_of(const Pass& pass) const {
    auto& mask = static_cast<DropoutState&>(*pass.state).mask;
    if (mask.size() == 0) throw std::logic_error("this tape is for evaluation: training draws masks");
    return mask.data() + static_cast<std::ptrdiff_t>(pass.first_row) * size_;
  }
  [[nodiscard]] std::ptrdiff_t part_size(const Pass& pass) const {
    return static_cast<std::ptrdiff_t>(pass.layout.rows) * size_;
  }
  [[nodiscard]] std::size_t count(const Pass& pass) const {
    return static_cast<std::size_t>(pass.layout.total_rows()) * static_cast<std::size_t>(size_);
  }

  int size_;
  double share_;
  int number_;
};

}  // namespace

std::unique_ptr<Layer> make_dropout(int size, double share, int number) {
  return std::make_unique<Dropout>(size, share, number);
}

}  // namespace ganymede
