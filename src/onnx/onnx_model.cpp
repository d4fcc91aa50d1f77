// See onnx_model.hpp. The operators are those of https://onnx.ai/onnx/operators, opset 13.
#include "onnx/onnx_model.hpp"

#include <onnx/onnx_pb.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "ganymede/error.hpp"
#include "ganymede/version.hpp"

namespace ganymede {
namespace {

static_assert(std::endian::native == std::endian::little, "ONNX holds raw data in little-endian order");

constexpr int opset = 13;
constexpr int ir_version = 7;  // the first that has this opset

/// A layer's parameters by PyTorch's names.
using Parameters = std::map<std::string, const Tensor*>;

struct WeightsAndBias {
  std::vector<std::int64_t> shape;
  std::vector<float> weights;
  std::vector<float> bias;
};

std::size_t extent(const std::vector<std::int64_t>& shape, std::size_t axis) {
  return static_cast<std::size_t>(shape[axis]);
}

/// For every element of weights whose outputs lie along `axis`: visit(index, output).
template <class Visit>
void for_each_weight(const std::vector<std::int64_t>& shape, std::size_t axis, const Visit& visit) {
  std::size_t inner = 1;
  for (std::size_t a = axis + 1; a < shape.size(); ++a) inner *= extent(shape, a);
  std::size_t outer = 1;
  for (std::size_t a = 0; a < axis; ++a) outer *= extent(shape, a);
  const std::size_t outputs = extent(shape, axis);
  for (std::size_t i = 0; i < outer * outputs * inner; ++i) visit(i, i / inner % outputs);
}

/// W, or W/σ of a layer with spectral normalisation, σ = uᵀWv; and its bias, 0 where it has none.
WeightsAndBias weights_of(const Parameters& parameters, std::size_t output_axis) {
  WeightsAndBias result;
  const auto plain = parameters.find("weight");
  if (plain != parameters.end()) {
    result.shape = plain->second->shape;
    result.weights = plain->second->values;
  } else {
    const Tensor& original = *parameters.at("parametrizations.weight.original");
    const std::vector<float>& u = parameters.at("parametrizations.weight.0._u")->values;
    const std::vector<float>& v = parameters.at("parametrizations.weight.0._v")->values;
    double sigma = 0;
    for (std::size_t i = 0; i < original.values.size(); ++i)
      sigma += static_cast<double>(u[i / v.size()]) * original.values[i] * v[i % v.size()];
    result.shape = original.shape;
    for (const float w : original.values) result.weights.push_back(static_cast<float>(w / sigma));
  }
  const auto bias = parameters.find("bias");
  result.bias = bias != parameters.end() ? bias->second->values : std::vector<float>(extent(result.shape, output_axis));
  return result;
}

/// Batch normalisation with running statistics behind the layer: y·s + (β - mean·s), s = γ/√(variance + ε).
void fold(WeightsAndBias& layer, std::size_t output_axis, const Parameters& norm, float epsilon) {
  const std::vector<float>& gamma = norm.at("weight")->values;
  const std::vector<float>& beta = norm.at("bias")->values;
  const std::vector<float>& mean = norm.at("running_mean")->values;
  const std::vector<float>& variance = norm.at("running_var")->values;
  if (gamma.size() != layer.bias.size()) throw std::logic_error("the normalisation has other channels than its layer");
  std::vector<double> scale;
  for (std::size_t c = 0; c < gamma.size(); ++c) {
    scale.push_back(gamma[c] / std::sqrt(static_cast<double>(variance[c]) + epsilon));
    layer.bias[c] = static_cast<float>((static_cast<double>(layer.bias[c]) - mean[c]) * scale[c] + beta[c]);
  }
  for_each_weight(layer.shape, output_axis, [&](std::size_t i, std::size_t output) {
    layer.weights[i] = static_cast<float>(layer.weights[i] * scale[output]);
  });
}

/// Writes a graph from the first layer to the last. The value that comes next is an image, or a vector.
class GraphWriter {
 public:
  GraphWriter(onnx::GraphProto& graph, std::string input, std::optional<ImageShape> image)
      : graph_(graph), value_(std::move(input)), image_(image) {}

  void write(const Network& network) {
    std::vector<Tensor> tensors = network.tensors(network.parameter_array());
    std::size_t next = 0;
    std::vector<Parameters> parameters;
    for (int l = 0; l < network.layers(); ++l) {
      Parameters& own = parameters.emplace_back();
      for (const ParameterSpec& spec : network.layer(l).parameters()) own[spec.name] = &tensors[next++];
    }
    for (int l = 0; l < network.layers(); ++l) {
      layer_ = std::to_string(l);
      const LayerOperation operation = network.layer(l).operation();
      const Parameters& own = parameters[static_cast<std::size_t>(l)];
      if (std::holds_alternative<AffineOperation>(operation) ||
          std::holds_alternative<ConvolutionOperation>(operation)) {
        const auto* convolution = std::get_if<ConvolutionOperation>(&operation);
        const std::size_t output_axis = convolution != nullptr && convolution->transposed ? 1 : 0;
        WeightsAndBias weights = weights_of(own, output_axis);
        if (network.layer(l).activation().is_identity() && l + 1 < network.layers()) {
          const LayerOperation behind = network.layer(l + 1).operation();
          if (const auto* norm = std::get_if<NormalisationOperation>(&behind)) {
            ++l;
            fold(weights, output_axis, parameters[static_cast<std::size_t>(l)], norm->epsilon);
          }
        }
        if (convolution != nullptr)
          convolve(*convolution, weights);
        else
          affine(weights);
      } else if (const auto* append = std::get_if<AppendClassOperation>(&operation)) {
        append_class(*append);
      } else if (const auto* score = std::get_if<ClassScoreOperation>(&operation)) {
        class_score(*score);
      } else if (!std::holds_alternative<IdentityOperation>(operation)) {
        throw std::logic_error("a normalisation that follows neither a fully connected layer nor a convolution");
      }
      activate(network.layer(l).activation());
    }
  }

  /// Gives the last value its name and shape.
  void finish(const std::string& output, const std::vector<std::int64_t>& shape) {
    onnx::NodeProto& last = node("Reshape", {value_, whole_numbers("shape", shape)});
    last.set_output(0, output);
  }

 private:
  std::string named(const std::string& what) { return layer_ + "." + what; }

  /// A node with one output, which becomes the value that comes next.
  onnx::NodeProto& node(const char* type, const std::vector<std::string>& inputs) {
    onnx::NodeProto& added = *graph_.add_node();
    value_ = named(type) + "." + std::to_string(graph_.node_size());
    added.set_name(value_);
    added.set_op_type(type);
    for (const std::string& input : inputs) added.add_input(input);
    added.add_output(value_);
    return added;
  }
  static onnx::AttributeProto& attribute(onnx::NodeProto& node, const char* name,
                                         onnx::AttributeProto::AttributeType type) {
    onnx::AttributeProto& added = *node.add_attribute();
    added.set_name(name);
    added.set_type(type);
    return added;
  }
  static void set(onnx::NodeProto& node, const char* name, std::int64_t value) {
    attribute(node, name, onnx::AttributeProto::INT).set_i(value);
  }
  static void set(onnx::NodeProto& node, const char* name, const std::vector<std::int64_t>& values) {
    onnx::AttributeProto& added = attribute(node, name, onnx::AttributeProto::INTS);
    for (const std::int64_t value : values) added.add_ints(value);
  }

  template <class T>
  std::string constant(const std::string& name, onnx::TensorProto::DataType type,
                       const std::vector<std::int64_t>& shape, const std::vector<T>& values) {
    onnx::TensorProto& added = *graph_.add_initializer();
    added.set_name(name);
    added.set_data_type(type);
    for (const std::int64_t size : shape) added.add_dims(size);
    added.set_raw_data(values.data(), values.size() * sizeof(T));
    return name;
  }
  std::string numbers(const std::string& what, const std::vector<std::int64_t>& shape,
                      const std::vector<float>& values) {
    return constant(named(what), onnx::TensorProto::FLOAT, shape, values);
  }
  std::string whole_numbers(const std::string& what, const std::vector<std::int64_t>& values) {
    return constant(named(what) + "." + std::to_string(graph_.initializer_size()), onnx::TensorProto::INT64,
                    {static_cast<std::int64_t>(values.size())}, values);
  }

  /// Makes the value that comes next a vector, or an image of this shape.
  void flatten() {
    if (image_) set(node("Flatten", {value_}), "axis", 1);
    image_.reset();
  }
  void unflatten(const ImageShape& image) {
    if (!image_) node("Reshape", {value_, whole_numbers("shape", {-1, image.channels, image.height, image.width})});
    image_ = image;
  }

  void affine(const WeightsAndBias& weights) {
    flatten();
    const std::string w = numbers("weight", weights.shape, weights.weights);
    const std::string b = numbers("bias", {weights.shape[0]}, weights.bias);
    set(node("Gemm", {value_, w, b}), "transB", 1);
  }

  void convolve(const ConvolutionOperation& operation, const WeightsAndBias& weights) {
    const Convolution& g = operation.geometry;
    const ImageShape fine{g.fine_height, g.fine_width, g.fine_channels};
    const ImageShape coarse{g.coarse_height, g.coarse_width, g.coarse_channels};
    unflatten(operation.transposed ? coarse : fine);
    const std::string w = numbers("weight", weights.shape, weights.weights);
    const std::string b = numbers("bias", {static_cast<std::int64_t>(weights.bias.size())}, weights.bias);
    onnx::NodeProto& added = node(operation.transposed ? "ConvTranspose" : "Conv", {value_, w, b});
    const std::int64_t p = g.padding;
    set(added, "kernel_shape", std::vector<std::int64_t>{g.kernel, g.kernel});
    set(added, "strides", std::vector<std::int64_t>{g.stride, g.stride});
    set(added, "pads", std::vector<std::int64_t>{p, p, p, p});
    if (operation.transposed) {
      // What the grid has beyond the last whole stride.
      const auto beyond = [&](int fine_size, int coarse_size) -> std::int64_t {
        return fine_size - ((coarse_size - 1) * g.stride - 2 * g.padding + g.kernel);
      };
      set(added, "output_padding",
          std::vector<std::int64_t>{beyond(g.fine_height, g.coarse_height), beyond(g.fine_width, g.coarse_width)});
    }
    image_ = operation.transposed ? fine : coarse;
  }

  /// The rows of a table [classes, columns] that the classes choose, as a value beside the one that comes next.
  std::string row_of_class(const char* table, int classes, int columns, int first_column) {
    const std::string before = value_;
    std::vector<float> rows(static_cast<std::size_t>(classes) * static_cast<std::size_t>(columns));
    for (int c = 0; c < classes; ++c) {
      float* row = rows.data() + static_cast<std::ptrdiff_t>(c) * columns;
      for (int i = 0; i < first_column; ++i) row[i] = 1;
      row[first_column + c] = 1;
    }
    node("Gather", {numbers(table, {classes, columns}, rows), "class"});
    return std::exchange(value_, before);
  }

  void append_class(const AppendClassOperation& operation) {
    const ImageShape& image = operation.image;
    std::string one_hot = row_of_class("one-hot", operation.classes, operation.classes, 0);
    if (image.pixels() == 1) {
      flatten();
    } else {
      unflatten(image);
      const std::string before = value_;
      node("Reshape", {one_hot, whole_numbers("shape", {-1, operation.classes, 1, 1})});
      node("Expand", {value_, whole_numbers("shape", {1, 1, image.height, image.width})});
      one_hot = std::exchange(value_, before);
      image_->channels += operation.classes;
    }
    set(node("Concat", {value_, one_hot}), "axis", 1);
  }

  void class_score(const ClassScoreOperation& operation) {
    const std::string chosen = row_of_class("choice", operation.classes, 1 + operation.classes, 1);
    node("Mul", {value_, chosen});
    node("ReduceSum", {value_, whole_numbers("axes", {1})});
  }

  void activate(const Activation& activation) {
    static const std::map<std::string, const char*> operators = {
        {"relu", "Relu"}, {"leaky-relu", "LeakyRelu"}, {"sigmoid", "Sigmoid"}, {"tanh", "Tanh"}};
    if (activation.is_identity()) return;
    const auto known = operators.find(activation.name());
    if (known == operators.end())
      throw Error(ExitCode::usage, std::string("the activation ") + activation.name() +
                                       " has no ONNX operator here: networks that use it cannot be exported as ONNX "
                                       "models");
    onnx::NodeProto& added = node(known->second, {value_});
    if (known->first == "leaky-relu")
      attribute(added, "alpha", onnx::AttributeProto::FLOAT).set_f(activation.parameter);
  }

  onnx::GraphProto& graph_;
  std::string layer_;
  std::string value_;
  std::optional<ImageShape> image_;
};

/// The first axis is the batch.
void declare(onnx::ValueInfoProto& value, const char* name, onnx::TensorProto::DataType type,
             const std::vector<std::int64_t>& rest) {
  value.set_name(name);
  onnx::TypeProto::Tensor& tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  tensor.mutable_shape()->add_dim()->set_dim_param("batch");
  for (const std::int64_t size : rest) tensor.mutable_shape()->add_dim()->set_dim_value(size);
}

onnx::ModelProto empty_model(const char* name, const std::map<std::string, std::string>& metadata) {
  onnx::ModelProto model;
  model.set_ir_version(ir_version);
  model.set_producer_name("ganymede");
  model.set_producer_version(version);
  model.add_opset_import()->set_version(opset);
  for (const auto& [key, value] : metadata) {
    onnx::StringStringEntryProto& property = *model.add_metadata_props();
    property.set_key(key);
    property.set_value(value);
  }
  model.mutable_graph()->set_name(name);
  return model;
}

std::vector<std::int64_t> axes_of(const ImageShape& image) { return {image.channels, image.height, image.width}; }

}  // namespace

std::string onnx_generator(const Network& generator, const DataShape& data,
                           const std::map<std::string, std::string>& metadata) {
  onnx::ModelProto model = empty_model("generator", metadata);
  onnx::GraphProto& graph = *model.mutable_graph();
  declare(*graph.add_input(), "z", onnx::TensorProto::FLOAT, {generator.inputs()});
  if (data.classes > 0) declare(*graph.add_input(), "class", onnx::TensorProto::INT64, {});
  GraphWriter writer(graph, "z", std::nullopt);
  writer.write(generator);
  writer.finish("images", {-1, data.image.channels, data.image.height, data.image.width});
  declare(*graph.add_output(), "images", onnx::TensorProto::FLOAT, axes_of(data.image));
  return model.SerializeAsString();
}

std::string onnx_discriminator(const Network& discriminator, const DataShape& data,
                               const std::map<std::string, std::string>& metadata) {
  onnx::ModelProto model = empty_model("discriminator", metadata);
  onnx::GraphProto& graph = *model.mutable_graph();
  declare(*graph.add_input(), "images", onnx::TensorProto::FLOAT, axes_of(data.image));
  if (data.classes > 0) declare(*graph.add_input(), "class", onnx::TensorProto::INT64, {});
  GraphWriter writer(graph, "images", data.image);
  writer.write(discriminator);
  writer.finish("logits", {-1});
  declare(*graph.add_output(), "logits", onnx::TensorProto::FLOAT, {});
  return model.SerializeAsString();
}

}  // namespace ganymede
