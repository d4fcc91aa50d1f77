// The two layers through which a network learns of a row's class: it is appended to the input as further channels, or
// it chooses one of several outputs.
#include <stdexcept>

#include "ganymede/network.hpp"

namespace ganymede {
namespace {

const std::uint8_t* labels_of(const Pass& pass) {
  if (pass.labels == nullptr) throw std::logic_error("the rows of this pass have no classes");
  return pass.labels;
}

class AppendClass final : public Layer {
 public:
  AppendClass(ImageShape image, int classes) : image_(image), classes_(classes) {}

  [[nodiscard]] int inputs() const override { return image_.size(); }
  [[nodiscard]] int outputs() const override { return image_.pixels() * (image_.channels + classes_); }
  [[nodiscard]] Activation activation() const override { return {}; }
  [[nodiscard]] std::vector<ParameterSpec> parameters() const override { return {}; }
  [[nodiscard]] std::string description() const override {
    return "Concat " + std::to_string(image_.channels) + " channels and " + std::to_string(classes_) + " classes";
  }
  [[nodiscard]] std::string row_text() const override { return "+ class"; }
  [[nodiscard]] bool affine_per_sample() const override { return true; }
  [[nodiscard]] bool is_module() const override { return false; }
  [[nodiscard]] double flops() const override { return 0; }
  [[nodiscard]] LayerOperation operation() const override { return AppendClassOperation{image_, classes_}; }

  void forward(const Pass& pass, const float* x, float* y) const override {
    pass.device.append_class(pass.layout.total_rows(), image_.pixels(), image_.channels, classes_, labels_of(pass), x,
                             y);
  }
  void tangent(const Pass& pass, const float* tx, const float* /*y*/, float* ty) const override {
    pass.device.append_class(pass.layout.total_rows(), image_.pixels(), image_.channels, classes_, nullptr, tx, ty);
  }
  void backward_data(const Pass& pass, const float* delta, Activation below, const float* x,
                     float* delta_in) const override {
    pass.device.append_class_backward(pass.layout.total_rows(), image_.pixels(), image_.channels, classes_, delta,
                                      below, x, delta_in);
  }
  void gradients(const Pass& /*pass*/, const float* /*x*/, const float* /*delta*/, const float* /*row_scale*/,
                 bool /*accumulate*/, SumTarget /*gradient*/) const override {}

 private:
  ImageShape image_;
  int classes_;
};

class ClassScore final : public Layer {
 public:
  explicit ClassScore(int classes) : classes_(classes) {}

  [[nodiscard]] int inputs() const override { return 1 + classes_; }
  [[nodiscard]] int outputs() const override { return 1; }
  [[nodiscard]] Activation activation() const override { return {}; }
  [[nodiscard]] std::vector<ParameterSpec> parameters() const override { return {}; }
  [[nodiscard]] std::string description() const override {
    return "Score of one of " + std::to_string(classes_) + " classes";
  }
  [[nodiscard]] std::string row_text() const override { return "at class → 1"; }
  [[nodiscard]] bool affine_per_sample() const override { return true; }
  [[nodiscard]] bool is_module() const override { return false; }
  [[nodiscard]] double flops() const override { return 1; }
  [[nodiscard]] LayerOperation operation() const override { return ClassScoreOperation{classes_}; }

  void forward(const Pass& pass, const float* x, float* y) const override {
    pass.device.class_score(pass.layout.total_rows(), classes_, labels_of(pass), x, y);
  }
  void tangent(const Pass& pass, const float* tx, const float* /*y*/, float* ty) const override {
    forward(pass, tx, ty);
  }
  void backward_data(const Pass& pass, const float* delta, Activation below, const float* /*x*/,
                     float* delta_in) const override {
    if (!below.is_identity()) throw std::logic_error("the scores of classes come from a layer without activation");
    pass.device.class_score_backward(pass.layout.total_rows(), classes_, labels_of(pass), delta, delta_in);
  }
  void gradients(const Pass& /*pass*/, const float* /*x*/, const float* /*delta*/, const float* /*row_scale*/,
                 bool /*accumulate*/, SumTarget /*gradient*/) const override {}

 private:
  int classes_;
};

}  // namespace

std::unique_ptr<Layer> make_append_class(ImageShape image, int classes) {
  return std::make_unique<AppendClass>(image, classes);
}

std::unique_ptr<Layer> make_class_score(int classes) { return std::make_unique<ClassScore>(classes); }

}  // namespace ganymede
