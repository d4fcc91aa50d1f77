// DCGAN (Radford, Metz, Chintala 2015) for images of any side: D halves the image by one convolution of stride 2 for
// each of --channels, and ends in --fully-connected units and a logit; G is the same backwards. As the authors do, the
// first convolution of D is not normalised, nor are the last layers of both, and a class is appended to every layer's
// input.
#include "gan/models/models.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

// D's convolutions from the image on; G has them transposed, in reverse.
std::vector<Convolution> pyramid(const TrainOptions& o, const ImageShape& image) {
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

}  // namespace

Layers dcgan_generator(const TrainOptions& o, const DataShape& data) {
  const Hidden hidden = generator_hidden_layers(o);
  const std::vector<Convolution> convolutions = pyramid(o, data.image);
  Stack stack({1, 1, o.latent}, data.classes);
  if (o.fully_connected > 0) {
    stack.append_class();
    stack.linear(o.fully_connected, hidden.map_activation(), hidden.weights());
    stack.normalise(hidden);
  }
  stack.append_class();
  stack.linear_to_image(top_of(convolutions.back()), hidden.map_activation(), hidden.weights());
  stack.normalise(hidden);
  for (std::size_t i = convolutions.size(); i-- > 1;) {
    stack.append_class();
    stack.transposed_convolution(convolutions[i], hidden.map_activation(), hidden.weights());
    stack.normalise(hidden);
  }
  stack.append_class();
  stack.transposed_convolution(convolutions.front(), Activation::named("sigmoid"), {hidden.init, true});
  return stack.take();
}

Layers dcgan_discriminator(const TrainOptions& o, const DataShape& data) {
  const Hidden hidden = discriminator_hidden_layers(o);
  const std::vector<Convolution> convolutions = pyramid(o, data.image);
  const bool projection = projects_class(o);
  Stack stack(data.image, data.classes);
  const auto append_class = [&] {
    if (!projection) stack.append_class();
  };
  append_class();
  stack.convolution(convolutions.front(), hidden.activation, {hidden.init, true});
  for (std::size_t i = 1; i < convolutions.size(); ++i) {
    append_class();
    stack.convolution(convolutions[i], hidden.map_activation(), hidden.weights());
    stack.normalise(hidden);
  }
  stack.flatten();
  append_class();
  if (o.fully_connected > 0) {
    stack.linear(o.fully_connected, hidden.map_activation(), hidden.weights());
    stack.normalise(hidden);
    append_class();
  }
  stack.linear(projection ? 1 + data.classes : 1, {}, {hidden.init, true});
  if (projection) stack.class_score();
  return stack.take();
}

}  // namespace ganymede
