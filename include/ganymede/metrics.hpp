// What a training says of itself while it runs: one record per logged step.
#pragma once

#include <cstdint>
#include <limits>

namespace ganymede {

/// The means over the steps since the last record.
struct MetricsRecord {
  std::uint64_t step = 0;  ///< steps completed
  std::uint64_t images_seen = 0;
  double epoch = 0;               ///< images_seen / images in the set
  double discriminator_loss = 0;  ///< without penalties
  double generator_loss = 0;
  double penalty = 0;  ///< the sum of gradient penalties in D's objective
  /// Share of real images that D is right about: D(x) > 0, logits; with least squares > ½, with a loss of differences
  /// (wasserstein, relativistic) above D of the generated image it is paired with.
  double real_accuracy = 0;
  double fake_accuracy = 0;                ///< of generated images, likewise
  double discriminator_gradient_norm = 0;  ///< of the last step, after the reduction
  double generator_gradient_norm = 0;
  double seconds = 0;                      ///< of training; a resumed run's go on
  double images_per_second = 0;            ///< over the interval
  double real_score = 0;                   ///< D's mean output on real images, logits
  double fake_score = 0;                   ///< on generated images
  double discriminator_learning_rate = 0;  ///< of the last update
  double generator_learning_rate = 0;

  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  /// real_score - fake_score where D is trained with --loss wasserstein, else NaN: the distance between real and
  /// generated images, times D's Lipschitz constant (Arjovsky et al. 2017).
  double wasserstein_estimate = unknown;

  // What the newest diagnosis (--diagnose-every) found; NaN before the first, and where it does not apply.
  double diagnosed_step = unknown;  ///< of which step
  /// The variance of generated images, about the mean of their class where networks are told it, added up over the
  /// pixels, over that of real ones.
  double sample_diversity = unknown;
  /// How many of the digits make up at least a fifth of their share of the samples, as the judge sees them.
  double sample_classes = unknown;
  double real_slope = unknown;                  ///< E‖∇ₓD(x)‖ over real images
  double fake_slope = unknown;                  ///< over generated ones
  double discriminator_update_ratio = unknown;  ///< ‖change of the parameters‖ / ‖parameters‖ of one step
  double generator_update_ratio = unknown;
  /// D's mean output on training images less that on held-out ones, over the same from real to generated images: 0
  /// where D treats new images as those that it learns from, 1 where it takes them for generated ones.
  double held_out_gap = unknown;

  // What the newest evaluation (--eval-every) measured, as `ganymede eval` does; NaN before the first, and what it did
  // not measure.
  double evaluated_step = unknown;  ///< of which step
  double classifier_fd = unknown;
  double kernel_distance = unknown;  ///< KID
  double kernel_distance_error = unknown;
  double precision = unknown;
  double recall = unknown;
  double density = unknown;
  double coverage = unknown;
  double inception_score = unknown;
  double class_divergence = unknown;  ///< KL(classes of the samples ‖ of real images), in nats
  double parzen = unknown;            ///< log-likelihood, in nats
  double parzen_error = unknown;
  double two_sample_accuracy = unknown;
  double classification_error = unknown;  ///< of the nearest sample's class
  double modes = unknown;
  double mode_divergence = unknown;  ///< KL(modes ‖ uniform), in nats
};

}  // namespace ganymede
