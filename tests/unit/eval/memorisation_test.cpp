// Copies are told from new images; every number against its definition in plain loops.
#include "eval/memorisation.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace ganymede::eval {
namespace {

constexpr int side = 5;
constexpr std::size_t size = side * side;

std::vector<std::uint8_t> noise(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::uint8_t> bytes(count * size);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random() >> 24);
  return bytes;
}

ImageSet set_of(const std::vector<std::uint8_t>& bytes) {
  ImageSet set;
  set.images = bytes;
  set.count = static_cast<std::uint32_t>(bytes.size() / size);
  set.height = set.width = side;
  return set;
}

double distance(const std::vector<std::uint8_t>& a, std::size_t i, const std::vector<std::uint8_t>& b, std::size_t j) {
  int sum = 0;  // whole numbers, so that what is equally near is so here too
  for (std::size_t p = 0; p < size; ++p)
    sum += (a[i * size + p] - b[j * size + p]) * (a[i * size + p] - b[j * size + p]);
  return std::sqrt(static_cast<double>(sum)) / 255;
}

// Of each image of `from` to the nearest of `to`, and that one's number.
std::vector<std::pair<double, std::size_t>> nearest(const std::vector<std::uint8_t>& from,
                                                    const std::vector<std::uint8_t>& to) {
  std::vector<std::pair<double, std::size_t>> result;
  for (std::size_t i = 0; i < from.size() / size; ++i) {
    std::pair<double, std::size_t> best{std::numeric_limits<double>::infinity(), 0};
    for (std::size_t j = 0; j < to.size() / size; ++j) best = std::min(best, {distance(from, i, to, j), j});
    result.push_back(best);
  }
  return result;
}

double median(std::vector<std::pair<double, std::size_t>> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2].first;
}

TEST(AreaUnderCurve, IsTheShareOfPairsInOrder) {
  std::mt19937 random(3);
  std::vector<double> members(37);
  std::vector<double> others(51);
  // Few values, so that many are equal.
  for (double& value : members) value = static_cast<double>(random() % 7);
  for (double& value : others) value = static_cast<double>(random() % 6);
  double sum = 0;
  for (const double m : members)
    for (const double o : others) sum += m > o ? 1 : m == o ? 0.5 : 0;
  EXPECT_DOUBLE_EQ(area_under_curve(members, others), sum / static_cast<double>(members.size() * others.size()));
  EXPECT_EQ(area_under_curve({3, 4}, {1, 2}), 1);
  EXPECT_EQ(area_under_curve({1, 1}, {1}), 0.5);
}

TEST(Memorised, IsWhatItsDefinitionsSay) {
  const auto training = noise(300, 1);
  const auto held_out = noise(290, 2);
  const auto drawn = noise(270, 3);  // more than a block of 256
  const ImageSet samples = set_of(drawn);
  ImageSetSource source(samples);
  const auto device = make_cpu_device(1);
  const auto ranks = make_local_communicator();
  const Memorisation found = memorisation(source, 270, set_of(training), set_of(held_out), 4, *device, *ranks);

  const auto to_training = nearest(drawn, training);
  const auto unseen = nearest(held_out, training);
  EXPECT_NEAR(found.samples_to_training, median(to_training), 1e-9);
  EXPECT_NEAR(found.held_out_to_training, median(unseen), 1e-9);
  std::vector<double> members;
  std::vector<double> others;
  for (const auto& [d, which] : nearest(training, drawn)) members.push_back(-d);
  for (const auto& [d, which] : nearest(held_out, drawn)) others.push_back(-d);
  EXPECT_NEAR(found.distance_auc, area_under_curve(members, others), 1e-9);
  EXPECT_NEAR(found.distance_auc, 0.5, 0.05);
  ASSERT_EQ(found.closest.size(), 4U);
  double before = 0;
  for (const NearestPair& pair : found.closest) {
    EXPECT_NEAR(pair.distance, to_training[pair.sample].first, 1e-9);
    EXPECT_EQ(pair.training_image, to_training[pair.sample].second);
    EXPECT_GE(pair.distance, before);
    before = pair.distance;
  }
  EXPECT_LT(found.near_copies, 0.05);
}

TEST(Memorised, CopiesAreFound) {
  const auto training = noise(200, 1);
  const auto held_out = noise(200, 2);
  auto drawn = training;
  for (std::size_t i = 0; i < drawn.size(); i += 3) drawn[i] ^= 1U;  // not quite the same
  const ImageSet samples = set_of(drawn);
  ImageSetSource source(samples);
  const auto device = make_cpu_device(1);
  const auto ranks = make_local_communicator();
  const Memorisation found = memorisation(source, 200, set_of(training), set_of(held_out), 1, *device, *ranks);
  EXPECT_LT(found.ratio(), 0.02);
  EXPECT_EQ(found.near_copies, 1);
  EXPECT_EQ(found.distance_auc, 1);
  EXPECT_EQ(found.closest[0].training_image, found.closest[0].sample);
}

}  // namespace
}  // namespace ganymede::eval
