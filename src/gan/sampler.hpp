// Draws images from a generator: for the grids of a training and for `ganymede sample`.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ganymede/network.hpp"
#include "ganymede/options.hpp"
#include "math/philox.hpp"

namespace ganymede {

class Sampler {
 public:
  /// `generator` makes images of `classes` classes (0: it is not told any) from what the options say of z. Works in
  /// blocks of at most `block` images.
  Sampler(const Network& generator, const TrainOptions& options, int classes, int block = 256);

  /// Images number first … first+count-1 of (seed, stream), [count, pixels] in 0 … 1, with these parameters
  /// of the generator. An image does not depend on which others are drawn with it. Image i is of class `only`, or of
  /// class_of(i).
  std::vector<float> draw(const DeviceArray<float>& parameters, std::uint64_t seed, math::Stream stream,
                          std::uint64_t first, int count, std::optional<int> only = {});
  /// The classes in turn; 0 without any.
  [[nodiscard]] int class_of(std::uint64_t image) const;
  /// Images of given latent vectors z [count, latent] and, where there are classes, labels [count], on the host.
  std::vector<float> images(const DeviceArray<float>& parameters, const std::vector<float>& z,
                            const std::vector<std::uint8_t>& labels);
  /// The latent vectors of draw(), on the host.
  std::vector<float> latents(std::uint64_t seed, math::Stream stream, std::uint64_t first, int count);

 private:
  void set_labels(const std::uint8_t* labels, int rows);
  void forward(const DeviceArray<float>& parameters, int rows, std::vector<float>& to, std::size_t at);

  const Network* generator_;
  TrainOptions options_;
  int classes_;
  int block_;
  DeviceArray<std::uint64_t> zero_;
  DeviceArray<float> z_;
  DeviceArray<std::uint8_t> labels_;
  DeviceArray<float> images_;
  Tape tape_;
};

}  // namespace ganymede
