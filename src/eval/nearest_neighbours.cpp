// See nearest_neighbours.hpp.
#include "eval/nearest_neighbours.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "eval/distances.hpp"

namespace ganymede::eval {
namespace {

constexpr std::int32_t far = std::numeric_limits<std::int32_t>::max();

// Images of a set or source that this rank looks for the neighbours of, and how near the nearest of two kinds is.
struct Seekers {
  std::vector<PixelBlock> blocks;
  std::vector<std::uint64_t> first;  // of each block, in its set
  std::vector<std::int32_t> to_real;
  std::vector<std::int32_t> to_generated;

  void add(const SampleBlock& block, int image_size) {
    blocks.emplace_back(block.images, image_size);
    first.push_back(block.first);
    to_real.resize(to_real.size() + static_cast<std::size_t>(block.count), far);
    to_generated.resize(to_real.size(), far);
  }
};

// Lowers nearest[i] to the least of row i, but for the seeker itself where it is among the columns (`same` set).
void seek(const Seekers& seekers, std::vector<std::int32_t>& nearest, const PixelBlock& others, bool same_set,
          std::uint64_t first_other, Distances& distances, std::int32_t* column_nearest) {
  std::size_t at = 0;
  const auto n = static_cast<std::size_t>(others.count());
  for (std::size_t b = 0; b < seekers.blocks.size(); ++b) {
    const PixelBlock& rows = seekers.blocks[b];
    const std::int32_t* d = distances.between(rows, others);
    const bool itself = same_set && seekers.first[b] == first_other;
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows.count()); ++i, ++at, d += n) {
      std::int32_t least = nearest[at];
      if (itself) {
        for (std::size_t j = 0; j < n; ++j)
          if (j != i) least = std::min(least, d[j]);
      } else {
        for (std::size_t j = 0; j < n; ++j) least = std::min(least, d[j]);
      }
      nearest[at] = least;
      if (column_nearest == nullptr) continue;
      for (std::size_t j = 0; j < n; ++j) column_nearest[j] = std::min(column_nearest[j], d[j]);
    }
  }
}

// Halves of right answers, so that ties stay whole: 2 where the first is nearer, 1 where both are as near.
std::int64_t right_halves(std::int32_t own_kind, std::int32_t other_kind) {
  return own_kind < other_kind ? 2 : own_kind == other_kind ? 1 : 0;
}

}  // namespace

Share classification_error(SampleSource& samples, std::uint64_t count, const ImageSet& test, Device& device,
                           Communicator& ranks) {
  const std::vector<PixelBlock> blocks = pixel_blocks(test);
  Distances distances(device);
  std::vector<std::int64_t> nearest(test.count, far);
  // The sample's number with its label: of equals the first.
  std::vector<std::int64_t> answer(test.count, INT64_MAX);
  constexpr std::int64_t labels = 256;
  for_own_blocks(samples, count, ranks, [&](const SampleBlock& block) {
    const PixelBlock columns(block.images, samples.image_size());
    const auto n = static_cast<std::size_t>(block.count);
    std::size_t image = 0;
    for (const PixelBlock& rows : blocks) {
      const std::int32_t* d = distances.between(rows, columns);
      for (int i = 0; i < rows.count(); ++i, ++image, d += n) {
        const std::int32_t* const least = std::min_element(d, d + n);
        if (*least >= nearest[image]) continue;
        nearest[image] = *least;
        const auto j = static_cast<std::size_t>(least - d);
        answer[image] = static_cast<std::int64_t>(block.first + j) * labels + block.labels[j];
      }
    }
  });
  std::vector<std::int64_t> overall = nearest;
  ranks.all_min(overall);
  for (std::size_t i = 0; i < overall.size(); ++i)
    if (nearest[i] > overall[i]) answer[i] = INT64_MAX;
  ranks.all_min(answer);
  Share wrong{0, test.count};
  for (std::size_t i = 0; i < answer.size(); ++i) wrong.part += answer[i] % labels == test.labels[i] ? 0 : 1;
  return wrong;
}

TwoSampleAccuracy two_sample_accuracy(SampleSource& samples, const ImageSet& real, Device& device,
                                      Communicator& ranks) {
  const std::uint64_t count = real.count;
  Distances distances(device);
  ImageSetSource real_source(real);
  Seekers real_ones;
  Seekers generated_ones;
  for_own_blocks(real_source, count, ranks, [&](const SampleBlock& block) { real_ones.add(block, real.pixels()); });
  for_own_blocks(samples, count, ranks, [&](const SampleBlock& block) { generated_ones.add(block, real.pixels()); });
  // Real ones among themselves; every rank has them at hand.
  const Dealt dealt(count);
  for (std::uint64_t b = 0; b < dealt.blocks(); ++b) {
    samples.before_blocks();
    const ImageSet part =
        part_of(real, static_cast<std::uint32_t>(dealt.first(b)), static_cast<std::uint32_t>(dealt.size(b)));
    seek(real_ones, real_ones.to_real, PixelBlock(part.images, real.pixels()), true, dealt.first(b), distances,
         nullptr);
  }
  // What generated ones find among this rank's real ones; the least over all ranks is what they find among all.
  std::vector<std::int32_t> generated_to_real(count, far);
  for_all_blocks(samples, count, ranks, [&](const SampleBlock& block) {
    const PixelBlock others(block.images, real.pixels());
    seek(real_ones, real_ones.to_generated, others, false, block.first, distances, &generated_to_real[block.first]);
    seek(generated_ones, generated_ones.to_generated, others, true, block.first, distances, nullptr);
  });
  std::vector<std::int64_t> least(generated_to_real.begin(), generated_to_real.end());
  ranks.all_min(least);

  std::vector<std::int64_t> halves(2);
  for (std::size_t i = 0; i < real_ones.to_real.size(); ++i)
    halves[0] += right_halves(real_ones.to_real[i], real_ones.to_generated[i]);
  std::size_t at = 0;
  for (std::size_t b = 0; b < generated_ones.blocks.size(); ++b)
    for (std::size_t i = 0; i < static_cast<std::size_t>(generated_ones.blocks[b].count()); ++i, ++at)
      halves[1] +=
          right_halves(generated_ones.to_generated[at], static_cast<std::int32_t>(least[generated_ones.first[b] + i]));
  ranks.all_sum(std::span(halves));
  return {{static_cast<double>(halves[0]) / 2, count}, {static_cast<double>(halves[1]) / 2, count}};
}

}  // namespace ganymede::eval
