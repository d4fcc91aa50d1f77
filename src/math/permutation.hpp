// The shuffle: for each (seed, epoch) a permutation of 0 … size-1 that is evaluated at one place, without
// a table, so that any rank, thread or CUDA kernel can ask which image stands at a global position.
//
// A six-round balanced Feistel network over the next even power of two (Luby and Rackoff 1988), keyed by
// Philox and walked until it lands inside the set (cycle walking, Black and Rogaway 2002).
#pragma once

#include <cstdint>

#include "math/philox.hpp"
#include "math/portable.hpp"

namespace ganymede::math {

class Permutation {
 public:
  /// Each channel has permutations of its own.
  GANYMEDE_MATH Permutation(std::uint64_t seed, std::uint64_t epoch, std::uint32_t size, std::uint32_t channel = 0)
      : size_(size) {
    while (half_bits_ < 16 && (std::uint64_t{1} << (2 * half_bits_)) < size) ++half_bits_;
    for (int i = 0; i < 2; ++i) {
      const Philox4 keys = philox_draw(seed, Stream::shuffle, epoch, 2 * channel + static_cast<std::uint32_t>(i));
      for (int j = 0; j < 4; ++j)
        if (4 * i + j < rounds) keys_[4 * i + j] = keys.v[j];
    }
  }

  /// The image at `position` (< size) of this epoch.
  GANYMEDE_MATH std::uint32_t operator()(std::uint32_t position) const {
    const std::uint32_t mask = (std::uint32_t{1} << half_bits_) - 1;
    std::uint32_t value = position;
    do {
      std::uint32_t left = value >> half_bits_;
      std::uint32_t right = value & mask;
      for (int round = 0; round < rounds; ++round) {
        const std::uint32_t next = left ^ (mix(right ^ keys_[round]) & mask);
        left = right;
        right = next;
      }
      value = (left << half_bits_) | right;
    } while (value >= size_);
    return value;
  }

 private:
  static constexpr int rounds = 6;

  // MurmurHash3's 32-bit finaliser: every input bit reaches every output bit.
  GANYMEDE_MATH static std::uint32_t mix(std::uint32_t x) {
    x ^= x >> 16;
    x *= 0x85EBCA6BU;
    x ^= x >> 13;
    x *= 0xC2B2AE35U;
    x ^= x >> 16;
    return x;
  }

  std::uint32_t size_;
  std::uint32_t half_bits_ = 1;
  std::uint32_t keys_[rounds] = {};
};

/// The image that the global sample number `sample` of a training shows: epochs follow each other without
/// a gap, so a batch that straddles two epochs takes the rest of one and the start of the next, and every
/// image is seen exactly once per epoch whatever the batch size.
GANYMEDE_MATH std::uint32_t image_of_sample(std::uint64_t seed, std::uint64_t sample, std::uint32_t images,
                                            std::uint32_t channel = 0) {
  return Permutation(seed, sample / images, images, channel)(static_cast<std::uint32_t>(sample % images));
}

}  // namespace ganymede::math
