// What a training says of itself while it runs: one record per logged step.
#pragma once

#include <cstdint>

namespace ganymede {

/// The means over the steps since the last record.
struct MetricsRecord {
  std::uint64_t step = 0;  ///< steps completed
  std::uint64_t images_seen = 0;
  double epoch = 0;               ///< images_seen / images in the set
  double discriminator_loss = 0;  ///< without penalties
  double generator_loss = 0;
  double penalty = 0;                      ///< the sum of gradient penalties in D's objective
  double real_accuracy = 0;                ///< share of real images with D(x) > 0, logits
  double fake_accuracy = 0;                ///< share of generated images with D(x) < 0
  double discriminator_gradient_norm = 0;  ///< of the last step, after the reduction
  double generator_gradient_norm = 0;
  double seconds = 0;            ///< since this process began to train
  double images_per_second = 0;  ///< over the interval
};

}  // namespace ganymede
