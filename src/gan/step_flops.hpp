// How much arithmetic a step is.
#pragma once

#include "gan/gan.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

/// Floating-point operations of the matrix products and convolutions of one step, of a rank that has `rank_rows` images
/// of the batch: the mean over the steps of a training.
double step_flops(const Gan& gan, const TrainOptions& options, int rank_rows);

}  // namespace ganymede
