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
  double relative = 0;  ///< the distance over that to the second nearest training image, of those that differ
};

/// The probability that a member's value is greater than another's, ties counting half (the area under the ROC curve;
/// Mann, Whitney 1947): ½ says nothing, 1 tells them apart without fail.
struct AreaUnderCurve {
  double value = 0;
  double standard_error = 0;  ///< by Hanley and McNeil (1982)
};
AreaUnderCurve area_under_curve(const std::vector<double>& members, const std::vector<double>& others);

/// A copy is known by its relative distance: it is much nearer to one training image than to the second nearest (Yoon
/// et al. 2023), where a new image is about as near to both, in a dense part of the training set as in a sparse one.
/// The bare distance is no measure of it: that of thin digits is small, whether they are copies or not. An image that
/// the training set holds several times is one.
struct Memorisation {
  /// Medians of the distance to the nearest training image: of samples, and of held-out images.
  double samples_to_training = 0;
  double held_out_to_training = 0;
  /// 1: samples are as far from the training images as new ones are. Less where they copy them, and also where they
  /// show simpler things than the held-out images.
  [[nodiscard]] double ratio() const { return samples_to_training / held_out_to_training; }
  /// The share of samples that are relatively nearer to a training image than all but a hundredth of the held-out
  /// images are; .01 is what new images have.
  double near_copies = 0;
  /// As how many independent samples these count (Kish 1965): those that are nearest to the same training image say
  /// one thing. Of a collapsed generator few.
  double independent = 0;
  [[nodiscard]] double near_copies_error() const;
  /// More than copying_share of the samples are near copies, by two standard deviations.
  [[nodiscard]] bool copies() const;
  /// That they are not, as sure as that: of a few independent samples neither can be told.
  [[nodiscard]] bool no_copies() const;
  /// How well the distance to the nearest sample tells training images from held-out ones.
  AreaUnderCurve by_distance;
  std::vector<NearestPair> closest;  ///< relatively nearest first, of each training image one
};

inline constexpr double copying_share = 0.05;
/// Of fewer held-out images it is not known what a hundredth has.
inline constexpr int least_held_out = 100;
/// Of fewer training or held-out images an area under the curve says more of which images they happen to be than of the
/// GAN.
inline constexpr int least_for_membership = 500;

/// Of the source's first `count` images and sets of one shape, of at least two training images; `pairs` of the closest.
/// Collective; the same on any number of ranks.
Memorisation memorisation(SampleSource& samples, std::uint64_t count, const ImageSet& training,
                          const ImageSet& held_out, std::size_t pairs, Device& device, Communicator& ranks);

}  // namespace ganymede::eval
