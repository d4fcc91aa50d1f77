// The fully connected pair of networks.
#include "gan/models/models.hpp"

namespace ganymede {
namespace {

Layers stack(int in, const std::vector<int>& widths, const Hidden& hidden, int out, Activation last) {
  Layers layers;
  for (const int width : widths) {
    layers.push_back(make_linear(in, width, hidden.map_activation(), hidden.weights()));
    if (hidden.batch_norm) layers.push_back(make_batch_norm({1, 1, width}, hidden.activation));
    in = width;
  }
  layers.push_back(make_linear(in, out, last, {hidden.init, true}));
  return layers;
}

}  // namespace

Layers mlp_generator(const TrainOptions& o, int side) {
  return stack(o.latent, o.generator_hidden, generator_hidden_layers(o), side * side, Activation::named("sigmoid"));
}

Layers mlp_discriminator(const TrainOptions& o, int side) {
  return stack(side * side, o.discriminator_hidden, discriminator_hidden_layers(o), 1, Activation::named("identity"));
}

}  // namespace ganymede
