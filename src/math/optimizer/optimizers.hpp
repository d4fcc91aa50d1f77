// The optimisers by name. To add one: write its struct in a file beside this one and name it in `Optimizers`; the
// command line, checkpoints and every backend take it from there. What it must come to is for
// tests/fixtures/generate.py to say, which needs the rule once more. A rule has
//   name, states            its buffers as checkpoints call them, zero at the start
//   constants               what it uses beside the learning rate
//   decays_weights          whether weight decay is its own affair; else that is added to the gradient
//   factors, factor(…)      numbers that change from update to update, computed once for all elements in double:
//                           number `place`, for this learning rate, at update t = 1, 2, …
//   update(…)               one element: gradient g, parameter p, its states
// and everything below is the same for all of them.
#pragma once

#include <cstdint>
#include <type_traits>

#include "ganymede/optimizer_constants.hpp"
#include "math/functions.hpp"
#include "math/optimizer/adam.hpp"
#include "math/optimizer/adamw.hpp"
#include "math/optimizer/rmsprop.hpp"
#include "math/optimizer/schedules.hpp"
#include "math/optimizer/sgd.hpp"
#include "math/portable.hpp"
#include "math/type_list.hpp"

namespace ganymede::math {

using Optimizers = TypeList<Sgd, RmsProp, Adam, AdamW>;

template <class Rule>
inline constexpr int state_count = static_cast<int>(std::extent_v<decltype(Rule::states)>);

/// The most factors that an update has: the rule's, what the gradient is multiplied by, and the most that a weight's
/// magnitude may be.
inline constexpr int most_factors = 5;
template <class Rule>
inline constexpr int factor_count = Rule::factors + 2;

/// Whether an update is the rule and nothing else: it then needs the rule's own factors alone, and as few registers.
GANYMEDE_MATH bool plain_update(const OptimizerConstants& c) {
  return c.weight_decay == 0.0 && c.clip_gradient == 0.0 && c.clip_weights == 0.0 && c.schedule.kind == 0;
}

/// Factor `place`, after `update` updates of `updates`.
template <class Rule, bool Plain>
GANYMEDE_MATH float update_factor(int place, const OptimizerConstants& c, std::uint64_t update, std::uint64_t updates,
                                  double squared_norm) {
  static_assert(factor_count<Rule> <= most_factors);
  double rate = c.learning_rate;
  if constexpr (!Plain) {
    if (place == Rule::factors) {
      const double norm = square_root(squared_norm);
      return c.clip_gradient > 0.0 && norm > c.clip_gradient ? static_cast<float>(c.clip_gradient / norm) : 1.0F;
    }
    if (place > Rule::factors) return c.clip_weights > 0.0 ? static_cast<float>(c.clip_weights) : as_float(0x7F800000U);
    rate *= schedule_factor(c.schedule, update, updates);
  }
  return static_cast<float>(Rule::factor(place, c, rate, update + 1));
}

/// One element's update.
template <class Rule, bool Plain>
GANYMEDE_MATH void update_element(const OptimizerConstants& c, const float* factor, float g, float& p, float* state) {
  if constexpr (!Plain) {
    g *= factor[Rule::factors];
    if constexpr (!Rule::decays_weights) g += static_cast<float>(c.weight_decay) * p;
  }
  Rule::update(c, factor, g, p, state);
  if constexpr (!Plain) {
    // A NaN passes through: hiding it here would hide a broken training.
    const float most = factor[Rule::factors + 1];
    p = p < -most ? -most : p;
    p = p > most ? most : p;
  }
}

}  // namespace ganymede::math
