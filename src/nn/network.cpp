// Passes over a sequence of layers, and its parameters under PyTorch's names.
#include "ganymede/network.hpp"

#include <cmath>
#include <utility>

#include "ganymede/error.hpp"
#include "math/philox.hpp"

namespace ganymede {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

// Uniform in (-bound, bound). One Philox block gives four elements; the sample number is the parameter's
// place among the network's tensors, so inserting a layer leaves the others' draws alone.
void draw_uniform(std::uint64_t seed, math::Stream stream, std::uint64_t tensor, float bound, float* to,
                  std::size_t count) {
  for (std::size_t i = 0; i < count; i += 4) {
    const math::Philox4 bits = math::philox_draw(seed, stream, tensor, static_cast<std::uint32_t>(i / 4));
    for (std::size_t j = 0; j < 4 && i + j < count; ++j)
      to[i + j] = bound * (2.0F * math::unit_interval(bits.v[j]) - 1.0F);
  }
}

}  // namespace

Network::Network(Device& device, std::vector<std::unique_ptr<Layer>> layers)
    : device_(&device), layers_(std::move(layers)) {
  if (layers_.empty()) throw Error(ExitCode::usage, "a network needs at least one layer");
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (l > 0 && layers_[l]->inputs() != layers_[l - 1]->outputs())
      throw Error(ExitCode::usage, "layer " + std::to_string(l) + " (" + layers_[l]->description() + ") takes " +
                                       std::to_string(layers_[l]->inputs()) + " inputs, but the layer below gives " +
                                       std::to_string(layers_[l - 1]->outputs()));
    offsets_.push_back(count_);
    for (const ParameterSpec& p : layers_[l]->parameters()) count_ += p.count();
  }
  parameters_ = DeviceArray<float>(device, count_);
}

double Network::flops() const {
  double sum = 0;
  for (const auto& layer : layers_) sum += layer->flops();
  return sum;
}

void Network::initialise(std::uint64_t seed, std::uint32_t stream) {
  std::vector<float> values(count_, 0.0F);
  std::size_t at = 0;
  std::uint64_t tensor = 0;
  for (const auto& layer : layers_) {
    for (const ParameterSpec& p : layer->parameters()) {
      if (p.init == Init::glorot_uniform) {
        // Glorot and Bengio 2010, equation 16.
        const auto bound = static_cast<float>(std::sqrt(6.0 / (p.fan_in + p.fan_out)));
        draw_uniform(seed, static_cast<math::Stream>(stream), tensor, bound, values.data() + at, p.count());
      }
      at += p.count();
      ++tensor;
    }
  }
  parameters_.assign(values.data());
}

std::vector<std::string> Network::tensor_names() const {
  std::vector<std::string> names;
  int module = 0;
  for (const auto& layer : layers_) {
    for (const ParameterSpec& p : layer->parameters()) names.push_back(std::to_string(module) + "." + p.name);
    module += layer->activation().kind == 0 ? 1 : 2;
  }
  return names;
}

std::vector<Tensor> Network::tensors(const DeviceArray<float>& flat, const std::string& prefix) const {
  const std::vector<float> values = flat.host();
  const std::vector<std::string> names = tensor_names();
  std::vector<Tensor> result;
  std::size_t at = 0;
  for (const auto& layer : layers_) {
    for (const ParameterSpec& p : layer->parameters()) {
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>(at);
      result.push_back(
          {prefix + names[result.size()], p.shape, {begin, begin + static_cast<std::ptrdiff_t>(p.count())}});
      at += p.count();
    }
  }
  return result;
}

void Network::load(const TensorFile& file, DeviceArray<float>& flat, const std::string& source,
                   const std::string& prefix) const {
  const std::vector<std::string> names = tensor_names();
  std::vector<float> values;
  values.reserve(count_);
  std::size_t i = 0;
  for (const auto& layer : layers_) {
    for (const ParameterSpec& p : layer->parameters()) {
      const std::string name = prefix + names[i++];
      const Tensor* found = nullptr;
      for (const Tensor& t : file.tensors)
        if (t.name == name) found = &t;
      if (found == nullptr)
        throw Error(ExitCode::data, source + " has no tensor '" + name + "', which the network (" +
                                        layer->description() + ") needs: the file belongs to another network");
      if (found->shape != p.shape)
        throw Error(ExitCode::data, source + ": tensor '" + name + "' has shape " + shape_text(found->shape) +
                                        ", but the network (" + layer->description() + ") needs " +
                                        shape_text(p.shape));
      values.insert(values.end(), found->values.begin(), found->values.end());
    }
  }
  flat.assign(values.data());
}

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

Tape Network::make_tape(int rows, bool tangents) const {
  Tape tape;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const std::size_t count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(layers_[l]->outputs());
    tape.outputs_.emplace_back(*device_, count);
    tape.deltas_.emplace_back(*device_, count);
    if (tangents && l + 1 < layers_.size()) tape.tangents_.emplace_back(*device_, count);
  }
  return tape;
}

void Network::forward(const BatchLayout& layout, const float* x, Tape& tape, float* y) const {
  forward(layout, parameters_.data(), x, tape, y);
}

void Network::forward(const BatchLayout& layout, const float* parameters, const float* x, Tape& tape, float* y) const {
  for (int l = 0; l < layers(); ++l) {
    float* out = l + 1 == layers() ? y : tape.output(l);
    layer(l).forward(*device_, layout, parameters + offsets_[static_cast<std::size_t>(l)], x, out);
    x = out;
  }
}

void Network::backward(const BatchLayout& layout, int first_row, Tape& tape) const {
  for (int l = layers() - 1; l > 0; --l) {
    const std::ptrdiff_t skip = static_cast<std::ptrdiff_t>(first_row) * layer(l).outputs();
    const std::ptrdiff_t skip_below = static_cast<std::ptrdiff_t>(first_row) * layer(l).inputs();
    layer(l).backward_data(*device_, layout, parameters_.data() + offsets_[static_cast<std::size_t>(l)],
                           tape.delta(l) + skip, layer(l - 1).activation(), tape.output(l - 1) + skip_below,
                           tape.delta(l - 1) + skip_below);
  }
}

void Network::backward_input(const BatchLayout& layout, int first_row, Tape& tape, Activation below, const float* x,
                             float* to) const {
  const std::ptrdiff_t skip = static_cast<std::ptrdiff_t>(first_row) * layer(0).outputs();
  layer(0).backward_data(*device_, layout, parameters_.data(), tape.delta(0) + skip, below, x, to);
}

void Network::tangent(const BatchLayout& layout, int first_row, const float* v, Tape& tape) const {
  for (int l = 0; l + 1 < layers(); ++l) {
    const std::ptrdiff_t skip = static_cast<std::ptrdiff_t>(first_row) * layer(l).outputs();
    layer(l).tangent(*device_, layout, parameters_.data() + offsets_[static_cast<std::size_t>(l)], v,
                     tape.output(l) + skip, tape.tangent(l));
    v = tape.tangent(l);
  }
}

void Network::gradients(const BatchLayout& layout, int first_row, const float* x, Tape& tape, const float* row_scale,
                        bool accumulate, SumTarget gradient) const {
  for (int l = 0; l < layers(); ++l) {
    const std::ptrdiff_t skip = static_cast<std::ptrdiff_t>(first_row) * layer(l).outputs();
    const std::ptrdiff_t skip_below = static_cast<std::ptrdiff_t>(first_row) * layer(l).inputs();
    layer(l).gradients(*device_, layout, l == 0 ? x : tape.output(l - 1) + skip_below, tape.delta(l) + skip, row_scale,
                       accumulate, gradient.at(offsets_[static_cast<std::size_t>(l)]));
  }
}

}  // namespace ganymede
