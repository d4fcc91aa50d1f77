// See modes.hpp.
#include "eval/modes.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "math/permutation.hpp"

namespace ganymede::eval {

void StackedSource::read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* /*labels*/) {
  const auto pixels = static_cast<std::size_t>(set_.pixels());
  const auto channels = static_cast<std::size_t>(channels_);
  for (std::uint64_t stack = first; stack < first + static_cast<std::uint64_t>(count); ++stack)
    for (std::size_t c = 0; c < channels; ++c) {
      const math::Permutation order(0, stack / set_.count, set_.count, static_cast<std::uint32_t>(c));
      const std::size_t number = order(static_cast<std::uint32_t>(stack % set_.count));
      const auto digit = set_.images.subspan(number * pixels, pixels);
      for (std::size_t p = 0; p < pixels; ++p) images[((stack - first) * pixels + p) * channels + c] = digit[p];
    }
}

Modes modes(SampleSource& source, std::uint64_t count, int channels, Judge& judge, Communicator& ranks) {
  constexpr std::size_t pixels = std::size_t{Judge::side} * Judge::side;
  const auto stride = static_cast<std::size_t>(channels);
  Modes result;
  result.possible = 1;
  for (int c = 0; c < channels; ++c) result.possible *= Judge::classes;
  std::vector<std::int64_t> histogram(result.possible);
  std::vector<std::uint8_t> channel(most_block_images * pixels);
  std::vector<float> features(std::size_t{most_block_images} * Judge::features);
  std::vector<float> logits(std::size_t{most_block_images} * Judge::classes);
  std::vector<std::size_t> mode;
  for_own_blocks(source, count, ranks, [&](const SampleBlock& block) {
    const auto images = static_cast<std::size_t>(block.count);
    mode.assign(images, 0);
    for (std::size_t c = 0; c < stride; ++c) {
      for (std::size_t p = 0; p < images * pixels; ++p) channel[p] = block.images[p * stride + c];
      judge.look_at(channel.data(), block.count, features.data(), logits.data());
      for (std::size_t i = 0; i < images; ++i) {
        const float* answers = &logits[i * Judge::classes];
        mode[i] = mode[i] * Judge::classes +
                  static_cast<std::size_t>(std::max_element(answers, answers + Judge::classes) - answers);
      }
    }
    for (const std::size_t m : mode) ++histogram[m];
  });
  ranks.all_sum(std::span(histogram));
  for (const std::int64_t n : histogram) {
    if (n == 0) continue;
    ++result.found;
    const double share = static_cast<double>(n) / static_cast<double>(count);
    result.divergence += share * std::log(share * static_cast<double>(result.possible));
  }
  return result;
}

}  // namespace ganymede::eval
