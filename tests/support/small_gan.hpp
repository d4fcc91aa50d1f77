// A GAN small enough for the reference to differentiate: options, images of random bytes, and its networks in
// double precision.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gan/gan.hpp"
#include "ganymede/dataset.hpp"
#include "ganymede/options.hpp"
#include "support/reference_gan.hpp"

namespace ganymede::testing {

/// `count` square images of random bytes, of three classes.
class RandomImages {
 public:
  RandomImages(std::uint32_t count, int side, unsigned seed) {
    std::mt19937 generator(seed);
    bytes_.resize(count * count_of(side, side));
    for (std::uint8_t& byte : bytes_) byte = static_cast<std::uint8_t>(generator() >> 24);
    labels_.resize(count);
    for (std::uint8_t& label : labels_) label = static_cast<std::uint8_t>(generator() % 3);
    labels_.front() = 2;
    set_.images = bytes_;
    set_.labels = labels_;
    set_.count = count;
    set_.height = set_.width = side;
  }
  [[nodiscard]] const ImageSet& set() const { return set_; }

 private:
  std::vector<std::uint8_t> bytes_;
  std::vector<std::uint8_t> labels_;
  ImageSet set_;
};

/// Images of 4 × 4, networks of two hidden layers with up to six units.
inline TrainOptions small_options() {
  TrainOptions o;
  o.latent = 3;
  o.generator_hidden = {5, 4};
  o.discriminator_hidden = {6, 4};
  o.batch = 6;
  o.r1 = 0;
  o.ema = 0;
  return o;
}
inline constexpr int small_side = 4;

/// Convolutions, batch normalisation and classes, as the recipe dcgan has them, but few of them.
inline void change_to_small_dcgan(TrainOptions& o) {
  o.model = "dcgan";
  o.condition = "concat";
  o.channels = {3, 4};
  o.fully_connected = 6;
  o.generator_norm = o.discriminator_norm = "batch";
  o.r1 = 0;
}

inline reference::Mlp reference_of(const Network& network) {
  std::vector<int> widths = {network.inputs()};
  std::vector<reference::Sigma> sigmas;
  for (int l = 0; l < network.layers(); ++l) {
    const Activation sigma = network.layer(l).activation();
    widths.push_back(network.layer(l).outputs());
    sigmas.push_back({sigma.name(), static_cast<double>(sigma.parameter)});
  }
  reference::Mlp result(widths, sigmas);
  result.parameters = widen(network.parameter_array().host());
  return result;
}

}  // namespace ganymede::testing
