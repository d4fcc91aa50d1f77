// DCGAN (Radford, Metz, Chintala 2015) for images of any side: D halves the image by one convolution of stride 2 for
// each of --channels, and ends in --fully-connected units and a logit; G is the same backwards. As the authors do, the
// first convolution of D is not normalised, nor are the last layers of both.
#include "gan/models/models.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

// D's convolutions from the image on; G has them transposed, in reverse.
std::vector<Convolution> pyramid(const TrainOptions& o, int side) {
  std::vector<Convolution> result;
  int size = side;
  int channels = 1;
  for (const int wider : o.channels) {
    Convolution g;
    g.kernel = o.kernel;
    g.stride = 2;
    g.padding = (o.kernel - 1) / 2;
    const int half = (size + 2 * g.padding - g.kernel) / g.stride + 1;
    if (size < 2 || size + 2 * g.padding < g.kernel || half < 1)
      throw Error(ExitCode::usage, "--channels asks for " + std::to_string(o.channels.size()) +
                                       " convolutions of stride 2, too many for images of side " +
                                       std::to_string(side) + ": use fewer, or a smaller --kernel");
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

Layers dcgan_generator(const TrainOptions& o, int side) {
  const Hidden hidden = generator_hidden_layers(o);
  const std::vector<Convolution> convolutions = pyramid(o, side);
  const ImageShape top = top_of(convolutions.back());
  Layers layers;
  int width = o.latent;
  if (o.fully_connected > 0) {
    layers.push_back(make_linear(width, o.fully_connected, hidden.map_activation(), hidden.weights()));
    width = o.fully_connected;
    if (hidden.batch_norm) layers.push_back(make_batch_norm({1, 1, width}, hidden.activation));
  }
  layers.push_back(make_linear(width, top.size(), hidden.map_activation(), hidden.weights(), {}, top));
  if (hidden.batch_norm) layers.push_back(make_batch_norm(top, hidden.activation, true));
  for (std::size_t i = convolutions.size(); i-- > 0;) {
    const Convolution& g = convolutions[i];
    const bool unflatten = i + 1 == convolutions.size();
    if (i == 0) {
      layers.push_back(make_transposed_convolution(g, Activation::named("sigmoid"), {hidden.init, true}, unflatten));
      break;
    }
    layers.push_back(make_transposed_convolution(g, hidden.map_activation(), hidden.weights(), unflatten));
    if (hidden.batch_norm)
      layers.push_back(make_batch_norm({g.fine_height, g.fine_width, g.fine_channels}, hidden.activation));
  }
  return layers;
}

Layers dcgan_discriminator(const TrainOptions& o, int side) {
  const Hidden hidden = discriminator_hidden_layers(o);
  const std::vector<Convolution> convolutions = pyramid(o, side);
  const ImageShape top = top_of(convolutions.back());
  Layers layers;
  for (const Convolution& g : convolutions) {
    if (layers.empty()) {
      layers.push_back(make_convolution(g, hidden.activation, {hidden.init, true}));
      continue;
    }
    layers.push_back(make_convolution(g, hidden.map_activation(), hidden.weights()));
    if (hidden.batch_norm) layers.push_back(make_batch_norm(top_of(g), hidden.activation));
  }
  if (o.fully_connected > 0) {
    layers.push_back(make_linear(top.size(), o.fully_connected, hidden.map_activation(), hidden.weights(), top));
    if (hidden.batch_norm) layers.push_back(make_batch_norm({1, 1, o.fully_connected}, hidden.activation));
    layers.push_back(make_linear(o.fully_connected, 1, Activation::named("identity"), {hidden.init, true}));
  } else {
    layers.push_back(make_linear(top.size(), 1, Activation::named("identity"), {hidden.init, true}, top));
  }
  return layers;
}

}  // namespace ganymede
