// See Stack in models.hpp.
#include "gan/models/models.hpp"
#include "ganymede/error.hpp"

namespace ganymede {

std::vector<Convolution> halvings(const TrainOptions& o, const ImageShape& image) {
  std::vector<Convolution> result;
  int size = image.height;
  int channels = image.channels;
  for (const int wider : o.channels) {
    Convolution g;
    g.kernel = o.kernel;
    g.stride = 2;
    g.padding = (o.kernel - 1) / 2;
    const int half = (size + 2 * g.padding - g.kernel) / g.stride + 1;
    if (size < 2 || size + 2 * g.padding < g.kernel || half < 1)
      throw Error(ExitCode::usage, "--channels asks for " + std::to_string(o.channels.size()) +
                                       " convolutions of stride 2, too many for images of side " +
                                       std::to_string(image.height) + ": use fewer, or a smaller --kernel");
    g.fine_height = g.fine_width = size;
    g.fine_channels = channels;
    g.coarse_height = g.coarse_width = half;
    g.coarse_channels = wider;
    result.push_back(g);
    size = half;
    channels = wider;
  }
  return result;
}

ImageShape top_of(const Convolution& g) { return {g.coarse_height, g.coarse_width, g.coarse_channels}; }

void Stack::flatten() {
  flattened_ = shape_;
  shape_ = {1, 1, shape_.size()};
}

void Stack::append_class() {
  if (classes_ == 0) return;
  layers_.push_back(make_append_class(shape_, classes_));
  shape_.channels += classes_;
}

void Stack::linear(int out, Activation activation, Weights weights) {
  layers_.push_back(make_linear(shape_.size(), out, activation, weights, flattened_));
  flattened_.reset();
  shape_ = {1, 1, out};
}

void Stack::linear_to_image(ImageShape out, Activation activation, Weights weights) {
  layers_.push_back(make_linear(shape_.size(), out.size(), activation, weights, flattened_, out));
  flattened_.reset();
  from_linear_ = true;
  shape_ = out;
}

void Stack::convolution(Convolution geometry, Activation activation, Weights weights) {
  geometry.fine_channels = shape_.channels;
  layers_.push_back(make_convolution(geometry, activation, weights, from_linear_));
  from_linear_ = false;
  shape_ = {geometry.coarse_height, geometry.coarse_width, geometry.coarse_channels};
}

void Stack::transposed_convolution(Convolution geometry, Activation activation, Weights weights) {
  geometry.coarse_channels = shape_.channels;
  layers_.push_back(make_transposed_convolution(geometry, activation, weights, from_linear_));
  from_linear_ = false;
  shape_ = {geometry.fine_height, geometry.fine_width, geometry.fine_channels};
}

void Stack::finish(const Hidden& hidden) {
  if (hidden.batch_norm) layers_.push_back(make_batch_norm(shape_, hidden.activation, from_linear_));
  dropout(hidden.dropout);
}

void Stack::dropout(double share) {
  if (share > 0) layers_.push_back(make_dropout(shape_.size(), share, dropouts_));
  ++dropouts_;
}

void Stack::logit(const Hidden& hidden, bool projection) {
  linear(projection ? 1 + classes_ : 1, {}, hidden.weights_with_bias());
  if (!projection) return;
  layers_.push_back(make_class_score(classes_));
  shape_ = {1, 1, 1};
}

}  // namespace ganymede
