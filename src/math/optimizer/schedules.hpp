// How learning rates fall, one struct each. To add one: write the struct, name it in `Schedules`; the command line
// and every backend take it from there.
//
// A schedule gives how much of the way it has fallen, from 0 to 1, where the part x of its time is over.
#pragma once

#include <cstdint>

#include "ganymede/optimizer_constants.hpp"
#include "math/functions.hpp"
#include "math/portable.hpp"
#include "math/type_list.hpp"

namespace ganymede::math {

struct ConstantRate {
  static constexpr const char* name = "constant";
  GANYMEDE_MATH static double fallen(double) { return 0.0; }
};

struct LinearDecay {
  static constexpr const char* name = "linear";
  GANYMEDE_MATH static double fallen(double x) { return x; }
};

/// Loshchilov and Hutter 2017, without restarts.
struct CosineDecay {
  static constexpr const char* name = "cosine";
  GANYMEDE_MATH static double fallen(double x) { return 0.5 - 0.5 * cosine_half_turn(x); }
};

/// The constant one comes first: Schedule's default.
using Schedules = TypeList<ConstantRate, LinearDecay, CosineDecay>;

template <class... Known>
GANYMEDE_MATH double fallen(TypeList<Known...>, int kind, double x) {
  double result = 0.0;
  int i = 0;
  ((i++ == kind ? static_cast<void>(result = Known::fallen(x)) : static_cast<void>(0)), ...);
  return result;
}

/// The learning rate's factor after `update` updates of `updates`.
GANYMEDE_MATH double schedule_factor(const Schedule& schedule, std::uint64_t update, std::uint64_t updates) {
  if (schedule.kind == 0) return 1.0;
  const double begin = schedule.start * static_cast<double>(updates);
  double x = (static_cast<double>(update) - begin) / (static_cast<double>(updates) - begin);
  x = x < 0.0 ? 0.0 : x > 1.0 ? 1.0 : x;
  return 1.0 - (1.0 - schedule.end) * fallen(Schedules{}, schedule.kind, x);
}

}  // namespace ganymede::math
