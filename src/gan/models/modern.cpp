// A small convolutional pair for losses with gradient penalties (after Huang, Gokaslan, Kuleshov, Tompkin 2024, "The
// GAN is dead; long live the GAN!": by default no normalisation, nothing that couples the images of a batch). D halves
// the image by one convolution of stride 2 for each of --channels, each followed by --blocks 3×3 convolutions on its
// own resolution, and ends in a logit; G is the same backwards. A class enters G with z, and D by projection or with
// the image.
#include "gan/models/models.hpp"

namespace ganymede {
namespace {

// Convolutions that leave an image's shape as it is.
void blocks(Stack& stack, int count, const ImageShape& image, const Hidden& hidden) {
  Convolution same;
  same.kernel = 3;
  same.padding = 1;
  same.fine_height = same.coarse_height = image.height;
  same.fine_width = same.coarse_width = image.width;
  same.coarse_channels = image.channels;
  for (int i = 0; i < count; ++i) {
    stack.convolution(same, hidden.map_activation(), hidden.weights());
    stack.finish(hidden);
  }
}

}  // namespace

Layers modern_generator(const TrainOptions& o, const DataShape& data) {
  const Hidden hidden = generator_hidden_layers(o);
  const std::vector<Convolution> convolutions = halvings(o, data.image);
  Stack stack({1, 1, o.latent}, data.classes);
  stack.append_class();
  stack.linear_to_image(top_of(convolutions.back()), hidden.map_activation(), hidden.weights());
  stack.finish(hidden);
  for (std::size_t i = convolutions.size(); i-- > 1;) {
    blocks(stack, o.blocks, top_of(convolutions[i]), hidden);
    stack.transposed_convolution(convolutions[i], hidden.map_activation(), hidden.weights());
    stack.finish(hidden);
  }
  blocks(stack, o.blocks, top_of(convolutions.front()), hidden);
  stack.transposed_convolution(convolutions.front(), Activation::named("sigmoid"), hidden.weights_with_bias());
  return stack.take();
}

Layers modern_discriminator(const TrainOptions& o, const DataShape& data) {
  const Hidden hidden = discriminator_hidden_layers(o);
  const bool projection = projects_class(o);
  Stack stack(data.image, data.classes);
  stack.dropout(o.input_dropout);
  if (!projection) stack.append_class();
  for (const Convolution& halving : halvings(o, data.image)) {
    stack.convolution(halving, hidden.map_activation(), hidden.weights());
    stack.finish(hidden);
    blocks(stack, o.blocks, top_of(halving), hidden);
  }
  stack.flatten();
  stack.logit(hidden, projection);
  return stack.take();
}

}  // namespace ganymede
