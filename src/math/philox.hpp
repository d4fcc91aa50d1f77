// Philox 4x32-10, the counter-based generator behind every random number (Salmon, Moraes, Dror, Shaw:
// "Parallel random numbers: as easy as 1, 2, 3", SC 2011). A draw is a function of (seed, stream, sample,
// position) and of nothing else: neither rank, nor thread, nor what was drawn before.
#pragma once

#include <cstdint>

#include "math/portable.hpp"

namespace ganymede::math {

/// What a draw is for; a part of the counter, so that no two purposes ever share numbers.
/// The values are part of the trajectory: never renumber, only add.
enum class Stream : std::uint32_t {
  init_generator = 1,
  init_discriminator = 2,
  shuffle = 3,
  noise_for_discriminator = 4,  ///< z of the discriminator's step
  noise_for_generator = 5,      ///< z of the generator's step
  noise_for_grid = 6,           ///< the fixed z of the sample grids
  noise_for_samples = 7,        ///< `ganymede sample`
  interpolation = 8,            ///< where between a real and a generated image a penalty looks
  noise_on_real = 9,            ///< instance noise: on the real images of the discriminator's step,
  noise_on_generated = 10,      ///< on the generated ones beside them,
  noise_on_generators = 11,     ///< and on those of the generator's step
  init_singular_vectors = 20,   ///< where the power iterations of spectral normalisation begin
  dropout_between = 21,         ///< masks in D's update, of points between images,
  dropout_real = 22,            ///< of real images,
  dropout_fake = 23,            ///< and of generated ones
  dropout_generator_real = 24,  ///< masks in G's update, of real images beside
  dropout_generator = 25,       ///< generated ones
  init_judge = 100,             ///< the classifier that samples are judged by: its initial weights
  judge_shifts = 101,           ///< where its training moves images to
  ceiling = 102,                ///< images of noise, the worst that samples are compared with
};

struct Philox4 {
  std::uint32_t v[4];
};

/// The bijection itself: 128-bit counter, 64-bit key, ten rounds.
GANYMEDE_MATH Philox4 philox4x32(Philox4 counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53U} * counter.v[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57U} * counter.v[2];
    const Philox4 next{{static_cast<std::uint32_t>(b >> 32) ^ counter.v[1] ^ key0, static_cast<std::uint32_t>(b),
                        static_cast<std::uint32_t>(a >> 32) ^ counter.v[3] ^ key1, static_cast<std::uint32_t>(a)}};
    counter = next;
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return counter;
}

/// Four numbers at `block` of `sample` in `stream` under `seed`.
GANYMEDE_MATH Philox4 philox_draw(std::uint64_t seed, Stream stream, std::uint64_t sample, std::uint32_t block) {
  return philox4x32(Philox4{{block, static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(sample),
                             static_cast<std::uint32_t>(sample >> 32)}},
                    static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
}

/// 32 random bits to (0, 1): the middle of one of 2^23 equal intervals, exact in float, never 0 or 1.
GANYMEDE_MATH float unit_interval(std::uint32_t bits) {
  return (static_cast<float>(static_cast<std::int32_t>(bits >> 9)) + 0.5F) * 0x1p-23F;
}

/// The same to (-1, 1), exact as well.
GANYMEDE_MATH float symmetric_unit(std::uint32_t bits) { return 2.0F * unit_interval(bits) - 1.0F; }

}  // namespace ganymede::math
