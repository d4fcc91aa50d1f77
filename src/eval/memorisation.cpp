// See memorisation.hpp.
#include "eval/memorisation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/quantile.hpp"
#include "eval/distances.hpp"
#include "eval/share.hpp"

namespace ganymede::eval {
namespace {

constexpr std::int64_t far = std::numeric_limits<std::int32_t>::max();

double from_squared_grey_levels(std::int64_t squared) { return std::sqrt(static_cast<double>(squared)) / 255; }

// Of each image of a set the first one that is the same.
std::vector<std::uint32_t> first_alike(const ImageSet& set) {
  const auto pixels = static_cast<std::size_t>(set.pixels());
  std::unordered_map<std::string_view, std::uint32_t> seen;
  std::vector<std::uint32_t> first(set.count);
  for (std::uint32_t i = 0; i < set.count; ++i)
    first[i] =
        seen.try_emplace({reinterpret_cast<const char*>(set.images.data()) + i * pixels, pixels}, i).first->second;
  return first;
}

// Of each image of a source the squared distances to the nearest and the second nearest one of a set, of images that
// differ, and which the nearest is; on every rank.
struct Nearest {
  std::vector<std::int64_t> distance;
  std::vector<std::int64_t> second;
  std::vector<std::int64_t> which;

  // The first over the second: from 0 of a copy to 1, also where a set of one image has no second.
  [[nodiscard]] std::vector<double> relative() const {
    std::vector<double> values;
    for (std::size_t i = 0; i < distance.size(); ++i) {
      const double second_or_none = second[i] == far ? std::max(distance[i], std::int64_t{1}) : second[i];
      values.push_back(std::sqrt(static_cast<double>(distance[i]) / second_or_none));
    }
    return values;
  }
};

// What is looked for images in, prepared once.
struct Searched {
  explicit Searched(const ImageSet& images) : set(images), blocks(pixel_blocks(images)), alike(first_alike(images)) {}
  const ImageSet& set;
  std::vector<PixelBlock> blocks;
  std::vector<std::uint32_t> alike;
};

// Lowers column_nearest[j], where it is not null, to the distance of the set's image j to its nearest image of the
// source.
Nearest nearest_of(SampleSource& source, std::uint64_t count, const Searched& in,
                   std::vector<std::int64_t>* column_nearest, Device& device, Communicator& ranks) {
  Distances distances(device);
  Nearest result{std::vector<std::int64_t>(count, far), std::vector<std::int64_t>(count, far),
                 std::vector<std::int64_t>(count, 0)};
  for_own_blocks(source, count, ranks, [&](const SampleBlock& block) {
    const PixelBlock rows(block.images, in.set.pixels());
    std::size_t first = 0;
    for (const PixelBlock& columns : in.blocks) {
      const std::int32_t* d = distances.between(rows, columns);
      const auto n = static_cast<std::size_t>(columns.count());
      for (int i = 0; i < block.count; ++i, d += n) {
        const std::size_t image = block.first + static_cast<std::size_t>(i);
        std::int64_t& nearest = result.distance[image];
        std::int64_t& second = result.second[image];
        for (std::size_t j = 0; j < n; ++j) {
          if (d[j] >= second) continue;
          const std::uint32_t same = in.alike[first + j];
          // The nearest once more: of the same images the first is kept.
          if (nearest != far && same == static_cast<std::uint32_t>(result.which[image])) continue;
          second = std::max<std::int64_t>(nearest, d[j]);
          if (d[j] >= nearest) continue;
          nearest = d[j];
          result.which[image] = static_cast<std::int64_t>(first + j);
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
  ranks.all_min(result.second);
  ranks.all_sum(std::span(result.which));
  if (column_nearest != nullptr) ranks.all_min(*column_nearest);
  return result;
}

// As how many independent things count those that fall into groups of these sizes.
double independent(const std::vector<std::int64_t>& group_of, std::uint32_t groups) {
  std::vector<double> sizes(groups);
  for (const std::int64_t group : group_of) ++sizes[static_cast<std::size_t>(group)];
  double squares = 0;
  for (const double size : sizes) squares += size * size;
  return static_cast<double>(group_of.size()) * static_cast<double>(group_of.size()) / squares;
}

// The relatively nearest first, of each training image one.
std::vector<NearestPair> closest_pairs(const Nearest& found, const std::vector<double>& relative, std::size_t pairs) {
  std::vector<std::uint64_t> order(relative.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(),
            [&](std::uint64_t a, std::uint64_t b) { return std::pair(relative[a], a) < std::pair(relative[b], b); });
  std::vector<NearestPair> result;
  std::set<std::int64_t> shown;
  for (const std::uint64_t i : order) {
    if (result.size() == pairs) break;
    if (!shown.insert(found.which[i]).second) continue;
    result.push_back(
        {i, static_cast<std::uint32_t>(found.which[i]), from_squared_grey_levels(found.distance[i]), relative[i]});
  }
  return result;
}

}  // namespace

AreaUnderCurve area_under_curve(const std::vector<double>& members, const std::vector<double>& others) {
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
  const auto n = static_cast<double>(others.size());
  const double area = (members_ranks - m * (m + 1) / 2) / (m * n);
  // The probabilities that two members are both above another, and a member above two others, as negative exponential
  // distributions of that area have them.
  const double two_members = area / (2 - area);
  const double two_others = 2 * area * area / (1 + area);
  const double variance =
      (area * (1 - area) + (m - 1) * (two_members - area * area) + (n - 1) * (two_others - area * area)) / (m * n);
  return {area, std::sqrt(std::max(0.0, variance))};
}

double Memorisation::near_copies_error() const { return share_standard_error(near_copies, independent); }

bool Memorisation::copies() const { return wilson_interval(near_copies, independent, 2).low > copying_share; }

bool Memorisation::no_copies() const { return wilson_interval(near_copies, independent, 2).high <= copying_share; }

Memorisation memorisation(SampleSource& samples, std::uint64_t count, const ImageSet& training,
                          const ImageSet& held_out, std::size_t pairs, Device& device, Communicator& ranks) {
  std::vector<std::int64_t> training_to_samples(training.count, far);
  std::vector<std::int64_t> held_out_to_samples(held_out.count, far);
  const Searched in_training(training);
  const Nearest generated = nearest_of(samples, count, in_training, &training_to_samples, device, ranks);
  ImageSetSource new_images(held_out);
  const Nearest unseen = nearest_of(new_images, held_out.count, in_training, nullptr, device, ranks);
  nearest_of(samples, count, Searched(held_out), &held_out_to_samples, device, ranks);

  Memorisation result;
  result.samples_to_training = from_squared_grey_levels(median(generated.distance));
  result.held_out_to_training = from_squared_grey_levels(median(unseen.distance));
  const std::vector<double> relative = generated.relative();
  const double near = quantile(unseen.relative(), 0.01);
  const auto copies = std::count_if(relative.begin(), relative.end(), [&](double r) { return r < near || r == 0; });
  result.near_copies = static_cast<double>(copies) / static_cast<double>(count);
  result.independent = independent(generated.which, training.count);
  // The nearer to a sample, the likelier a member.
  const auto nearness = [](const std::vector<std::int64_t>& squared) {
    std::vector<double> values;
    for (const std::int64_t d : squared) values.push_back(-static_cast<double>(d));
    return values;
  };
  result.by_distance = area_under_curve(nearness(training_to_samples), nearness(held_out_to_samples));
  result.closest = closest_pairs(generated, relative, pairs);
  return result;
}

}  // namespace ganymede::eval
