// The losses by name. To add one: write its struct in a file beside this one (value and derivatives for
// one pair of logits) and name it in `Losses`; the command line and every backend take it from there.
#pragma once

#include "math/loss/hinge.hpp"
#include "math/loss/least_squares.hpp"
#include "math/loss/minimax.hpp"
#include "math/loss/non_saturating.hpp"
#include "math/loss/relativistic.hpp"
#include "math/loss/wasserstein.hpp"
#include "math/type_list.hpp"

namespace ganymede::math {

using Losses = TypeList<NonSaturating, Minimax, LeastSquares, Hinge, Wasserstein, Relativistic>;

}  // namespace ganymede::math
