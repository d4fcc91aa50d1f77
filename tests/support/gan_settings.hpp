// What makes one training step different from another: the settings under which whole trainings are compared, between
// numbers of ranks and between devices.
#pragma once

#include <vector>

#include "ganymede/dataset.hpp"
#include "ganymede/options.hpp"

namespace ganymede::testing {

/// The images as a training with these options shows them.
inline ImageSet shown(ImageSet images, const TrainOptions& options) {
  images.channels = options.stack;
  return images;
}

struct GanSetting {
  const char* name;
  void (*change)(TrainOptions&);
};

// Where the slopes on real and on generated images cancel, the gradient of D's last bias is rounding alone: a larger
// epsilon keeps Adam from bringing that to full size.
inline constexpr double cancels = 1e-2;

/// Both networks normalised, as the recipe dcgan has them.
inline void normalised_dcgan(TrainOptions& o) {
  o.model = "dcgan";
  o.channels = {2, 3};
  o.fully_connected = 4;
  o.generator_norm = o.discriminator_norm = "batch";
  o.discriminator_activation = "leaky-relu";
  o.r1 = 0;
  o.epsilon = cancels;
}

/// G normalised alone, so that D can have penalties.
inline void penalised_dcgan(TrainOptions& o) {
  o.model = "dcgan";
  o.scheme = "simultaneous";
  o.channels = {3};
  o.kernel = 4;
  o.fully_connected = 0;
  o.generator_norm = "batch";
  o.discriminator_activation = "leaky-relu";
  o.r1 = 1;
  o.epsilon = cancels;
}

/// Noise that has gone before the longest of the trainings ends.
inline void instance_noise(TrainOptions& o) {
  o.instance_noise = 0.25;
  o.instance_noise_end = 0.8;
  o.steps = 50;
}

inline const std::vector<GanSetting>& gan_settings() {
  static const std::vector<GanSetting> settings = {
      {"literal", [](TrainOptions& o) { o.r1 = o.ema = 0; }},
      {"default", [](TrainOptions&) {}},
      {"simultaneous", [](TrainOptions& o) { o.scheme = "simultaneous"; }},
      {"three_steps_of_d",
       [](TrainOptions& o) {
         o.d_steps = 3;
         o.discriminator_activation = "leaky-relu";
         o.generator_activation = "tanh";
       }},
      {"wgan_gp_with_bursts",
       [](TrainOptions& o) {
         o.loss = "wasserstein";
         o.epsilon = cancels;
         o.r1 = 0;
         o.gradient_penalty = 10;
         o.penalty_every = 2;
         o.d_burst = 3;
         o.d_burst_first = 1;
         o.d_burst_every = 4;
       }},
      {"relativistic_r1_r2",
       [](TrainOptions& o) {
         o.loss = "relativistic";
         o.epsilon = cancels;
         o.r1 = o.r2 = 1;
         o.discriminator_activation = "leaky-relu";
       }},
      {"minimax_batch_of_seven",
       [](TrainOptions& o) {
         o.loss = "minimax";
         o.batch = 7;
         o.shards = 5;
       }},
      {"dcgan", [](TrainOptions& o) { normalised_dcgan(o); }},
      {"dcgan_simultaneous_with_penalties",
       [](TrainOptions& o) {
         penalised_dcgan(o);
         o.gradient_penalty = o.r2 = 1;
       }},
      {"mlp_told_the_class",
       [](TrainOptions& o) {
         o.condition = "concat";
         o.latent_distribution = "uniform";
         o.r1 = 1;
         o.d_steps = 2;
       }},
      {"mlp_projecting_the_class",
       [](TrainOptions& o) {
         o.condition = "projection";
         o.loss = "relativistic";
         o.epsilon = cancels;
         o.gradient_penalty = o.r2 = 1;
       }},
      {"mlp_of_stacked_noisy_images",
       [](TrainOptions& o) {
         o.stack = 3;
         o.gradient_penalty = 1;
         instance_noise(o);
       }},
      {"dcgan_of_stacked_images",
       [](TrainOptions& o) {
         o.model = "dcgan";
         o.stack = 3;
         o.channels = {2, 3};
         o.fully_connected = 0;
         o.r1 = 1;
         o.discriminator_activation = "leaky-relu";
         o.epsilon = cancels;
         o.learning_rate = 1e-3;
       }},
      {"modern_projecting_the_class",
       [](TrainOptions& o) {
         o.model = "modern";
         o.channels = {2, 3};
         o.kernel = 4;
         o.condition = "projection";
         o.r1 = o.r2 = 1;
         o.generator_activation = o.discriminator_activation = "leaky-relu";
         o.epsilon = 1e-4;
       }},
      {"dcgan_told_the_class",
       [](TrainOptions& o) {
         normalised_dcgan(o);
         o.condition = "concat";
         o.latent_distribution = "uniform";
         o.weight_decay = 2.5e-5;
         o.schedule = "linear";
         o.schedule_start = 0.5;
         o.steps = 50;
       }},
      {"dcgan_projecting_the_class_of_noisy_images_simultaneously",
       [](TrainOptions& o) {
         penalised_dcgan(o);
         o.condition = "projection";
         instance_noise(o);
       }},
      {"spectral_norm_hinge",
       [](TrainOptions& o) {
         o.spectral_norm = true;
         o.loss = "hinge";
         o.learning_rate = 1e-3;  // D's slopes, and so G's gradients, are small
         o.r1 = 0;
         o.d_steps = 2;
         o.discriminator_activation = "leaky-relu";
         o.epsilon = cancels;
       }},
      {"dcgan_spectral_norm_told_the_class",
       [](TrainOptions& o) {
         penalised_dcgan(o);
         o.condition = "concat";
         o.spectral_norm = true;
       }},
      {"wgan",
       [](TrainOptions& o) {
         o.loss = "wasserstein";
         o.optimizer = "rmsprop";
         o.epsilon = cancels;
         o.generator_learning_rate = 4e-3;  // through weights so small its gradients are, too
         o.discriminator_learning_rate = 2e-4;
         o.discriminator_activation = "leaky-relu";
         o.clip_weights = 0.05;
         o.r1 = o.ema = 0;
         o.d_steps = 2;
         o.d_burst = 4;
         o.d_burst_first = 1;
         o.d_burst_every = 3;
       }},
      {"least_squares_smoothed_adamw_cosine_clipped_two_rates",
       [](TrainOptions& o) {
         o.loss = "least-squares";
         o.label_smoothing = 0.1;
         o.optimizer = "adamw";
         o.epsilon = 1e-4;
         o.weight_decay = 0.01;
         o.generator_learning_rate = 1e-3;
         o.discriminator_learning_rate = 5e-4;
         o.clip_gradient = 0.5;
         o.schedule = "cosine";
         o.schedule_end = 0.1;
         o.steps = 50;
       }},
      {"dropout_relativistic_r1",
       [](TrainOptions& o) {
         o.dropout = 0.3;
         o.input_dropout = 0.2;
         o.loss = "relativistic";
         o.r1 = 1;
         o.discriminator_activation = "leaky-relu";
         o.epsilon = cancels;
       }},
      {"dcgan_dropout_with_penalties",
       [](TrainOptions& o) {
         penalised_dcgan(o);
         o.dropout = 0.25;
         o.gradient_penalty = 1;
         o.spectral_norm = true;
       }},
  };
  return settings;
}

}  // namespace ganymede::testing
