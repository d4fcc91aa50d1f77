// DCGAN (Radford, Metz, Chintala 2015) for images of any side: D halves the image by one convolution of stride 2 for
// each of --channels, and ends in --fully-connected units and a logit; G is the same backwards. As the authors do, the
// first convolution of D is not normalised, nor are the last layers of both, and a class is appended to every layer's
// input.
#include "gan/models/models.hpp"

namespace ganymede {
Layers dcgan_generator(const TrainOptions& o, const DataShape& data) {
  const Hidden hidden = generator_hidden_layers(o);
  const std::vector<Convolution> convolutions = halvings(o, data.image);
  Stack stack({1, 1, o.latent}, data.classes);
  if (o.fully_connected > 0) {
    stack.append_class();
    stack.linear(o.fully_connected, hidden.map_activation(), hidden.weights());
    stack.finish(hidden);
  }
  stack.append_class();
  stack.linear_to_image(top_of(convolutions.back()), hidden.map_activation(), hidden.weights());
  stack.finish(hidden);
  for (std::size_t i = convolutions.size(); i-- > 1;) {
    stack.append_class();
    stack.transposed_convolution(convolutions[i], hidden.map_activation(), hidden.weights());
    stack.finish(hidden);
  }
  stack.append_class();
  stack.transposed_convolution(convolutions.front(), Activation::named("sigmoid"), hidden.weights_with_bias());
  return stack.take();
}

Layers dcgan_discriminator(const TrainOptions& o, const DataShape& data) {
  const Hidden hidden = discriminator_hidden_layers(o);
  const std::vector<Convolution> convolutions = halvings(o, data.image);
  const bool projection = projects_class(o);
  Stack stack(data.image, data.classes);
  const auto append_class = [&] {
    if (!projection) stack.append_class();
  };
  stack.dropout(o.input_dropout);
  append_class();
  stack.convolution(convolutions.front(), hidden.activation, hidden.weights_with_bias());
  stack.dropout(hidden.dropout);
  for (std::size_t i = 1; i < convolutions.size(); ++i) {
    append_class();
    stack.convolution(convolutions[i], hidden.map_activation(), hidden.weights());
    stack.finish(hidden);
  }
  stack.flatten();
  append_class();
  if (o.fully_connected > 0) {
    stack.linear(o.fully_connected, hidden.map_activation(), hidden.weights());
    stack.finish(hidden);
    append_class();
  }
  stack.logit(hidden, projection);
  return stack.take();
}

}  // namespace ganymede
