// What a generator does with its latent vector: how its images change in each direction of z. Knows no network: the
// generator is a function from latent vectors to images.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace ganymede::eval {

/// Images [count, size] of the latent vectors z [count, latent].
using ImagesOf = std::function<std::vector<float>(const std::vector<float>& z)>;

/// A point between a and b, t from 0 to 1: on the great circle where `spherical` (Shoemake 1985), else on the straight
/// line. Normal latent vectors lie near a sphere, which a straight line between two of them leaves.
void interpolate(const float* a, const float* b, std::size_t size, double t, bool spherical, float* to);

/// The Jacobian dG/dz at z [latent] by central differences over ±2^-6, [latent, size] (transposed): what the images'
/// rounding leaves is less than a thousandth, and kinks within that step count by how far they reach into it.
std::vector<double> latent_jacobian(const ImagesOf& images, const std::vector<float>& z);

/// The leading right singular vectors of a Jacobian: unit directions of z in which images change most, in their
/// Euclidean norm, each at a right angle to those before.
struct LatentDirections {
  std::vector<double> singular_values;          ///< descending: ‖change of the image‖ / ‖change of z‖
  std::vector<std::vector<double>> directions;  ///< [latent] each; the component of greatest size is positive
  double squares = 0;                           ///< Σσ² over all, also those that are not here
};

/// The first `count` of them, or as many as z has components. `jacobian` as latent_jacobian() gives it.
LatentDirections leading_directions(const std::vector<double>& jacobian, int latent, int count);

}  // namespace ganymede::eval
