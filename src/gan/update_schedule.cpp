// See update_schedule.hpp.
#include "gan/update_schedule.hpp"

#include <algorithm>
#include <cmath>

#include "gan/gradient_penalty.hpp"

namespace ganymede {

StepKind step_kind(const TrainOptions& o, std::uint64_t step) {
  StepKind kind;
  kind.burst = o.d_burst > 0 && (step < o.d_burst_first || (o.d_burst_every > 0 && step % o.d_burst_every == 0));
  kind.penalised = step % o.penalty_every == 0 && has_penalties(o);
  return kind;
}

int discriminator_updates(const TrainOptions& o, StepKind kind) { return kind.burst ? o.d_burst : o.d_steps; }

std::uint64_t discriminator_updates(const TrainOptions& o, std::uint64_t steps) {
  std::uint64_t bursts = 0;
  if (o.d_burst > 0) {
    bursts = std::min(steps, o.d_burst_first);
    // Multiples of d_burst_every from d_burst_first on, below `steps`.
    const auto multiples_below = [&](std::uint64_t n) {
      return n == 0 || o.d_burst_every == 0 ? 0 : (n - 1) / o.d_burst_every + 1;
    };
    if (steps > o.d_burst_first) bursts += multiples_below(steps) - multiples_below(o.d_burst_first);
  }
  return bursts * static_cast<std::uint64_t>(o.d_burst) + (steps - bursts) * static_cast<std::uint64_t>(o.d_steps);
}

std::uint64_t images_seen(const TrainOptions& o, const Shown& before, std::uint64_t steps) {
  const std::uint64_t updates = discriminator_updates(o, steps) - discriminator_updates(o, before.steps);
  return before.images + updates * static_cast<std::uint64_t>(o.batch);
}

std::uint64_t steps_to_see(const TrainOptions& o, double images, const Shown& before) {
  const double missing = std::ceil((images - static_cast<double>(before.images)) / o.batch - 1e-9);
  const auto made = static_cast<double>(discriminator_updates(o, before.steps));
  const auto updates = static_cast<std::uint64_t>(std::max(1.0, made + missing));
  // D is updated at least once in a step.
  std::uint64_t least = 1;
  std::uint64_t most = updates;
  while (least < most) {
    const std::uint64_t middle = least + (most - least) / 2;
    if (discriminator_updates(o, middle) < updates)
      least = middle + 1;
    else
      most = middle;
  }
  return least;
}

}  // namespace ganymede
