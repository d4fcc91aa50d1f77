// Whether a GAN has learnt its training images by heart: how near samples come to them, beside images that it has never
// seen, and whether one can tell from the GAN which images it was trained on.
#pragma once

#include <cstdint>
#include <vector>

#include "eval/sample_source.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/device.hpp"

namespace ganymede::eval {

/// A sample, by its number, and the training image that is nearest to it.
struct NearestPair {
  std::uint64_t sample = 0;
  std::uint32_t training_image = 0;
  double distance = 0;  ///< Euclidean, pixels from 0 to 1
};

struct Memorisation {
  /// Medians of the distance to the nearest training image: of samples, and of held-out images.
  double samples_to_training = 0;
  double held_out_to_training = 0;
  /// 1: samples are as far from the training images as new ones are; far less: they copy them.
  [[nodiscard]] double ratio() const { return samples_to_training / held_out_to_training; }
  /// The share of samples that are nearer to a training image than all but a hundredth of the held-out images are;
  /// .01 is what new images have.
  double near_copies = 0;
  /// How well the distance to the nearest sample tells training images from held-out ones: see area_under_curve().
  double distance_auc = 0;
  std::vector<NearestPair> closest;  ///< nearest first
};

/// Of the source's first `count` images and sets of one shape; `pairs` of the closest. Collective; the same on any
/// number of ranks.
Memorisation memorisation(SampleSource& samples, std::uint64_t count, const ImageSet& training,
                          const ImageSet& held_out, std::size_t pairs, Device& device, Communicator& ranks);

/// The probability that a member's value is greater than another's, ties counting half (the area under the ROC curve;
/// Mann, Whitney 1947): ½ says nothing, 1 tells them apart without fail.
double area_under_curve(const std::vector<double>& members, const std::vector<double>& others);

}  // namespace ganymede::eval
