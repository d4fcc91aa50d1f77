// The fully connected pair of networks.
#include "gan/models/models.hpp"

namespace ganymede {
namespace {

Layers stack(int in, const std::vector<int>& hidden, Activation inside, int out, Activation last) {
  Layers layers;
  for (const int width : hidden) {
    layers.push_back(make_linear(in, width, inside));
    in = width;
  }
  layers.push_back(make_linear(in, out, last));
  return layers;
}

}  // namespace

Layers mlp_generator(const TrainOptions& o, int side) {
  return stack(o.latent, o.generator_hidden, Activation::named(o.generator_activation, static_cast<float>(o.leak)),
               side * side, Activation::named("sigmoid"));
}

Layers mlp_discriminator(const TrainOptions& o, int side) {
  return stack(side * side, o.discriminator_hidden,
               Activation::named(o.discriminator_activation, static_cast<float>(o.leak)), 1,
               Activation::named("identity"));
}

}  // namespace ganymede
