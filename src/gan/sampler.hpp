// Draws images from a generator: for the grids of a training and for `ganymede sample`.
#pragma once

#include <cstdint>
#include <vector>

#include "ganymede/network.hpp"
#include "math/philox.hpp"

namespace ganymede {

class Sampler {
 public:
  /// Works in blocks of at most `block` images.
  explicit Sampler(const Network& generator, int block = 256);

  /// Images number first … first+count-1 of (seed, stream), [count, pixels] in 0 … 1, with these parameters
  /// of the generator. An image does not depend on which others are drawn with it.
  std::vector<float> draw(const DeviceArray<float>& parameters, std::uint64_t seed, math::Stream stream,
                          std::uint64_t first, int count);
  /// Images of given latent vectors z [count, latent] on the host.
  std::vector<float> images(const DeviceArray<float>& parameters, const std::vector<float>& z);
  /// The latent vectors of draw(), on the host.
  std::vector<float> latents(std::uint64_t seed, math::Stream stream, std::uint64_t first, int count);

 private:
  void forward(const DeviceArray<float>& parameters, int rows, std::vector<float>& to, std::size_t at);

  const Network* generator_;
  int block_;
  DeviceArray<std::uint64_t> zero_;
  DeviceArray<float> z_;
  DeviceArray<float> images_;
  Tape tape_;
};

}  // namespace ganymede
