// The fully connected pair of networks.
#include "gan/models/models.hpp"

namespace ganymede {
namespace {

void hidden_layers(Stack& stack, const std::vector<int>& widths, const Hidden& hidden) {
  for (const int width : widths) {
    stack.linear(width, hidden.map_activation(), hidden.weights());
    stack.finish(hidden);
  }
}

// Of one channel, images have the same order everywhere: the networks take and give them as vectors.
bool is_vector(const ImageShape& image) { return image.channels == 1; }

}  // namespace

Layers mlp_generator(const TrainOptions& o, const DataShape& data) {
  const Hidden hidden = generator_hidden_layers(o);
  Stack stack({1, 1, o.latent}, data.classes);
  stack.append_class();
  hidden_layers(stack, o.generator_hidden, hidden);
  const Activation sigmoid = Activation::named("sigmoid");
  if (is_vector(data.image))
    stack.linear(data.image.size(), sigmoid, hidden.weights_with_bias());
  else
    stack.linear_to_image(data.image, sigmoid, hidden.weights_with_bias());
  return stack.take();
}

Layers mlp_discriminator(const TrainOptions& o, const DataShape& data) {
  const Hidden hidden = discriminator_hidden_layers(o);
  Stack stack(is_vector(data.image) ? ImageShape{1, 1, data.image.size()} : data.image, data.classes);
  stack.dropout(o.input_dropout);
  if (!is_vector(data.image)) stack.flatten();
  const bool projection = projects_class(o);
  if (!projection) stack.append_class();
  hidden_layers(stack, o.discriminator_hidden, hidden);
  stack.logit(hidden, projection);
  return stack.take();
}

}  // namespace ganymede
