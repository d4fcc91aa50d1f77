// The families of networks, one file each. To add one: a file beside this one, and its line in models.cpp.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ganymede/network.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

using Layers = std::vector<std::unique_ptr<Layer>>;

/// A family by its name in --model. Both functions make layers for square images, told their class where `data` has
/// any.
struct Family {
  const char* name;
  bool convolutions;                     ///< its networks have some
  std::span<const char* const> options;  ///< that are for some families alone, this one among them
  Layers (*generator)(const TrainOptions& options, const DataShape& data);
  Layers (*discriminator)(const TrainOptions& options, const DataShape& data);
};

std::vector<std::string> model_names();
/// The options that are for some families alone, each with these.
std::map<std::string, std::vector<std::string>> models_with_options();
/// Throws Error(usage) naming the known ones.
const Family& family_named(const std::string& name);

/// How z is drawn, by --latent-distribution: from N(0, 1) or from U(-1, 1).
std::vector<std::string> latent_distribution_names();
/// How initial weights are drawn, by --init.
std::vector<std::string> init_names();
/// How networks learn of an image's class, by --condition: not at all, by channels that are appended to D's input as to
/// G's, or in D by projection and in G as before.
std::vector<std::string> condition_names();
/// Whether they do.
bool is_conditional(const TrainOptions& options);
/// Whether D learns of it by projection.
bool projects_class(const TrainOptions& options);
/// What may follow a hidden layer's map before its activation, by --generator-norm and --discriminator-norm.
std::vector<std::string> norm_names();

/// Whether an activation looks at --leak.
bool takes_leak(const std::string& activation);

/// What a network's hidden layers share.
struct Hidden {
  Activation activation;
  bool batch_norm;
  Init init;
  bool spectral_norm;
  double dropout;  ///< share of the units
  /// For the map itself: where a normalisation follows, it has no bias, which that would take away, and no activation.
  [[nodiscard]] Weights weights() const { return {init, !batch_norm, spectral_norm}; }
  /// For a map that no normalisation follows.
  [[nodiscard]] Weights weights_with_bias() const { return {init, true, spectral_norm}; }
  [[nodiscard]] Activation map_activation() const { return batch_norm ? Activation{} : activation; }
};
Hidden generator_hidden_layers(const TrainOptions& options);
Hidden discriminator_hidden_layers(const TrainOptions& options);

/// A network under construction: each function adds a layer to what is there.
class Stack {
 public:
  Stack(ImageShape input, int classes) : shape_(input), classes_(classes) {}

  /// Makes a vector of an image, for a fully connected layer.
  void flatten();
  /// Appends the row's class, where rows have one.
  void append_class();
  void linear(int out, Activation activation, Weights weights);
  void linear_to_image(ImageShape out, Activation activation, Weights weights);
  /// For `geometry` but for its numbers of input channels, which are those that are there.
  void convolution(Convolution geometry, Activation activation, Weights weights);
  void transposed_convolution(Convolution geometry, Activation activation, Weights weights);
  /// What follows the map of a hidden layer that was added with hidden.weights() and hidden.map_activation(): its
  /// normalisation and dropout.
  void finish(const Hidden& hidden);
  /// Sets a share of what is there to zero in training. Without a share it adds no layer.
  void dropout(double share);
  /// What D ends in: one logit, or with projection that of the row's class.
  void logit(const Hidden& hidden, bool projection);
  [[nodiscard]] Layers take() { return std::move(layers_); }

 private:
  Layers layers_;
  ImageShape shape_;
  int classes_;
  std::optional<ImageShape> flattened_;  // the image that the vector began as
  bool from_linear_ = false;             // the image is a linear layer's output
  int dropouts_ = 0;                     // calls of dropout()
};

/// D's convolutions of stride 2 from the image on, one for each of --channels, with kernels of side --kernel; G has
/// them transposed, in reverse. Throws Error(usage) where the image is too small for as many.
std::vector<Convolution> halvings(const TrainOptions& options, const ImageShape& image);
/// What such a convolution makes.
ImageShape top_of(const Convolution& halving);

/// Fully connected: z → hidden … → pixels, sigmoid; pixels → hidden … → one logit (Goodfellow et al. 2014). Classes are
/// appended to both inputs.
Layers mlp_generator(const TrainOptions& options, const DataShape& data);
Layers mlp_discriminator(const TrainOptions& options, const DataShape& data);

/// Convolutions of stride 2 (Radford et al. 2015): see dcgan.cpp.
Layers dcgan_generator(const TrainOptions& options, const DataShape& data);
Layers dcgan_discriminator(const TrainOptions& options, const DataShape& data);

/// The same halvings with convolutions of stride 1 between them (Huang et al. 2024): see modern.cpp.
Layers modern_generator(const TrainOptions& options, const DataShape& data);
Layers modern_discriminator(const TrainOptions& options, const DataShape& data);

}  // namespace ganymede
