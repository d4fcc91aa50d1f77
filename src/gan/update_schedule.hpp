// When D is updated how often, and when penalties are applied: functions of the step's number alone, so that every rank
// and every resumed run agree.
#pragma once

#include <cstdint>

#include "ganymede/options.hpp"

namespace ganymede {

/// Of one step.
struct StepKind {
  bool burst = false;      ///< D is updated --d-burst times instead of --d-steps times
  bool penalised = false;  ///< the step that --penalty-every counts to

  static constexpr int count = 4;
  [[nodiscard]] std::size_t index() const { return (burst ? 2U : 0U) + (penalised ? 1U : 0U); }
};

/// The kind of step number `step`, counted from 0.
StepKind step_kind(const TrainOptions& options, std::uint64_t step);

/// D's updates in a step of that kind.
int discriminator_updates(const TrainOptions& options, StepKind kind);

/// D's updates in the first `steps` steps.
std::uint64_t discriminator_updates(const TrainOptions& options, std::uint64_t steps);

/// What the first `steps` steps have shown D, whatever options they were made with.
struct Shown {
  std::uint64_t steps = 0;
  std::uint64_t images = 0;  ///< real ones
};

/// Real images that D has seen after `steps` steps, of which those behind `before` have these options.
std::uint64_t images_seen(const TrainOptions& options, const Shown& before, std::uint64_t steps);

/// The least number of steps in which D sees `images` real images, when those behind `before` have these options; at
/// least 1. Where it had seen as many long before, some number less than `before` has.
std::uint64_t steps_to_see(const TrainOptions& options, double images, const Shown& before = {});

}  // namespace ganymede
