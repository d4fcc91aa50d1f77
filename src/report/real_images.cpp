// See real_images.hpp.
#include "report/real_images.hpp"

#include <algorithm>
#include <optional>

#include "math/permutation.hpp"

namespace ganymede {
namespace {

/// The numbers of `count` images in the order of the first epoch, whose labels take turns where there are classes.
std::vector<std::optional<std::uint32_t>> chosen(const ImageSet& set, const math::Permutation& order, std::size_t count,
                                                 int classes) {
  const std::size_t groups = static_cast<std::size_t>(std::max(classes, 1));
  const std::size_t rows = (count + groups - 1) / groups;
  std::vector<std::vector<std::uint32_t>> of_class(groups);
  for (std::uint32_t position = 0; position < set.count; ++position) {
    const std::uint32_t image = order(position);
    const std::size_t label = classes > 0 ? set.labels[image] : 0;
    if (label >= groups) continue;  // a test image of a class that no training image has
    std::vector<std::uint32_t>& group = of_class[label];
    if (group.size() < rows) group.push_back(image);
    if (classes == 0 && group.size() == rows) break;
  }
  std::vector<std::optional<std::uint32_t>> images(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<std::uint32_t>& group = of_class[i % groups];
    if (!group.empty()) images[i] = group[i / groups % group.size()];
  }
  return images;
}

}  // namespace

std::vector<float> real_images(const ImageSet& set, std::uint64_t seed, int count, int classes) {
  const auto channels = static_cast<std::size_t>(set.channels);
  const auto pixels = static_cast<std::size_t>(set.pixels());
  std::vector<float> result(static_cast<std::size_t>(count) * pixels * channels);
  for (std::size_t channel = 0; channel < channels; ++channel) {
    const math::Permutation order(seed, 0, set.count, static_cast<std::uint32_t>(channel));
    const auto images = chosen(set, order, static_cast<std::size_t>(count), classes);
    for (std::size_t i = 0; i < images.size(); ++i) {
      if (!images[i]) continue;
      const std::uint8_t* const from = set.images.data() + *images[i] * pixels;
      for (std::size_t p = 0; p < pixels; ++p)
        result[(i * pixels + p) * channels + channel] = static_cast<float>(from[p]) / 255.0F;
    }
  }
  return result;
}

}  // namespace ganymede
