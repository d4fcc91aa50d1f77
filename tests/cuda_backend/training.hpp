// Trainings of networks small enough for simulated GPUs.
#pragma once

#include "support/gan_settings.hpp"
#include "support/training.hpp"

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

}  // namespace ganymede::testing
