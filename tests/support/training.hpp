// A training in memory: a GAN and its step, on a device of its own.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "data/fetch.hpp"
#include "gan/step.hpp"

namespace ganymede::testing {

struct Training {
  Training(std::unique_ptr<Device> on, const TrainOptions& o, Communicator& ranks, const ImageSet& set)
      : options(o),
        images(shown(set, options)),
        device(std::move(on)),
        gan(make_gan(options, images.shape(), *device)),
        step(*device, ranks, gan, images, options) {}
  void go(int steps) {
    for (int i = 0; i < steps; ++i) step.run(false);
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
