// Networks: a sequence of layers with explicit forward, backward-data, backward-weights and tangent
// passes, over one flat parameter buffer.
//
// Notation: layer l computes a_l = f_l(h_{l-1}), h_l = σ_l(a_l). What flows backward is δ_l = ∂L/∂a_l, the
// adjoint before the activation; a layer's backward-data pass multiplies by the slope σ'_{l-1} of the layer
// below, so that each pass touches each array once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ganymede/device.hpp"
#include "ganymede/layer_operation.hpp"
#include "ganymede/shapes.hpp"
#include "ganymede/tensor_file.hpp"

namespace ganymede {

/// How a parameter starts: normal is N(0, 0.02²), as DCGAN's authors chose it; standard_normal N(0, 1).
enum class Init { zero, one, glorot_uniform, normal, standard_normal };

/// One parameter tensor of a layer, or a buffer (running statistics, singular vectors), which the optimiser leaves
/// alone.
struct ParameterSpec {
  std::string name;                 ///< "weight", "bias": PyTorch's name within the module
  std::vector<std::int64_t> shape;  ///< PyTorch's
  Init init = Init::zero;
  int fan_in = 0;
  int fan_out = 0;
  bool trainable = true;
  /// Where memory holds the elements in another order than PyTorch: PyTorch's shape with more axes, and which of
  /// these is memory's first, second … axis. Empty: the same order.
  std::vector<std::int64_t> view = {};
  std::vector<int> order = {};
  /// With a view: so many more elements at the end of each slice of the first axis are in the same order.
  std::int64_t tail = 0;

  [[nodiscard]] std::size_t count() const {
    std::size_t n = 1;
    for (const std::int64_t d : shape) n *= static_cast<std::size_t>(d);
    return n;
  }
};

/// What a layer keeps in a tape beside its arrays, from one pass to those that follow: statistics of the batch, say. A
/// layer that has any derives its own.
class LayerState {
 public:
  LayerState() = default;
  LayerState(const LayerState&) = delete;
  LayerState& operator=(const LayerState&) = delete;
  virtual ~LayerState() = default;
};

/// What a tape for training is made for: `batch` rows per part on all ranks together.
struct TrainingBatch {
  Communicator& ranks;
  int batch;
};

/// What the layers of a pass draw from: row r of part p is global sample `first` + r of the stream `stream` + p, see
/// src/math/philox.hpp.
struct Draws {
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;
  StepCount first;
};

/// What a layer's pass works with beside its arrays.
struct Pass {
  Device& device;
  const BatchLayout& layout;
  const float* parameters = nullptr;  ///< this layer's trainable ones
  float* buffers = nullptr;           ///< this layer's others
  /// The class of each row, [layout.total_rows()]; null: the rows have none.
  const std::uint8_t* labels = nullptr;
  LayerState* state = nullptr;   ///< what this layer's make_state() made for the tape
  int first_row = 0;             ///< of the tape's rows, where the pass begins
  const Draws* draws = nullptr;  ///< null: there are none
  bool training = true;          ///< false: evaluation, in which nothing depends on the batch
  Rounded rounded = {};          ///< `weights`: the trainable parameters
};

/// A layer's weights as a matrix: the rows are its outputs or output channels.
struct MatrixShape {
  int rows;
  int columns;
};

/// One layer: an affine (or other) map and the activation that follows it. Stateless: parameters, inputs, outputs
/// and what it keeps in a tape are passed in. To add a layer, implement this in one file of src/nn/.
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
  /// What it does in a row of layers, as people write it: "→ 128", "→ 64×14×14" (channels, height, width).
  [[nodiscard]] virtual std::string row_text() const { return "→ " + std::to_string(outputs()); }
  /// True when a sample's output depends on that sample alone and the map before the activation is
  /// affine: what exact gradient penalties and the tangent pass need.
  [[nodiscard]] virtual bool affine_per_sample() const = 0;
  /// False where gradients() needs what a backward_data() pass leaves, which the first layer may be spared.
  [[nodiscard]] virtual bool may_be_first() const { return true; }
  /// What it keeps in a tape of `rows` rows; null: nothing. `training` is null for a tape that is for evaluation.
  [[nodiscard]] virtual std::unique_ptr<LayerState> make_state(Device& /*device*/, int /*rows*/,
                                                               const TrainingBatch* /*training*/) const {
    return nullptr;
  }
  /// The matrix that passes get divided by its largest singular value: the layer's first trainable parameter, whose
  /// singular vectors u [rows] and v [columns] are the first buffers. None: passes get all parameters as they are.
  [[nodiscard]] virtual std::optional<MatrixShape> spectral() const { return {}; }
  /// True where PyTorch's nn.Sequential has a Flatten or an Unflatten before this layer's module.
  [[nodiscard]] virtual bool reshapes_input() const { return false; }
  /// Whether PyTorch's nn.Sequential has a module for its map (and one for an activation other than the identity).
  [[nodiscard]] virtual bool is_module() const { return true; }
  /// Rounded::room of its passes over `rows` rows, elements.
  [[nodiscard]] virtual std::size_t rounding_room(int /*rows*/) const { return 0; }
  /// Floating-point operations of a forward pass over one sample (a multiply-add counts as two).
  [[nodiscard]] virtual double flops() const = 0;
  /// Its map in evaluation, for other programs' formats.
  [[nodiscard]] virtual LayerOperation operation() const = 0;

  virtual void forward(const Pass& pass, const float* x, float* y) const = 0;
  virtual void tangent(const Pass& pass, const float* tx, const float* y, float* ty) const = 0;
  /// δ_l to δ_{l-1}: `below` and `x` are the activation and the output of the layer below.
  virtual void backward_data(const Pass& pass, const float* delta, Activation below, const float* x,
                             float* delta_in) const = 0;
  /// Gradients of the trainable parameters, (+)= Σ_rows: what multiplies the input (weights) takes x as it is given,
  /// what is added (biases) weighs rows by row_scale (null: 1). `gradient` is at this layer's first parameter.
  virtual void gradients(const Pass& pass, const float* x, const float* delta, const float* row_scale, bool accumulate,
                         SumTarget gradient) const = 0;
};

/// How a layer's weights start, whether it adds a bias (which starts at zero), and whether it is normalised spectrally.
struct Weights {
  Init init = Init::glorot_uniform;
  bool bias = true;
  bool spectral = false;
};

/// y = σ(W·x + b), W [out, in]. Where the input is an image (or begins with one), PyTorch flattens it first; where the
/// output becomes one, PyTorch unflattens it later: `in_image` and `out_image` say so. With the latter weights are not
/// to be normalised spectrally.
std::unique_ptr<Layer> make_linear(int in, int out, Activation activation, Weights weights = {},
                                   std::optional<ImageShape> in_image = {}, std::optional<ImageShape> out_image = {});

/// The convolution from geometry's fine grid to its coarse one, W [out channels, in channels, kernel, kernel].
/// `unflatten`: the input comes from a fully connected layer.
std::unique_ptr<Layer> make_convolution(const Convolution& geometry, Activation activation, Weights weights = {},
                                        bool unflatten = false);

/// The transposed convolution from geometry's coarse grid to its fine one, W [in channels, out channels, kernel,
/// kernel]. Not to be normalised spectrally.
std::unique_ptr<Layer> make_transposed_convolution(const Convolution& geometry, Activation activation,
                                                   Weights weights = {}, bool unflatten = false);

/// Batch normalisation (Ioffe, Szegedy 2015) of an image's channels over the batch and all pixels, on all ranks
/// together; γ starts at one, β at zero; ε 1e-5, momentum 0.1. `flat`: the image comes from a fully connected layer,
/// and each of its elements is a channel of its own.
std::unique_ptr<Layer> make_batch_norm(ImageShape image, Activation activation, bool flat = false);

/// In training sets a share (0 … less than 1) of its inputs to zero and divides the others by 1 - share (Srivastava et
/// al. 2014); in evaluation leaves all as they are. Layers with other numbers (0 … 255) draw other masks.
std::unique_ptr<Layer> make_dropout(int size, double share, int number);

/// Puts the row's class behind the channels of every pixel, as one channel per class that is 1 where it is the row's
/// and else 0 (Mirza, Osindero 2014; Radford et al. 2015). No module of PyTorch's nn.Sequential.
std::unique_ptr<Layer> make_append_class(ImageShape image, int classes);

/// From 1 + classes inputs to one output: the first input plus the one that belongs to the row's class. Behind a linear
/// layer without activation it is the projection discriminator's ψ(φ) + e_yᵀφ (Miyato, Koyama 2018), with a bias for
/// each class. No module of PyTorch's nn.Sequential.
std::unique_ptr<Layer> make_class_score(int classes);

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
  /// From now on row r of the passes has the class labels[r], in the device's memory; null: none.
  void set_labels(const std::uint8_t* labels) { labels_ = labels; }
  /// What layers draw from in the forward passes that follow.
  void set_draws(const Draws& draws) { draws_ = draws; }

 private:
  friend class Network;
  static std::size_t index(int layer) { return static_cast<std::size_t>(layer); }
  std::vector<DeviceArray<float>> outputs_;
  std::vector<DeviceArray<float>> deltas_;
  std::vector<DeviceArray<float>> tangents_;
  std::vector<std::unique_ptr<LayerState>> states_;  // by layer, null where it has none
  DeviceArray<Bfloat16> room_;                       // Rounded::room of any layer
  const std::uint8_t* labels_ = nullptr;
  std::optional<Draws> draws_;
};

class SpectralNorm;

class Network {
 public:
  Network(Device& device, std::vector<std::unique_ptr<Layer>> layers);
  Network(Network&& other) noexcept;
  Network& operator=(Network&& other) noexcept;
  ~Network();

  [[nodiscard]] int layers() const { return static_cast<int>(layers_.size()); }
  [[nodiscard]] const Layer& layer(int l) const { return *layers_[static_cast<std::size_t>(l)]; }
  [[nodiscard]] int inputs() const { return layers_.front()->inputs(); }
  [[nodiscard]] int outputs() const { return layers_.back()->outputs(); }
  /// The activation of the last layer.
  [[nodiscard]] Activation activation() const { return layers_.back()->activation(); }
  /// Those that are trained.
  [[nodiscard]] std::size_t parameter_count() const { return count_; }
  [[nodiscard]] double flops() const;
  [[nodiscard]] Device& device() const { return *device_; }

  /// The flat buffer: layer by layer, each layer's trainable parameters in order, then the layers' buffers likewise.
  [[nodiscard]] float* parameters() { return parameters_.data(); }
  [[nodiscard]] const DeviceArray<float>& parameter_array() const { return parameters_; }

  /// Draws initial values: a function of (seed, stream) and the parameter's place alone.
  void initialise(std::uint64_t seed, std::uint32_t stream);

  /// The parameters and buffers (or another flat array of the same layout: an average, or a moment, which has no
  /// buffers) under PyTorch's nn.Sequential names: "0.weight", "0.bias", "2.weight", … (an activation counts as a
  /// module), in PyTorch's order of elements.
  [[nodiscard]] std::vector<Tensor> tensors(const DeviceArray<float>& flat, const std::string& prefix = {}) const;
  /// The same of a copy on the host; may run beside passes.
  [[nodiscard]] std::vector<Tensor> tensors(std::span<const float> flat, const std::string& prefix = {}) const;
  /// The reverse: finds every tensor by name and shape in `file`; throws Error(data) naming what is missing
  /// or different. Other tensors in the file are left alone when they start with another prefix.
  void load(const TensorFile& file, DeviceArray<float>& flat, const std::string& source,
            const std::string& prefix = {}) const;
  void load(const TensorFile& file, const std::string& source);

  /// To be called after each update of the parameters, for the passes that follow. With spectral normalisation it takes
  /// the next step of the power iteration and divides the new weights by σ; where the device rounds, they are rounded.
  void follow_update();
  /// Passes give gradients with respect to what they work with. From that to the gradient of the parameters,
  /// parameter_count() elements: the same memory, or with spectral normalisation this network's own.
  [[nodiscard]] const float* parameter_gradient(const float* gradient);

  /// Why an exact gradient penalty on this network is impossible; empty when it is possible.
  [[nodiscard]] std::string penalty_obstacle() const;

  /// For evaluation, and for training where no layer keeps anything of the batch.
  [[nodiscard]] Tape make_tape(int rows, bool tangents) const;
  /// For training on `batch` rows per part on all ranks together. Collective. The tape must not outlive `ranks`.
  [[nodiscard]] Tape make_tape(int rows, bool tangents, Communicator& ranks, int batch) const;

  // --- passes; `x` is the input [rows, inputs()] ------------------------------------------------------
  /// Fills tape.output(l) for every layer, and updates running statistics.
  void forward(const BatchLayout& layout, const float* x, Tape& tape) { forward(layout, x, tape, tape.output()); }
  /// The same with the last layer's output written to `y` instead.
  void forward(const BatchLayout& layout, const float* x, Tape& tape, float* y);
  /// Evaluation, in float32: with these parameters (an average, say) and running statistics, one part. A network with
  /// spectral normalisation has normalised none but its own.
  void evaluate(const BatchLayout& layout, const DeviceArray<float>& parameters, const float* x, Tape& tape,
                float* y) const;
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
  /// Every tensor: its name, and where it begins in the flat array.
  struct Place {
    std::string name;
    ParameterSpec spec;
    std::size_t offset;
  };
  [[nodiscard]] std::vector<Place> places(bool with_buffers) const;
  [[nodiscard]] Tape make_tape(int rows, bool tangents, const TrainingBatch* training) const;
  /// What passes work with: parameters() up to the buffers, or those with normalised weights.
  [[nodiscard]] const float* working_parameters() const;
  /// Makes that of the parameters, and rounds it.
  void refresh();
  [[nodiscard]] Pass pass(const BatchLayout& layout, int l, int first_row, Tape& tape) const;

  Device* device_;
  std::vector<std::unique_ptr<Layer>> layers_;
  std::vector<std::size_t> offsets_;         // of each layer's first trainable parameter
  std::vector<std::size_t> buffer_offsets_;  // of each layer's first buffer
  std::size_t count_ = 0;
  DeviceArray<float> parameters_;
  std::unique_ptr<SpectralNorm> spectral_;  // null where no layer is normalised
  DeviceArray<Bfloat16> rounded_;           // working_parameters(), where the device rounds
};

}  // namespace ganymede
