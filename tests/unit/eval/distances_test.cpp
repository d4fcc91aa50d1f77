// Distances by matrix products are the whole numbers that subtraction gives, on every instruction set.
#include "eval/distances.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ganymede/error.hpp"
#include "support/refusal.hpp"
#include "unit/eval/images.hpp"

namespace ganymede::eval {
namespace {

using testing::OwnSet;
using testing::random_set;
using testing::squared_distance;

void expect_exact(const OwnSet& a, const OwnSet& b) {
  for (const std::string& instructions : cpu_instruction_sets()) {
    const auto device = make_cpu_device(2, instructions);
    Distances distances(*device);
    const PixelBlock rows(a.images, a.size);
    const PixelBlock columns(b.images, b.size);
    const std::int32_t* d = distances.between(rows, columns);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < a.set().count; ++i)
      for (std::size_t j = 0; j < b.set().count; ++j, ++d)
        wrong += *d != squared_distance(&a.images[i * static_cast<std::size_t>(a.size)],
                                        &b.images[j * static_cast<std::size_t>(b.size)], a.size);
    EXPECT_EQ(wrong, 0U) << instructions << ", images of " << a.size;
  }
}

TEST(Distances, AreThoseOfSubtraction) {
  // About the lengths at which images fall into one chunk more.
  for (const int size : {1, 7, 257, 258, 259, 516, 517, 784, 3072})
    expect_exact(random_set(37, size, 1), random_set(53, size, 2));
}

TEST(Distances, HoldTheGreatestThereAre) {
  OwnSet white{std::vector<std::uint8_t>(33024, 255), {}, 33024};
  OwnSet black{std::vector<std::uint8_t>(33024, 0), {}, 33024};
  expect_exact(white, black);
  expect_exact(white, white);
}

TEST(Distances, RefuseImagesTooLargeForThem) {
  const std::vector<std::uint8_t> image(33026);
  EXPECT_NO_THROW(PixelBlock(std::span(image).first(33025), 33025));
  EXPECT_THAT(ganymede::testing::refusal(ExitCode::usage, [&] { PixelBlock block(image, 33026); }),
              ::testing::HasSubstr("33025 are the most"));
}

}  // namespace
}  // namespace ganymede::eval
