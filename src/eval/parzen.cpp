// See parzen.hpp.
#include "eval/parzen.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "eval/distances.hpp"
#include "eval/exponential_sums.hpp"

namespace ganymede::eval {
namespace {

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

std::vector<std::vector<double>> log_likelihoods(SampleSource& samples, std::uint64_t count, const ImageSet& images,
                                                 std::span<const double> sigmas, Device& device, Communicator& ranks) {
  std::vector<ExponentialSums> sums;
  for (const double sigma : sigmas) sums.emplace_back(images.count, 1 / (2 * sigma * sigma * 255 * 255));
  const std::vector<PixelBlock> blocks = pixel_blocks(images);
  Distances distances(device);
  for_own_blocks(samples, count, ranks, [&](const SampleBlock& block) {
    const PixelBlock centres(block.images, samples.image_size());
    const auto n = static_cast<std::size_t>(block.count);
    std::size_t image = 0;
    for (const PixelBlock& rows : blocks) {
      const std::int32_t* const d = distances.between(rows, centres);
      for (int i = 0; i < rows.count(); ++i, ++image)
        for (ExponentialSums& sum : sums) sum.add(image, d + static_cast<std::size_t>(i) * n, n);
    }
  });
  std::vector<std::vector<double>> result;
  for (std::size_t s = 0; s < sigmas.size(); ++s) {
    sums[s].sum_over(ranks);
    const double constant = std::log(static_cast<double>(count)) +
                            samples.image_size() * std::log(sigmas[s] * std::sqrt(2 * std::numbers::pi));
    std::vector<double>& of_sigma = result.emplace_back(images.count);
    for (std::size_t i = 0; i < of_sigma.size(); ++i) of_sigma[i] = sums[s].logarithm(i) - constant;
  }
  return result;
}

ParzenScore parzen_score(SampleSource& samples, std::uint64_t count, const ImageSet& validation, const ImageSet& test,
                         Device& device, Communicator& ranks) {
  std::vector<double> sigmas;
  for (int i = 0; i < 10; ++i) sigmas.push_back(std::pow(10.0, i / 9.0 - 1));
  const std::vector<std::vector<double>> tried = log_likelihoods(samples, count, validation, sigmas, device, ranks);
  const auto best = std::max_element(tried.begin(), tried.end(),
                                     [](const auto& a, const auto& b) { return mean_of(a) < mean_of(b); });
  ParzenScore score;
  score.sigma = sigmas[static_cast<std::size_t>(best - tried.begin())];
  const std::vector<double> values =
      log_likelihoods(samples, count, test, std::span(&score.sigma, 1), device, ranks).front();
  score.mean = mean_of(values);
  double squares = 0;
  for (const double value : values) squares += (value - score.mean) * (value - score.mean);
  score.standard_error = std::sqrt(squares) / static_cast<double>(values.size());
  return score;
}

ImageSet parzen_validation(const ImageSet& training) {
  const auto first = static_cast<std::uint32_t>(std::uint64_t{training.count} * 5 / 6);
  return part_of(training, first, std::min<std::uint32_t>(1000, training.count - first));
}

}  // namespace ganymede::eval
