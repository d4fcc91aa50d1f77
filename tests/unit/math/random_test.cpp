// Philox against the published known-answer vectors (Random123, kat_vectors), and the shuffle: a bijection
// whose every place is uniform.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <vector>

#include "math/permutation.hpp"
#include "math/philox.hpp"

namespace ganymede::math {
namespace {

void expect_answer(const Philox4& counter, std::uint32_t key0, std::uint32_t key1, const Philox4& answer) {
  const Philox4 result = philox4x32(counter, key0, key1);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(result.v[i], answer.v[i]) << i;
}

TEST(Philox, GivesThePublishedAnswers) {
  expect_answer({{0, 0, 0, 0}}, 0, 0, {{0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U}});
  expect_answer({{0xffffffffU, 0xffffffffU, 0xffffffffU, 0xffffffffU}}, 0xffffffffU, 0xffffffffU,
                {{0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU}});
  expect_answer({{0x243f6a88U, 0x85a308d3U, 0x13198a2eU, 0x03707344U}}, 0xa4093822U, 0x299f31d0U,
                {{0xd16cfe09U, 0x94fdcceb, 0x5001e420U, 0x24126ea1U}});
}

TEST(Philox, EveryPartOfADrawsNameCounts) {
  const Philox4 base = philox_draw(1, Stream::noise_for_generator, 2, 3);
  for (const Philox4& other :
       {philox_draw(std::uint64_t{1} << 32 | 1, Stream::noise_for_generator, 2, 3),
        philox_draw(2, Stream::noise_for_generator, 2, 3), philox_draw(1, Stream::noise_for_discriminator, 2, 3),
        philox_draw(1, Stream::noise_for_generator, std::uint64_t{1} << 32 | 2, 3),
        philox_draw(1, Stream::noise_for_generator, 3, 3), philox_draw(1, Stream::noise_for_generator, 2, 4)})
    EXPECT_NE(base.v[0], other.v[0]);
}

TEST(UnitInterval, LiesStrictlyInside) {
  EXPECT_EQ(unit_interval(0), 0x1p-24F);
  EXPECT_EQ(unit_interval(0xffffffffU), 1.0F - 0x1p-24F);
  EXPECT_EQ(unit_interval(0x80000000U), 0.5F + 0x1p-24F);
}

TEST(Permutation, IsABijection) {
  for (std::uint32_t size : {1U,  2U,  3U,   4U,    5U,    7U,    15U,   16U,    17U,    63U,
                             64U, 65U, 100U, 1000U, 4096U, 4097U, 5000U, 60000U, 65536U, 65537U}) {
    for (std::uint64_t epoch : {0U, 1U}) {
      const Permutation permutation(7, epoch, size);
      std::vector<bool> seen(size);
      for (std::uint32_t i = 0; i < size; ++i) {
        const std::uint32_t image = permutation(i);
        ASSERT_LT(image, size);
        ASSERT_FALSE(seen[image]) << "size " << size << ", position " << i;
        seen[image] = true;
      }
    }
  }
}

// Over many epochs, which image stands first, in the middle and last, and where image 0 stands.
TEST(Permutation, EveryPlaceIsUniform) {
  constexpr std::uint32_t size = 50;
  constexpr int epochs = 20000;
  for (std::uint32_t position : {0U, 1U, 24U, 49U}) {
    std::vector<int> image_at(size);
    std::vector<int> place_of(size);
    for (int epoch = 0; epoch < epochs; ++epoch) {
      const Permutation permutation(11, static_cast<std::uint64_t>(epoch), size);
      ++image_at[permutation(position)];
      for (std::uint32_t i = 0; i < size; ++i)
        if (permutation(i) == position) ++place_of[i];
    }
    for (const std::vector<int>& counts : {image_at, place_of}) {
      double chi_square = 0;
      const double expected = static_cast<double>(epochs) / size;
      for (int count : counts) chi_square += (count - expected) * (count - expected) / expected;
      // 49 degrees of freedom: one in ten thousand draws exceeds 94.
      EXPECT_LT(chi_square, 94) << "position " << position;
    }
  }
}

// Neighbours in an epoch are not neighbours in the set: the steps between them are spread evenly.
TEST(Permutation, NeighboursAreUnrelated) {
  constexpr std::uint32_t size = 60000;
  const Permutation permutation(3, 5, size);
  std::vector<int> counts(60);
  for (std::uint32_t i = 0; i + 1 < size; ++i) ++counts[(permutation(i + 1) + size - permutation(i)) % size / 1000];
  double chi_square = 0;
  for (int count : counts) chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  EXPECT_LT(chi_square, 107);  // 59 degrees of freedom, one in ten thousand
}

TEST(Permutation, EpochsAndSeedsDiffer) {
  constexpr std::uint32_t size = 1000;
  std::set<std::vector<std::uint32_t>> orders;
  for (std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32})
    for (std::uint64_t epoch : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32}) {
      const Permutation permutation(seed, epoch, size);
      std::vector<std::uint32_t> order(size);
      for (std::uint32_t i = 0; i < size; ++i) order[i] = permutation(i);
      orders.insert(order);
    }
  EXPECT_EQ(orders.size(), 9U);
}

TEST(ImageOfSample, ShowsEveryImageOncePerEpoch) {
  constexpr std::uint32_t images = 130;  // no multiple of a batch
  std::vector<int> shown(images);
  for (std::uint64_t sample = 0; sample < 3 * images; ++sample) ++shown[image_of_sample(9, sample, images)];
  EXPECT_EQ(*std::min_element(shown.begin(), shown.end()), 3);
  EXPECT_EQ(*std::max_element(shown.begin(), shown.end()), 3);
}

}  // namespace
}  // namespace ganymede::math
