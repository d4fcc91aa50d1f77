// See walks.hpp.
#include "cli/walks.hpp"

#include <cstddef>

#include "eval/latent_directions.hpp"

namespace ganymede::cli {

std::vector<float> draw_walks(Sampler& sampler, const Network& generator, std::uint64_t seed, int rows, int steps,
                              bool spherical, std::optional<int> only) {
  const auto latent = static_cast<std::size_t>(generator.inputs());
  const std::vector<float> ends = sampler.latents(seed, math::Stream::noise_for_samples, 0, rows + 1);
  std::vector<float> z(static_cast<std::size_t>(rows) * static_cast<std::size_t>(steps) * latent);
  std::vector<std::uint8_t> labels;
  const float* from = ends.data();
  float* to = z.data();
  for (int r = 0; r < rows; ++r, from += latent) {
    const int label = only ? *only : sampler.class_of(static_cast<std::uint64_t>(r));
    labels.insert(labels.end(), static_cast<std::size_t>(steps), static_cast<std::uint8_t>(label));
    for (int i = 0; i < steps; ++i, to += latent)
      eval::interpolate(from, from + latent, latent, static_cast<double>(i) / (steps - 1), spherical, to);
  }
  return sampler.images(generator.parameter_array(), z, labels);
}

}  // namespace ganymede::cli
