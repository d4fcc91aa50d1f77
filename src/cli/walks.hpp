// Walks through a generator's latent space, from one sample to the next.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "gan/sampler.hpp"

namespace ganymede::cli {

/// `rows` of `steps` images: row r goes from sample r to sample r + 1, on the sphere that normal latent vectors lie
/// near or straight. All of a row are of the class `only`, or of sample r's.
std::vector<float> draw_walks(Sampler& sampler, const Network& generator, std::uint64_t seed, int rows, int steps,
                              bool spherical, std::optional<int> only = std::nullopt);

}  // namespace ganymede::cli
