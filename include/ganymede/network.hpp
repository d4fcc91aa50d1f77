// Networks: a sequence of layers with explicit forward, backward-data, backward-weights and tangent
// passes, over one flat parameter buffer.
//
// Notation: layer l computes a_l = f_l(h_{l-1}), h_l = σ_l(a_l). What flows backward is δ_l = ∂L/∂a_l, the
// adjoint before the activation; a layer's backward-data pass multiplies by the slope σ'_{l-1} of the layer
// below, so that each pass touches each array once.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ganymede/device.hpp"
#include "ganymede/tensor_file.hpp"

namespace ganymede {

/// How a parameter starts.
enum class Init { zero, glorot_uniform };

/// One parameter tensor of a layer.
struct ParameterSpec {
  std::string name;                 ///< "weight", "bias": PyTorch's name within the module
  std::vector<std::int64_t> shape;  ///< PyTorch's layout
  Init init = Init::zero;
  int fan_in = 0;
  int fan_out = 0;

  [[nodiscard]] std::size_t count() const {
    std::size_t n = 1;
    for (const std::int64_t d : shape) n *= static_cast<std::size_t>(d);
    return n;
  }
};

/// One layer: an affine (or other) map and the activation that follows it. Stateless: parameters, inputs
/// and outputs are passed in. To add a layer, implement this in one file of src/nn/.
class Layer {
 public:
  Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;
  virtual ~Layer() = default;

  /// Elements per sample.
  [[nodiscard]] virtual int inputs() const = 0;
  [[nodiscard]] virtual int outputs() const = 0;
  [[nodiscard]] virtual Activation activation() const = 0;
  [[nodiscard]] virtual std::vector<ParameterSpec> parameters() const = 0;
  /// "Linear 784 → 128, relu".
  [[nodiscard]] virtual std::string description() const = 0;
  /// True when a sample's output depends on that sample alone and the map before the activation is
  /// affine: what exact gradient penalties and the tangent pass need.
  [[nodiscard]] virtual bool affine_per_sample() const = 0;
  /// Floating-point operations of a forward pass over one sample (a multiply-add counts as two).
  [[nodiscard]] virtual double flops() const = 0;

  virtual void forward(Device& device, const BatchLayout& layout, const float* parameters, const float* x,
                       float* y) const = 0;
  virtual void tangent(Device& device, const BatchLayout& layout, const float* parameters, const float* tx,
                       const float* y, float* ty) const = 0;
  /// δ_l to δ_{l-1}: `below` and `x` are the activation and the output of the layer below.
  virtual void backward_data(Device& device, const BatchLayout& layout, const float* parameters, const float* delta,
                             Activation below, const float* x, float* delta_in) const = 0;
  /// Gradients of the parameters, (+)= Σ_rows: what multiplies the input (weights) takes x as it is given, what is
  /// added (biases) weighs rows by row_scale (null: 1). `gradient` is at this layer's first parameter.
  virtual void gradients(Device& device, const BatchLayout& layout, const float* x, const float* delta,
                         const float* row_scale, bool accumulate, SumTarget gradient) const = 0;
};

/// y = σ(W·x + b), W [out, in], Glorot-uniform, b zero.
std::unique_ptr<Layer> make_linear(int in, int out, Activation activation);

/// What a pass leaves behind for those that follow: h_l, δ_l and, where asked for, t_l of every layer,
/// allocated once for a number of rows. Arrays are [rows, outputs of the layer].
class Tape {
 public:
  [[nodiscard]] float* output(int layer) { return outputs_[index(layer)].data(); }
  [[nodiscard]] float* delta(int layer) { return deltas_[index(layer)].data(); }
  [[nodiscard]] float* tangent(int layer) { return tangents_[index(layer)].data(); }
  /// The last layer's.
  [[nodiscard]] float* output() { return outputs_.back().data(); }
  [[nodiscard]] float* delta() { return deltas_.back().data(); }

 private:
  friend class Network;
  static std::size_t index(int layer) { return static_cast<std::size_t>(layer); }
  std::vector<DeviceArray<float>> outputs_;
  std::vector<DeviceArray<float>> deltas_;
  std::vector<DeviceArray<float>> tangents_;
};

class Network {
 public:
  Network(Device& device, std::vector<std::unique_ptr<Layer>> layers);

  [[nodiscard]] int layers() const { return static_cast<int>(layers_.size()); }
  [[nodiscard]] const Layer& layer(int l) const { return *layers_[static_cast<std::size_t>(l)]; }
  [[nodiscard]] int inputs() const { return layers_.front()->inputs(); }
  [[nodiscard]] int outputs() const { return layers_.back()->outputs(); }
  /// The activation of the last layer.
  [[nodiscard]] Activation activation() const { return layers_.back()->activation(); }
  [[nodiscard]] std::size_t parameter_count() const { return count_; }
  [[nodiscard]] double flops() const;
  [[nodiscard]] Device& device() const { return *device_; }

  /// The flat buffer: layer by layer, each layer's parameters in order.
  [[nodiscard]] float* parameters() { return parameters_.data(); }
  [[nodiscard]] const DeviceArray<float>& parameter_array() const { return parameters_; }

  /// Draws initial values: a function of (seed, stream) and the parameter's place alone.
  void initialise(std::uint64_t seed, std::uint32_t stream);

  /// The parameters (or another flat buffer of the same layout, such as an average or a moment) under
  /// PyTorch's nn.Sequential names: "0.weight", "0.bias", "2.weight", … (an activation counts as a module).
  [[nodiscard]] std::vector<Tensor> tensors(const DeviceArray<float>& flat, const std::string& prefix = {}) const;
  /// The reverse: finds every tensor by name and shape in `file`; throws Error(data) naming what is missing
  /// or different. Other tensors in the file are left alone when they start with another prefix.
  void load(const TensorFile& file, DeviceArray<float>& flat, const std::string& source,
            const std::string& prefix = {}) const;
  void load(const TensorFile& file, const std::string& source) { load(file, parameters_, source); }

  /// Why an exact gradient penalty on this network is impossible; empty when it is possible.
  [[nodiscard]] std::string penalty_obstacle() const;

  [[nodiscard]] Tape make_tape(int rows, bool tangents) const;

  // --- passes; `x` is the input [rows, inputs()] ------------------------------------------------------
  /// Fills tape.output(l) for every layer.
  void forward(const BatchLayout& layout, const float* x, Tape& tape) const { forward(layout, x, tape, tape.output()); }
  /// The same with the last layer's output written to `y` instead.
  void forward(const BatchLayout& layout, const float* x, Tape& tape, float* y) const;
  /// The same with other parameters (an average).
  void forward(const BatchLayout& layout, const float* parameters, const float* x, Tape& tape, float* y) const;
  /// From δ of the last layer, already in tape.delta(), to tape.delta(0), for rows first_row … of the tape.
  void backward(const BatchLayout& layout, int first_row, Tape& tape) const;
  /// From tape.delta(0) to the adjoint of the input, times the slope of `below` at the input x: δ of the
  /// network that produced it, or with the identity ∂L/∂x. Rows first_row … of the tape; x and `to` start
  /// at that row.
  void backward_input(const BatchLayout& layout, int first_row, Tape& tape, Activation below, const float* x,
                      float* to) const;
  /// The tangent of every layer but the last in direction v: tape.tangent(l) for the rows that start at
  /// first_row of the tape's outputs.
  void tangent(const BatchLayout& layout, int first_row, const float* v, Tape& tape) const;
  /// Gradients of all parameters into `gradient` (parameter_count() elements), from rows first_row … of the tape;
  /// x starts at that row.
  void gradients(const BatchLayout& layout, int first_row, const float* x, Tape& tape, const float* row_scale,
                 bool accumulate, SumTarget gradient) const;

 private:
  [[nodiscard]] std::vector<std::string> tensor_names() const;

  Device* device_;
  std::vector<std::unique_ptr<Layer>> layers_;
  std::vector<std::size_t> offsets_;  // of each layer's first parameter
  std::size_t count_ = 0;
  DeviceArray<float> parameters_;
};

}  // namespace ganymede
