// The families of networks, one file each. To add one: a file beside this one, and its name in gan.cpp.
#pragma once

#include <memory>
#include <vector>

#include "ganymede/network.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

using Layers = std::vector<std::unique_ptr<Layer>>;

/// Fully connected: z → hidden … → pixels, sigmoid; pixels → hidden … → one logit (Goodfellow et al. 2014).
Layers mlp_generator(const TrainOptions& options, int side);
Layers mlp_discriminator(const TrainOptions& options, int side);

}  // namespace ganymede
