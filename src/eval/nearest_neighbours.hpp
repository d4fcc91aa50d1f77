// What the nearest neighbours of images say, by Euclidean distance between pixels.
#pragma once

#include <cstdint>

#include "eval/sample_source.hpp"
#include "eval/share.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/device.hpp"

namespace ganymede::eval {

/// The test images that a 1-nearest-neighbour classifier gets wrong which was trained on the source's first `count`
/// labelled samples (Radford et al. 2015, table 3); of samples equally near the first counts. The source has classes
/// and the images labels. Collective.
Share classification_error(SampleSource& samples, std::uint64_t count, const ImageSet& test, Device& device,
                           Communicator& ranks);

/// Whether samples and as many real images can be told apart by their nearest neighbours (Lopez-Paz and Oquab 2017):
/// a classifier that says of each image what its nearest other one is. Half is ideal; more means that the two lie
/// apart, less that samples copy real images.
struct TwoSampleAccuracy {
  Share real;  ///< real images that it is right about; one equally near to both counts half
  Share generated;
  [[nodiscard]] Share all() const { return {real.part + generated.part, real.of + generated.of}; }
};

/// Between the source's first real.count images, of which it has as many, and the real ones. Collective.
TwoSampleAccuracy two_sample_accuracy(SampleSource& samples, const ImageSet& real, Device& device, Communicator& ranks);

}  // namespace ganymede::eval
