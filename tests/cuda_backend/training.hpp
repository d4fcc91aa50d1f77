// A training in memory, on a device of its own, of networks small enough for simulated GPUs.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "data/fetch.hpp"
#include "gan/step.hpp"
#include "support/gan_settings.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {

inline constexpr int side = 6;
inline constexpr int steps = 5;

inline TrainOptions options_of(const GanSetting& setting, bool reproducible) {
  TrainOptions o;
  o.latent = 9;
  o.generator_hidden = o.discriminator_hidden = {20, 17};
  o.batch = 18;
  o.seed = 7;
  o.reproducible = reproducible;
  setting.change(o);
  return o;
}

/// A GAN and its step.
struct Training {
  Training(std::unique_ptr<Device> on, const TrainOptions& o, Communicator& ranks, const ImageSet& set)
      : options(o),
        images(shown(set, options)),
        device(std::move(on)),
        gan(make_gan(options, images.shape(), *device)),
        step(*device, ranks, gan, images, options) {}
  void go(int count = steps) {
    for (int i = 0; i < count; ++i) step.run(false);
    step.settle();
    ASSERT_TRUE(step.finite());
  }
  /// Of all that is saved of it, a line for each file.
  [[nodiscard]] std::string digests() const {
    std::string text;
    for (const auto& [name, file] : gan.save()) text += name + " " + data::sha256(file.serialize()) + "\n";
    return text;
  }
  TrainOptions options;
  ImageSet images;
  std::unique_ptr<Device> device;
  Gan gan;
  GanStep step;
};

}  // namespace ganymede::testing
