// Passes over a sequence of layers, and its parameters under PyTorch's names.
#include "ganymede/network.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "core/names.hpp"
#include "ganymede/error.hpp"
#include "math/normal.hpp"
#include "math/philox.hpp"
#include "nn/spectral_norm.hpp"

namespace ganymede {
namespace {

/// While it lives, the device's operations are those of layer l.
class InLayer {
 public:
  InLayer(Device& device, int l) : device_(device) { device_.enter_layer(l + 1); }
  InLayer(const InLayer&) = delete;
  InLayer& operator=(const InLayer&) = delete;
  ~InLayer() { device_.enter_layer(0); }

 private:
  Device& device_;
};

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return "[" + joined(shape, ", ", [](std::int64_t extent) { return std::to_string(extent); }) + "]";
}

// Initial values in PyTorch's order, so that they do not depend on memory's. One Philox block gives four elements; the
// sample number is the parameter's place among the network's trainable tensors, so that a layer's draws depend on its
// place and not on the shapes before it (a buffer's are in a stream of their own, under its place behind the weights).
std::vector<float> initial_values(const ParameterSpec& p, std::uint64_t seed, math::Stream stream,
                                  std::uint64_t tensor) {
  const std::size_t count = p.count();
  std::vector<float> to(count, p.init == Init::one ? 1.0F : 0.0F);
  if (p.init == Init::zero || p.init == Init::one) return to;
  // Glorot and Bengio 2010, equation 16; Radford et al. 2015, section 4.
  const auto bound = static_cast<float>(std::sqrt(6.0 / (p.fan_in + p.fan_out)));
  const float deviation = p.init == Init::standard_normal ? 1.0F : 0.02F;
  for (std::size_t i = 0; i < count; i += 4) {
    const math::Philox4 bits = math::philox_draw(seed, stream, tensor, static_cast<std::uint32_t>(i / 4));
    const math::NormalPair pairs[2] = {math::normal_pair(bits.v[0], bits.v[1]),
                                       math::normal_pair(bits.v[2], bits.v[3])};
    for (std::size_t j = 0; j < 4 && i + j < count; ++j)
      to[i + j] = p.init != Init::glorot_uniform ? deviation * (j % 2 == 0 ? pairs[j / 2].first : pairs[j / 2].second)
                                                 : bound * math::symmetric_unit(bits.v[j]);
  }
  return to;
}

// Between memory's order of a tensor's elements and PyTorch's: visit(place in memory, place in PyTorch's order).
template <class Visit>
void for_each_place(const ParameterSpec& p, Visit&& visit) {
  const std::size_t axes = p.order.size();
  if (axes == 0) {
    for (std::size_t here = 0; here < p.count(); ++here) visit(here, here);
    return;
  }
  std::vector<std::size_t> stride(axes, 1);  // of PyTorch's axes
  for (std::size_t a = axes; a-- > 1;) stride[a - 1] = stride[a] * static_cast<std::size_t>(p.view[a]);
  const std::size_t slice = stride[0];
  const auto tail = static_cast<std::size_t>(p.tail);
  stride[0] += tail;
  std::vector<std::int64_t> at(axes, 0);  // by memory's axes
  std::size_t there = 0;
  std::size_t here = 0;
  for (std::size_t i = 0; i < p.count() - static_cast<std::size_t>(p.view[0]) * tail; ++i) {
    visit(here++, there);
    // The first axis is memory's first too, and so a tail has the same place in both.
    if ((i + 1) % slice == 0)
      for (std::size_t t = 0; t < tail; ++t, ++here) visit(here, here);
    for (std::size_t m = axes; m-- > 0;) {
      const auto axis = static_cast<std::size_t>(p.order[m]);
      there += stride[axis];
      if (++at[m] < p.view[axis]) break;
      there -= stride[axis] * static_cast<std::size_t>(p.view[axis]);
      at[m] = 0;
    }
  }
}

}  // namespace

Network::Network(Device& device, std::vector<std::unique_ptr<Layer>> layers)
    : device_(&device), layers_(std::move(layers)) {
  if (layers_.empty()) throw Error(ExitCode::usage, "a network needs at least one layer");
  std::size_t buffers = 0;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (l > 0 && layers_[l]->inputs() != layers_[l - 1]->outputs())
      throw Error(ExitCode::usage, "layer " + std::to_string(l) + " (" + layers_[l]->description() + ") takes " +
                                       std::to_string(layers_[l]->inputs()) + " inputs, but the layer below gives " +
                                       std::to_string(layers_[l - 1]->outputs()));
    if (l == 0 && !layers_[l]->may_be_first())
      throw Error(ExitCode::usage, "a network cannot begin with " + layers_[l]->description());
    offsets_.push_back(count_);
    buffer_offsets_.push_back(buffers);
    for (const ParameterSpec& p : layers_[l]->parameters()) (p.trainable ? count_ : buffers) += p.count();
  }
  for (std::size_t& offset : buffer_offsets_) offset += count_;
  parameters_ = DeviceArray<float>(device, count_ + buffers);
  std::vector<SpectralNorm::Place> spectral;
  for (std::size_t l = 0; l < layers_.size(); ++l)
    if (const std::optional<MatrixShape> shape = layers_[l]->spectral()) {
      const std::size_t u = buffer_offsets_[l];
      spectral.push_back({*shape, offsets_[l], u, u + static_cast<std::size_t>(shape->rows)});
    }
  if (!spectral.empty()) spectral_ = std::make_unique<SpectralNorm>(device, count_, std::move(spectral));
  if (device.rounds()) rounded_ = DeviceArray<Bfloat16>(device, count_);
}

Network::Network(Network&& other) noexcept = default;
Network& Network::operator=(Network&& other) noexcept = default;
Network::~Network() = default;

double Network::flops() const {
  double sum = 0;
  for (const auto& layer : layers_) sum += layer->flops();
  return sum;
}

void Network::initialise(std::uint64_t seed, std::uint32_t stream) {
  std::vector<float> values(parameters_.size(), 0.0F);
  std::uint64_t tensor = 0;
  for (const Place& place : places(true)) {
    const math::Stream own =
        place.spec.trainable ? static_cast<math::Stream>(stream) : math::Stream::init_singular_vectors;
    const std::vector<float> drawn = initial_values(place.spec, seed, own, tensor);
    for_each_place(place.spec,
                   [&](std::size_t here, std::size_t there) { values[place.offset + here] = drawn[there]; });
    if (place.spec.trainable) ++tensor;
  }
  parameters_.assign(values.data());
  // As many steps as PyTorch takes.
  if (spectral_) spectral_->iterate(parameters_.data(), 15);
  refresh();
}

std::vector<Network::Place> Network::places(bool with_buffers) const {
  std::vector<Place> result;
  int module = 0;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = *layers_[l];
    if (layer.reshapes_input()) ++module;
    std::size_t trainable = offsets_[l];
    std::size_t buffer = buffer_offsets_[l];
    for (const ParameterSpec& p : layer.parameters()) {
      std::size_t& at = p.trainable ? trainable : buffer;
      if (p.trainable || with_buffers) result.push_back({std::to_string(module) + "." + p.name, p, at});
      at += p.count();
    }
    if (layer.is_module()) module += layer.activation().is_identity() ? 1 : 2;
  }
  return result;
}

std::vector<Tensor> Network::tensors(const DeviceArray<float>& flat, const std::string& prefix) const {
  return tensors(flat.host(), prefix);
}

std::vector<Tensor> Network::tensors(std::span<const float> values, const std::string& prefix) const {
  std::vector<Tensor> result;
  for (const Place& place : places(values.size() > count_)) {
    Tensor tensor{prefix + place.name, place.spec.shape, std::vector<float>(place.spec.count())};
    for_each_place(place.spec,
                   [&](std::size_t here, std::size_t there) { tensor.values[there] = values[place.offset + here]; });
    result.push_back(std::move(tensor));
  }
  return result;
}

void Network::load(const TensorFile& file, DeviceArray<float>& flat, const std::string& source,
                   const std::string& prefix) const {
  std::vector<float> values(flat.size());
  for (const Place& place : places(values.size() > count_)) {
    const std::string name = prefix + place.name;
    const Tensor* found = nullptr;
    for (const Tensor& t : file.tensors)
      if (t.name == name) found = &t;
    if (found == nullptr)
      throw Error(ExitCode::data, source + " has no tensor '" + name +
                                      "', which the network needs: the file belongs to another network");
    if (found->shape != place.spec.shape)
      throw Error(ExitCode::data, source + ": tensor '" + name + "' has shape " + shape_text(found->shape) +
                                      ", but the network needs " + shape_text(place.spec.shape));
    for_each_place(place.spec,
                   [&](std::size_t here, std::size_t there) { values[place.offset + here] = found->values[there]; });
  }
  flat.assign(values.data());
}

void Network::load(const TensorFile& file, const std::string& source) {
  load(file, parameters_, source);
  refresh();
}

void Network::follow_update() {
  if (spectral_) spectral_->iterate(parameters_.data(), 1);
  refresh();
}

void Network::refresh() {
  if (spectral_) spectral_->refresh(parameters_.data());
  if (rounded_.size() > 0) device_->round(count_, working_parameters(), rounded_.data());
}

const float* Network::parameter_gradient(const float* gradient) {
  return spectral_ ? spectral_->gradient(parameters_.data(), gradient) : gradient;
}

const float* Network::working_parameters() const { return spectral_ ? spectral_->parameters() : parameters_.data(); }

std::string Network::penalty_obstacle() const {
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (!layers_[l]->affine_per_sample())
      return layers_[l]->description() + " is not affine for each sample on its own";
    if (l + 1 < layers_.size() && !layers_[l]->activation().piecewise_linear())
      return layers_[l]->description() + ": the activation is not piecewise linear";
  }
  if (layers_.back()->activation().kind != 0) return "the last layer must give logits (identity)";
  return {};
}

Tape Network::make_tape(int rows, bool tangents) const { return make_tape(rows, tangents, nullptr); }

Tape Network::make_tape(int rows, bool tangents, Communicator& ranks, int batch) const {
  const TrainingBatch training{ranks, batch};
  return make_tape(rows, tangents, &training);
}

Tape Network::make_tape(int rows, bool tangents, const TrainingBatch* training) const {
  Tape tape;
  std::size_t room = 0;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    room = std::max(room, layers_[l]->rounding_room(rows));
    const std::size_t count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(layers_[l]->outputs());
    tape.outputs_.emplace_back(*device_, count);
    tape.deltas_.emplace_back(*device_, count);
    if (tangents && l + 1 < layers_.size()) tape.tangents_.emplace_back(*device_, count);
    tape.states_.push_back(layers_[l]->make_state(*device_, rows, training));
  }
  if (rounded_.size() > 0) tape.room_ = DeviceArray<Bfloat16>(*device_, room);
  return tape;
}

Pass Network::pass(const BatchLayout& layout, int l, int first_row, Tape& tape) const {
  const auto index = static_cast<std::size_t>(l);
  Pass pass{*device_, layout, working_parameters() + offsets_[index]};
  if (tape.labels_ != nullptr) pass.labels = tape.labels_ + first_row;
  pass.state = tape.states_[index].get();
  pass.first_row = first_row;
  if (tape.draws_) pass.draws = &*tape.draws_;
  if (tape.room_.size() > 0) pass.rounded = {rounded_.data() + offsets_[index], tape.room_.data()};
  return pass;
}

void Network::forward(const BatchLayout& layout, const float* x, Tape& tape, float* y) {
  for (int l = 0; l < layers(); ++l) {
    const InLayer in_layer(*device_, l);
    float* out = l + 1 == layers() ? y : tape.output(l);
    Pass own = pass(layout, l, 0, tape);
    own.buffers = parameters_.data() + buffer_offsets_[static_cast<std::size_t>(l)];
    layer(l).forward(own, x, out);
    x = out;
  }
}

void Network::evaluate(const BatchLayout& layout, const DeviceArray<float>& parameters, const float* x, Tape& tape,
                       float* y) const {
  // Layers read their buffers here and write to the tape alone.
  auto* flat = const_cast<float*>(parameters.data());
  if (spectral_ && flat != parameters_.data())
    throw std::logic_error("a network with spectral normalisation is evaluated with its own parameters");
  const float* trainable = spectral_ ? spectral_->parameters() : flat;
  for (int l = 0; l < layers(); ++l) {
    const InLayer in_layer(*device_, l);
    const auto index = static_cast<std::size_t>(l);
    float* out = l + 1 == layers() ? y : tape.output(l);
    Pass own{*device_, layout, trainable + offsets_[index], flat + buffer_offsets_[index]};
    own.labels = tape.labels_;
    own.state = tape.states_[index].get();
    own.training = false;
    layer(l).forward(own, x, out);
    x = out;
  }
}

void Network::backward(const BatchLayout& layout, int first_row, Tape& tape) const {
  for (int l = layers() - 1; l > 0; --l) {
    const InLayer in_layer(*device_, l);
    const std::ptrdiff_t skip = static_cast<std::ptrdiff_t>(first_row) * layer(l).outputs();
    const std::ptrdiff_t skip_below = static_cast<std::ptrdiff_t>(first_row) * layer(l).inputs();
    layer(l).backward_data(pass(layout, l, first_row, tape), tape.delta(l) + skip, layer(l - 1).activation(),
                           tape.output(l - 1) + skip_below, tape.delta(l - 1) + skip_below);
  }
}

void Network::backward_input(const BatchLayout& layout, int first_row, Tape& tape, Activation below, const float* x,
                             float* to) const {
  const InLayer in_layer(*device_, 0);
  const std::ptrdiff_t skip = static_cast<std::ptrdiff_t>(first_row) * layer(0).outputs();
  layer(0).backward_data(pass(layout, 0, first_row, tape), tape.delta(0) + skip, below, x, to);
}

void Network::tangent(const BatchLayout& layout, int first_row, const float* v, Tape& tape) const {
  for (int l = 0; l + 1 < layers(); ++l) {
    const InLayer in_layer(*device_, l);
    const std::ptrdiff_t skip = static_cast<std::ptrdiff_t>(first_row) * layer(l).outputs();
    layer(l).tangent(pass(layout, l, first_row, tape), v, tape.output(l) + skip, tape.tangent(l));
    v = tape.tangent(l);
  }
}

void Network::gradients(const BatchLayout& layout, int first_row, const float* x, Tape& tape, const float* row_scale,
                        bool accumulate, SumTarget gradient) const {
  for (int l = 0; l < layers(); ++l) {
    const InLayer in_layer(*device_, l);
    const std::ptrdiff_t skip = static_cast<std::ptrdiff_t>(first_row) * layer(l).outputs();
    const std::ptrdiff_t skip_below = static_cast<std::ptrdiff_t>(first_row) * layer(l).inputs();
    layer(l).gradients(pass(layout, l, first_row, tape), l == 0 ? x : tape.output(l - 1) + skip_below,
                       tape.delta(l) + skip, row_scale, accumulate, gradient.at(offsets_[static_cast<std::size_t>(l)]));
  }
}

}  // namespace ganymede
