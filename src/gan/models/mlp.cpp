// The fully connected pair of networks.
#include "gan/models/models.hpp"

namespace ganymede {
namespace {

void hidden_layers(Stack& stack, const std::vector<int>& widths, const Hidden& hidden) {
  for (const int width : widths) {
    stack.linear({1, 1, width}, hidden.map_activation(), hidden.weights());
    stack.normalise(hidden);
  }
}

// Of one channel, images have the same order everywhere: the networks take and give them as vectors.
ImageShape vector_if_grey(const ImageShape& image) { return image.channels == 1 ? ImageShape{1, 1, image.size()} : image; }

}  // namespace

Layers mlp_generator(const TrainOptions& o, const DataShape& data) {
  const Hidden hidden = generator_hidden_layers(o);
  Stack stack({1, 1, o.latent}, data.classes);
  stack.append_class();
  hidden_layers(stack, o.generator_hidden, hidden);
  stack.linear(vector_if_grey(data.image), Activation::named("sigmoid"), {hidden.init, true});
  return stack.take();
}

Layers mlp_discriminator(const TrainOptions& o, const DataShape& data) {
  const Hidden hidden = discriminator_hidden_layers(o);
  Stack stack(vector_if_grey(data.image), data.classes);
  stack.flatten();
  const bool projection = projects_class(o);
  if (!projection) stack.append_class();
  hidden_layers(stack, o.discriminator_hidden, hidden);
  stack.linear({1, 1, projection ? 1 + data.classes : 1}, {}, {hidden.init, true});
  if (projection) stack.class_score();
  return stack.take();
}

}  // namespace ganymede
