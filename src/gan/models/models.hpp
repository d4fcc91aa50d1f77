// The families of networks, one file each. To add one: a file beside this one, and its line in models.cpp.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ganymede/network.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

using Layers = std::vector<std::unique_ptr<Layer>>;

/// A family by its name in --model. Both functions make layers for square images of side `side`.
struct Family {
  const char* name;
  Layers (*generator)(const TrainOptions& options, int side);
  Layers (*discriminator)(const TrainOptions& options, int side);
};

std::vector<std::string> model_names();
/// Throws Error(usage) naming the known ones.
const Family& family_named(const std::string& name);

/// How initial weights are drawn, by --init.
std::vector<std::string> init_names();
/// What may follow a hidden layer's map before its activation, by --generator-norm and --discriminator-norm.
std::vector<std::string> norm_names();

/// What a network's hidden layers share.
struct Hidden {
  Activation activation;
  bool batch_norm;
  Init init;
  /// For the map itself: where a normalisation follows, it has no bias, which that would take away, and no activation.
  [[nodiscard]] Weights weights() const { return {init, !batch_norm}; }
  [[nodiscard]] Activation map_activation() const { return batch_norm ? Activation{} : activation; }
};
Hidden generator_hidden_layers(const TrainOptions& options);
Hidden discriminator_hidden_layers(const TrainOptions& options);

/// Fully connected: z → hidden … → pixels, sigmoid; pixels → hidden … → one logit (Goodfellow et al. 2014).
Layers mlp_generator(const TrainOptions& options, int side);
Layers mlp_discriminator(const TrainOptions& options, int side);

/// Convolutions of stride 2 (Radford et al. 2015): see dcgan.cpp.
Layers dcgan_generator(const TrainOptions& options, int side);
Layers dcgan_discriminator(const TrainOptions& options, int side);

}  // namespace ganymede
