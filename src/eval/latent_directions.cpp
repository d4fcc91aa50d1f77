// See latent_directions.hpp.
#include "eval/latent_directions.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>
#include <utility>
#include <vector>

#include "core/heartbeat.hpp"
#include "eval/symmetric_eigen.hpp"

namespace ganymede::eval {
namespace {

// Minutes for thousands of dimensions, in one call of LAPACK's.
SymmetricEigen eigen_with_beats(std::vector<double> matrix, int n) {
  std::future<SymmetricEigen> found =
      std::async(std::launch::async, [&] { return symmetric_eigen(std::move(matrix), n); });
  while (found.wait_for(std::chrono::seconds(1)) != std::future_status::ready) heartbeat::beat();
  return found.get();
}

}  // namespace

void interpolate(const float* a, const float* b, std::size_t size, double t, bool spherical, float* to) {
  double dot = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < size; ++i) {
    dot += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  const double angle = std::acos(std::clamp(dot / std::sqrt(aa * bb), -1.0, 1.0));
  const double s = std::sin(angle);
  const bool straight = !spherical || s < 1e-6;
  const double wa = straight ? 1 - t : std::sin((1 - t) * angle) / s;
  const double wb = straight ? t : std::sin(t * angle) / s;
  for (std::size_t i = 0; i < size; ++i) to[i] = static_cast<float>(wa * a[i] + wb * b[i]);
}

std::vector<double> latent_jacobian(const ImagesOf& images, const std::vector<float>& z) {
  constexpr float step = 0x1p-6F;
  const std::size_t latent = z.size();
  std::vector<float> points;
  std::vector<double> widths;
  for (std::size_t i = 0; i < latent; ++i) {
    for (const float moved : {z[i] + step, z[i] - step}) {
      points.insert(points.end(), z.begin(), z.end());
      points[points.size() - latent + i] = moved;
    }
    // As far apart as floats can say.
    widths.push_back(static_cast<double>(z[i] + step) - static_cast<double>(z[i] - step));
  }
  const std::vector<float> values = images(points);
  const std::size_t size = values.size() / (2 * latent);
  std::vector<double> jacobian(latent * size);
  for (std::size_t i = 0; i < latent; ++i)
    for (std::size_t p = 0; p < size; ++p)
      jacobian[i * size + p] =
          (static_cast<double>(values[2 * i * size + p]) - static_cast<double>(values[(2 * i + 1) * size + p])) /
          widths[i];
  return jacobian;
}

LatentDirections leading_directions(const std::vector<double>& jacobian, int latent, int count) {
  const auto n = static_cast<std::size_t>(latent);
  const std::size_t size = jacobian.size() / n;
  std::vector<double> gram(n * n);  // JᵀJ
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = 0;
      for (std::size_t p = 0; p < size; ++p) sum += jacobian[i * size + p] * jacobian[j * size + p];
      gram[i * n + j] = gram[j * n + i] = sum;
    }
    heartbeat::beat();
  }
  const SymmetricEigen eigen = eigen_with_beats(std::move(gram), latent);
  LatentDirections result;
  for (const double value : eigen.values) result.squares += std::max(value, 0.0);
  for (std::size_t k = 0; k < std::min(n, static_cast<std::size_t>(count)); ++k) {
    const std::size_t row = n - 1 - k;
    const auto begin = eigen.vectors.begin() + static_cast<std::ptrdiff_t>(row * n);
    std::vector<double> direction(begin, begin + latent);
    const double greatest = *std::max_element(direction.begin(), direction.end(),
                                              [](double a, double b) { return std::abs(a) < std::abs(b); });
    if (greatest < 0)
      for (double& component : direction) component = -component;
    result.singular_values.push_back(std::sqrt(std::max(eigen.values[row], 0.0)));
    result.directions.push_back(std::move(direction));
  }
  return result;
}

}  // namespace ganymede::eval
