// See distances.hpp.
#include "eval/distances.hpp"

#include <algorithm>
#include <limits>

#include "ganymede/error.hpp"

namespace ganymede::eval {
namespace {

constexpr int largest_square = 255 * 255;
constexpr int most_chunk = (1 << 24) / largest_square;
constexpr int most_image = std::numeric_limits<std::int32_t>::max() / largest_square;

int chunks_of(int image_size) { return (image_size + most_chunk - 1) / most_chunk; }

// Where chunk `c` begins: chunks are nearly equal.
int chunk_begin(int image_size, int c) {
  return static_cast<int>(static_cast<std::int64_t>(image_size) * c / chunks_of(image_size));
}

}  // namespace

void check_comparable(int image_size) {
  if (image_size > most_image)
    throw Error(ExitCode::usage, "images of " + std::to_string(image_size) + " values are too large to be compared: " +
                                     std::to_string(most_image) + " are the most");
}

PixelBlock::PixelBlock(std::span<const std::uint8_t> images, int image_size) : image_size_(image_size) {
  check_comparable(image_size);
  const auto size = static_cast<std::size_t>(image_size);
  const std::size_t count = images.size() / size;
  chunks_.resize(count * size);
  norms_.resize(count);
  float* to = chunks_.data();
  for (int c = 0; c < chunks_of(image_size); ++c) {
    const auto begin = static_cast<std::size_t>(chunk_begin(image_size, c));
    const auto end = static_cast<std::size_t>(chunk_begin(image_size, c + 1));
    for (std::size_t i = 0; i < count; ++i)
      to = std::transform(&images[i * size] + begin, &images[i * size] + end, to,
                          [](std::uint8_t value) { return static_cast<float>(value); });
  }
  for (std::size_t i = 0; i < count; ++i)
    for (const std::uint8_t value : images.subspan(i * size, size)) norms_[i] += value * value;
}

std::vector<PixelBlock> pixel_blocks(const ImageSet& set) {
  std::vector<PixelBlock> blocks;
  const Dealt dealt(set.count);
  for (std::uint64_t b = 0; b < dealt.blocks(); ++b)
    blocks.emplace_back(
        part_of(set, static_cast<std::uint32_t>(dealt.first(b)), static_cast<std::uint32_t>(dealt.size(b))).images,
        set.pixels());
  return blocks;
}

const std::int32_t* Distances::between(const PixelBlock& a, const PixelBlock& b) {
  const int size = a.image_size_;
  const int chunks = chunks_of(size);
  const auto rows = static_cast<std::size_t>(a.count());
  const auto columns = static_cast<std::size_t>(b.count());
  products_.resize(std::max(products_.size(), static_cast<std::size_t>(chunks) * rows * columns));
  result_.resize(std::max(result_.size(), rows * columns));
  for (int c = 0; c < chunks; ++c) {
    const auto begin = static_cast<std::size_t>(chunk_begin(size, c));
    const int width = chunk_begin(size, c + 1) - chunk_begin(size, c);
    device_->affine_forward(a.count(), width, b.count(), a.chunks_.data() + begin * rows,
                            b.chunks_.data() + begin * columns, nullptr, Activation{},
                            products_.data() + static_cast<std::size_t>(c) * rows * columns);
  }
  for (std::size_t i = 0; i < rows; ++i) {
    std::int32_t* const to = result_.data() + i * columns;
    std::fill(to, to + columns, 0);
    for (int c = 0; c < chunks; ++c) {
      const float* const from = products_.data() + (static_cast<std::size_t>(c) * rows + i) * columns;
      for (std::size_t j = 0; j < columns; ++j) to[j] += static_cast<std::int32_t>(from[j]);
    }
    // Without the step over twice the product, which might not fit.
    const std::int32_t norm = a.norms_[i];
    const std::int32_t* const norms = b.norms_.data();
    for (std::size_t j = 0; j < columns; ++j) to[j] = (norm - to[j]) + (norms[j] - to[j]);
  }
  return result_.data();
}

}  // namespace ganymede::eval
