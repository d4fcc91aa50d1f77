// Whether samples of a class-conditional generator are of the classes that it was told, and whether they show all that
// there is to know of them (Shmelkov, Schmid, Alahari 2018): GAN-train is the accuracy on real images of a classifier
// that has learnt from samples alone, GAN-test that on samples of one that has learnt from real images. The first falls
// where samples lack quality or variety, the second where they lack quality.
#pragma once

#include <cstdint>

#include "eval/judge.hpp"
#include "eval/sample_source.hpp"
#include "eval/share.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/device.hpp"

namespace ganymede::eval {

/// The protocol of `eval`: at most so many images, and about so many updates of JudgeRecipe::batch images.
inline constexpr std::uint64_t most_gan_train_images = 10'000;
inline constexpr int gan_train_updates = 1000;
inline constexpr std::uint64_t least_gan_train_images = 100;
/// Passes over `count` images that make at least so many updates.
int gan_train_epochs(std::uint64_t count, int updates);

struct GanTrain {
  Share samples;          ///< right answers on the test images, of a judge that has learnt from samples,
  Share training_images;  ///< and of one that has learnt from as many training images
};

/// Trains judges of the shipped one's architecture, from initial weights, for gan_train_epochs() on both sources' first
/// `count` labelled images of Judge::side × Judge::side, at least least_gan_train_images. Each judge is trained by one
/// rank and is the same on any number of ranks and threads; samples stay with the ranks that have read them and are
/// sent a batch at a time. Every rank reads what it needs of `training_images`. Collective.
GanTrain gan_train(SampleSource& samples, SampleSource& training_images, std::uint64_t count, int updates,
                   const ImageSet& test, Device& device, Communicator& ranks);

/// The share of the source's first `count` images that the judge gives their labels. Collective.
Share gan_test(SampleSource& samples, std::uint64_t count, Judge& judge, Communicator& ranks);

}  // namespace ganymede::eval
