// See memorisation.hpp.
#include "eval/memorisation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "eval/distances.hpp"

namespace ganymede::eval {
namespace {

constexpr std::int64_t far = std::numeric_limits<std::int32_t>::max();

double from_squared_grey_levels(std::int64_t squared) { return std::sqrt(static_cast<double>(squared)) / 255; }

double quantile(std::vector<std::int64_t> values, double share) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size()));
  std::nth_element(values.begin(), at, values.end());
  return from_squared_grey_levels(*at);
}

// Of each image of a source the squared distance to the nearest one of a set, and which that is; on every rank.
struct Nearest {
  std::vector<std::int64_t> distance;
  std::vector<std::int64_t> which;
};

// Lowers column_nearest[j], where it is not null, to the distance of the set's image j to its nearest image of the
// source.
Nearest nearest_of(SampleSource& source, std::uint64_t count, const ImageSet& set,
                   const std::vector<PixelBlock>& blocks, std::vector<std::int64_t>* column_nearest, Device& device,
                   Communicator& ranks) {
  Distances distances(device);
  Nearest result{std::vector<std::int64_t>(count, far), std::vector<std::int64_t>(count, 0)};
  for_own_blocks(source, count, ranks, [&](const SampleBlock& block) {
    const PixelBlock rows(block.images, set.pixels());
    std::size_t first = 0;
    for (const PixelBlock& columns : blocks) {
      const std::int32_t* d = distances.between(rows, columns);
      const auto n = static_cast<std::size_t>(columns.count());
      for (int i = 0; i < block.count; ++i, d += n) {
        const std::int32_t* const least = std::min_element(d, d + n);
        const std::size_t image = block.first + static_cast<std::size_t>(i);
        if (*least < result.distance[image]) {
          result.distance[image] = *least;
          result.which[image] = static_cast<std::int64_t>(first) + (least - d);
        }
        if (column_nearest == nullptr) continue;
        std::int64_t* const column = column_nearest->data() + first;
        for (std::size_t j = 0; j < n; ++j) column[j] = std::min<std::int64_t>(column[j], d[j]);
      }
      first += n;
    }
  });
  // Each image is one rank's: the others have 0 and the greatest distance.
  ranks.all_min(result.distance);
  ranks.all_sum(std::span(result.which));
  if (column_nearest != nullptr) ranks.all_min(*column_nearest);
  return result;
}

}  // namespace

double area_under_curve(const std::vector<double>& members, const std::vector<double>& others) {
  std::vector<std::pair<double, bool>> all;
  for (const double value : members) all.emplace_back(value, true);
  for (const double value : others) all.emplace_back(value, false);
  std::sort(all.begin(), all.end());
  double members_ranks = 0;  // from 1; of equal values their mean
  for (std::size_t begin = 0; begin < all.size();) {
    std::size_t end = begin;
    double here = 0;
    for (; end < all.size() && all[end].first == all[begin].first; ++end) here += all[end].second ? 1 : 0;
    members_ranks += here * (static_cast<double>(begin + end) + 1) / 2;
    begin = end;
  }
  const auto m = static_cast<double>(members.size());
  return (members_ranks - m * (m + 1) / 2) / (m * static_cast<double>(others.size()));
}

Memorisation memorisation(SampleSource& samples, std::uint64_t count, const ImageSet& training,
                          const ImageSet& held_out, std::size_t pairs, Device& device, Communicator& ranks) {
  std::vector<std::int64_t> training_to_samples(training.count, far);
  std::vector<std::int64_t> held_out_to_samples(held_out.count, far);
  const std::vector<PixelBlock> training_blocks = pixel_blocks(training);
  const Nearest generated = nearest_of(samples, count, training, training_blocks, &training_to_samples, device, ranks);
  ImageSetSource new_images(held_out);
  const Nearest unseen = nearest_of(new_images, held_out.count, training, training_blocks, nullptr, device, ranks);
  nearest_of(samples, count, held_out, pixel_blocks(held_out), &held_out_to_samples, device, ranks);

  Memorisation result;
  result.samples_to_training = quantile(generated.distance, 0.5);
  result.held_out_to_training = quantile(unseen.distance, 0.5);
  const double near = quantile(unseen.distance, 0.01);
  const auto copies = std::count_if(generated.distance.begin(), generated.distance.end(),
                                    [&](std::int64_t d) { return from_squared_grey_levels(d) < near; });
  result.near_copies = static_cast<double>(copies) / static_cast<double>(count);
  // The nearer to a sample, the likelier a member.
  const auto nearness = [](const std::vector<std::int64_t>& squared) {
    std::vector<double> values;
    for (const std::int64_t d : squared) values.push_back(-static_cast<double>(d));
    return values;
  };
  result.distance_auc = area_under_curve(nearness(training_to_samples), nearness(held_out_to_samples));

  std::vector<std::uint64_t> order(count);
  for (std::uint64_t i = 0; i < count; ++i) order[i] = i;
  pairs = std::min<std::size_t>(pairs, count);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(pairs), order.end(),
                    [&](std::uint64_t a, std::uint64_t b) {
                      return std::pair(generated.distance[a], a) < std::pair(generated.distance[b], b);
                    });
  for (std::size_t i = 0; i < pairs; ++i)
    result.closest.push_back({order[i], static_cast<std::uint32_t>(generated.which[order[i]]),
                              from_squared_grey_levels(generated.distance[order[i]])});
  return result;
}

}  // namespace ganymede::eval
