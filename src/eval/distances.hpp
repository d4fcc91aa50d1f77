// Squared Euclidean distances between images of 8-bit values, by matrix products: ‖a - b‖² = ‖a‖² + ‖b‖² - 2 a·b.
// They are whole numbers and exact, whatever instruction set multiplies: pixels are taken in chunks so short that a
// chunk's products add up to less than 2^24, below which a float holds every whole number. So what metrics make of
// them (the nearest, ties, sums in fixed point) depends neither on how images are cut into blocks nor on the ranks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/sample_source.hpp"
#include "ganymede/device.hpp"

namespace ganymede::eval {

/// Throws Error(usage) where images of so many values are so large that a distance might not fit into 32 bits.
void check_comparable(int image_size);

/// Images as the products take them, in the memory of a device that is the host.
class PixelBlock {
 public:
  PixelBlock() = default;
  /// `images` [count, image_size], which check_comparable() lets pass.
  PixelBlock(std::span<const std::uint8_t> images, int image_size);

  [[nodiscard]] int count() const { return static_cast<int>(norms_.size()); }

 private:
  friend class Distances;
  std::vector<float> chunks_;        // chunk by chunk, [count, pixels of the chunk]
  std::vector<std::int32_t> norms_;  // ‖image‖²
  int image_size_ = 0;
};

/// A set in blocks of at most most_block_images.
std::vector<PixelBlock> pixel_blocks(const ImageSet& set);

class Distances {
 public:
  explicit Distances(Device& device) : device_(&device) {}

  /// ‖a_i - b_j‖² in whole grey levels squared: [a.count(), b.count()], to be read until the next call.
  const std::int32_t* between(const PixelBlock& a, const PixelBlock& b);

 private:
  Device* device_;
  std::vector<float> products_;
  std::vector<std::int32_t> result_;
};

}  // namespace ganymede::eval
