// Which real images lie beside the generated ones.
#include "report/real_images.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "ganymede/device.hpp"

namespace ganymede {
namespace {

/// Images of 2×1 pixels, (i, 2·i), and a label each.
struct OwnSet {
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint8_t> labels;
  explicit OwnSet(const std::vector<std::uint8_t>& of_labels) : labels(of_labels) {
    for (std::size_t i = 0; i < labels.size(); ++i) {
      pixels.push_back(static_cast<std::uint8_t>(i));
      pixels.push_back(static_cast<std::uint8_t>(2 * i));
    }
  }
  [[nodiscard]] ImageSet set(int channels = 1) const {
    return {pixels, labels, static_cast<std::uint32_t>(labels.size()), 1, 2, channels};
  }
};

/// The images' numbers by their first pixels.
std::vector<int> numbers(const std::vector<float>& images) {
  std::vector<int> result;
  for (std::size_t i = 0; i < images.size(); i += 2) result.push_back(static_cast<int>(images[i] * 255 + 0.5F));
  return result;
}

// As the device draws them for the first steps.
TEST(RealImages, AreTheFirstThatATrainingIsShown) {
  const std::unique_ptr<Device> device = make_cpu_device(1);
  const OwnSet own(std::vector<std::uint8_t>(100, 0));
  for (const int channels : {1, 3}) {
    const ImageSet set = own.set(channels);
    DeviceArray<std::uint8_t> images(*device, own.pixels.size());
    images.assign(own.pixels.data());
    DeviceArray<std::uint64_t> zero(*device, 1);
    constexpr int count = 60;
    DeviceArray<float> shown(*device, static_cast<std::size_t>(count * 2 * channels));
    device->gather_images(7, {zero.data(), 0, 0}, images.data(), set.count, count, 2, channels, shown.data());
    EXPECT_EQ(real_images(set, 7, count, 0), shown.host());
    EXPECT_NE(real_images(set, 8, count, 0), shown.host());
  }
}

TEST(RealImages, TakeTheClassesInTurnEachOnce) {
  std::vector<std::uint8_t> labels;
  for (int i = 0; i < 90; ++i) labels.push_back(static_cast<std::uint8_t>(i / 30));  // sorted, as some sets are
  const OwnSet own(labels);
  const std::vector<int> found = numbers(real_images(own.set(), 1, 50, 3));
  ASSERT_EQ(found.size(), 50U);
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_EQ(labels[static_cast<std::size_t>(found[i])], i % 3) << "image " << i;
  EXPECT_EQ(std::set<int>(found.begin(), found.end()).size(), 50U);
  const std::vector<int> others = numbers(real_images(own.set(), 2, 50, 3));
  EXPECT_NE(others, found) << "another seed";
}

TEST(RealImages, ComeAgainWhereThereAreTooFew) {
  // Two images of class 0, none of class 1, one of class 2.
  const OwnSet own({2, 0, 0});
  const std::vector<int> found = numbers(real_images(own.set(), 1, 12, 3));
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (i % 3 == 0) {
      EXPECT_THAT(found[i], ::testing::AnyOf(1, 2));
      EXPECT_EQ(found[i], found[i % 6]);
    } else if (i % 3 == 2) {
      EXPECT_EQ(found[i], 0);
    }
  }
  EXPECT_NE(found[0], found[3]);
  const std::vector<float> images = real_images(own.set(), 1, 12, 3);
  EXPECT_EQ(images[2], 0) << "a class without images is black";
  EXPECT_EQ(images[3], 0);
  EXPECT_EQ(numbers(real_images(OwnSet({0, 0}).set(), 1, 5, 0)).size(), 5U);
}

}  // namespace
}  // namespace ganymede
