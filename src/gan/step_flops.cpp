#include "gan/step_flops.hpp"

#include "gan/gradient_penalty.hpp"
#include "gan/losses.hpp"
#include "gan/update_schedule.hpp"

namespace ganymede {

double step_flops(const Gan& gan, const TrainOptions& options, int rank_rows) {
  const double rows = rank_rows;
  const bool simultaneous = options.scheme == "simultaneous";
  const bool sees_real = generator_sees_real(loss_index(options.loss));
  const double g = gan.generator.flops() * rows;
  const double d = gan.discriminator.flops() * rows;
  const double g_first = gan.generator.layer(0).flops() * rows;
  const double d_first = gan.discriminator.layer(0).flops() * rows;
  // D's update: G forward; D forward and weight gradients on real and fake, data gradients above the first layer.
  const double plain = g + 4 * d + 2 * (d - d_first);
  // A penalty adds the first layer's data gradient and the tangent (of all but the last layer) on its rows; points
  // between images are more rows.
  double penalty = 0;
  for (const PenaltySpec& spec : penalties_of(options)) {
    penalty += d_first + d - gan.discriminator.layer(gan.discriminator.layers() - 1).flops() * rows;
    if (spec.part == PenaltyPart::between) penalty += 3 * d - d_first;
  }
  const double d_update = plain + penalty / static_cast<double>(options.penalty_every);
  // G's update: G and D forward (both are there already in the simultaneous scheme), data gradients through
  // all of D, weight gradients of G and data gradients above its first layer.
  const double g_update = (simultaneous ? 0 : g + (sees_real ? 2 : 1) * d) + d + g + (g - g_first);
  constexpr std::uint64_t many = 1'000'000;
  return static_cast<double>(discriminator_updates(options, many)) / many * d_update + g_update;
}

}  // namespace ganymede
