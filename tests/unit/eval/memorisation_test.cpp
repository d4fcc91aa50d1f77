// Copies are told from new images; every number against its definition in plain loops.
#include "eval/memorisation.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "eval/share.hpp"

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

// An image's distance to the nearest one of `to` over that to the second nearest.
double relative(const std::vector<std::uint8_t>& from, std::size_t i, const std::vector<std::uint8_t>& to) {
  std::vector<double> distances;
  for (std::size_t j = 0; j < to.size() / size; ++j) distances.push_back(distance(from, i, to, j));
  std::sort(distances.begin(), distances.end());
  return distances[0] / distances[1];
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
  EXPECT_DOUBLE_EQ(area_under_curve(members, others).value, sum / static_cast<double>(members.size() * others.size()));
  EXPECT_EQ(area_under_curve({3, 4}, {1, 2}).value, 1);
  EXPECT_EQ(area_under_curve({1, 1}, {1}).value, 0.5);
}

// Of areas from samples of exponential distributions, which the formula supposes, drawn many times over.
TEST(AreaUnderCurve, ItsStandardErrorIsHowFarItScatters) {
  std::mt19937 random(4);
  for (const double scale : {1.0, 3.0}) {
    std::exponential_distribution<double> member(1 / scale);
    std::exponential_distribution<double> other(1);
    constexpr int times = 2000;
    double sum = 0;
    double squares = 0;
    double told = 0;
    for (int i = 0; i < times; ++i) {
      std::vector<double> members(60);
      std::vector<double> others(25);
      for (double& value : members) value = member(random);
      for (double& value : others) value = other(random);
      const AreaUnderCurve found = area_under_curve(members, others);
      sum += found.value;
      squares += found.value * found.value;
      told += found.standard_error;
    }
    const double mean = sum / times;
    EXPECT_NEAR(mean, scale / (1 + scale), 0.01);
    const double scatter = std::sqrt(squares / times - mean * mean);
    EXPECT_NEAR(told / times, scatter, 0.06 * scatter);
  }
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
  EXPECT_NEAR(found.by_distance.value, area_under_curve(members, others).value, 1e-9);
  EXPECT_NEAR(found.by_distance.value, 0.5, 0.05);
  EXPECT_NEAR(found.by_distance.standard_error, 0.024, 0.001);  // √((m+n+1) / 12mn) where nothing can be told
  ASSERT_EQ(found.closest.size(), 4U);
  double before = 0;
  for (const NearestPair& pair : found.closest) {
    EXPECT_NEAR(pair.distance, to_training[pair.sample].first, 1e-9);
    EXPECT_EQ(pair.training_image, to_training[pair.sample].second);
    EXPECT_NEAR(pair.relative, relative(drawn, pair.sample, training), 1e-9);
    EXPECT_GE(pair.relative, before);
    before = pair.relative;
  }
  std::vector<double> of_samples;
  std::vector<double> of_unseen;
  for (std::size_t i = 0; i < 270; ++i) of_samples.push_back(relative(drawn, i, training));
  for (std::size_t i = 0; i < 290; ++i) of_unseen.push_back(relative(held_out, i, training));
  EXPECT_EQ(found.closest[0].relative, *std::min_element(of_samples.begin(), of_samples.end()));
  std::sort(of_unseen.begin(), of_unseen.end());
  EXPECT_DOUBLE_EQ(found.near_copies, static_cast<double>(std::count_if(of_samples.begin(), of_samples.end(),
                                                                        [&](double r) { return r < of_unseen[2]; })) /
                                          270);
  EXPECT_FALSE(found.copies());
}

Memorisation memorisation_of(const std::vector<std::uint8_t>& drawn, const std::vector<std::uint8_t>& training,
                             const std::vector<std::uint8_t>& held_out, std::size_t pairs = 1) {
  const ImageSet samples = set_of(drawn);
  ImageSetSource source(samples);
  const auto device = make_cpu_device(1);
  const auto ranks = make_local_communicator();
  return memorisation(source, samples.count, set_of(training), set_of(held_out), pairs, *device, *ranks);
}

// Not quite the same.
std::vector<std::uint8_t> copies_of(std::vector<std::uint8_t> images) {
  for (std::size_t i = 0; i < images.size(); i += 3) images[i] ^= 1U;
  return images;
}

TEST(Memorised, CopiesAreFound) {
  const auto training = noise(200, 1);
  const Memorisation found = memorisation_of(copies_of(training), training, noise(200, 2));
  EXPECT_LT(found.ratio(), 0.02);
  EXPECT_EQ(found.near_copies, 1);
  EXPECT_TRUE(found.copies());
  EXPECT_NEAR(found.independent, 200, 1e-9);
  EXPECT_EQ(found.by_distance.value, 1);
  EXPECT_EQ(found.closest[0].training_image, found.closest[0].sample);
}

// One image, again and again.
std::vector<std::uint8_t> nothing_but(const std::vector<std::uint8_t>& images, std::size_t which, int times) {
  std::vector<std::uint8_t> drawn;
  const auto from = images.begin() + static_cast<std::ptrdiff_t>(which * size);
  for (int i = 0; i < times; ++i) drawn.insert(drawn.end(), from, from + static_cast<std::ptrdiff_t>(size));
  return drawn;
}

// Not the image itself once more, but the nearest other one is what a copy is much further from.
TEST(Memorised, AnImageThatTheSetHasTwiceIsOne) {
  const auto once = noise(200, 1);
  auto twice = once;
  twice.insert(twice.end(), once.begin(), once.end());
  const auto held_out = noise(200, 2);
  const Memorisation found = memorisation_of(copies_of(once), twice, held_out, 200);
  EXPECT_EQ(found.near_copies, 1);
  EXPECT_TRUE(found.copies());
  EXPECT_NEAR(found.independent, 200, 1e-9);
  const Memorisation without = memorisation_of(copies_of(once), once, held_out, 200);
  ASSERT_EQ(found.closest.size(), 200U);
  for (std::size_t i = 0; i < 200; ++i) {
    EXPECT_EQ(found.closest[i].training_image, without.closest[i].training_image);
    EXPECT_EQ(found.closest[i].relative, without.closest[i].relative);
  }
  // New images are no more copies than before, and where there is no other image nothing can be told.
  EXPECT_FALSE(memorisation_of(noise(200, 3), twice, held_out).copies());
  const Memorisation alike = memorisation_of(noise(200, 3), nothing_but(once, 0, 300), held_out);
  EXPECT_EQ(alike.near_copies, 0);
  EXPECT_EQ(alike.closest[0].relative, 1);
}

// As a set of digits has ones, which lie near to each other, and others.
std::vector<std::uint8_t> half_of_them_faint(std::vector<std::uint8_t> images) {
  for (std::size_t i = 0; i < images.size() / 2; ++i) images[i] /= 8;
  return images;
}

TEST(Memorised, OneSimpleNewImageAgainAndAgainIsNoCopy) {
  const auto training = half_of_them_faint(noise(300, 1));
  const auto held_out = half_of_them_faint(noise(300, 2));
  for (const std::size_t faint : {0U, 17U, 42U}) {
    const Memorisation found = memorisation_of(nothing_but(held_out, faint, 300), training, held_out);
    EXPECT_LT(found.ratio(), 0.5);  // it is near to training images, as all faint ones are
    EXPECT_FALSE(found.copies()) << faint;
    EXPECT_FALSE(found.no_copies()) << faint << ": one image tells neither";
    EXPECT_NEAR(found.independent, 1, 1e-9);
    EXPECT_EQ(found.closest.size(), 1U);
  }
}

TEST(Memorised, OneTrainingImageAgainAndAgainIsACopy) {
  const auto training = half_of_them_faint(noise(300, 1));
  const auto held_out = half_of_them_faint(noise(300, 2));
  for (const std::size_t which : {5U, 295U}) {  // a faint one and another
    const Memorisation found = memorisation_of(copies_of(nothing_but(training, which, 300)), training, held_out);
    EXPECT_EQ(found.near_copies, 1);
    EXPECT_TRUE(found.copies()) << which;
  }
}

// A copy among images that lie wide apart comes before new ones that lie near to many, and each training image is
// shown once.
TEST(Memorised, PairsAreOfCopiesNotOfSimpleImages) {
  const auto training = half_of_them_faint(noise(300, 1));
  const auto held_out = half_of_them_faint(noise(300, 2));
  auto drawn = nothing_but(held_out, 3, 100);
  std::vector<std::uint8_t> rough = nothing_but(training, 250, 20);
  for (std::size_t i = 0; i < rough.size(); ++i) rough[i] ^= 40U;
  drawn.insert(drawn.end(), rough.begin(), rough.end());
  const Memorisation found = memorisation_of(drawn, training, held_out, 4);
  ASSERT_EQ(found.closest.size(), 2U);
  EXPECT_EQ(found.closest[0].training_image, 250U);
  EXPECT_EQ(found.closest[0].sample, 100U);
  EXPECT_EQ(found.closest[1].sample, 0U);
  EXPECT_GT(found.closest[0].distance, found.closest[1].distance);
}

TEST(Shares, NoneAndAllOfAFewAreNotCertain) {
  // Wilson's interval by its definition: the shares p from which the seen one lies so many deviations away.
  for (const double seen : {0.0, 0.1, 0.5, 1.0})
    for (const double deviations : {1.0, 2.0}) {
      const Interval found = wilson_interval(seen, 10, deviations);
      for (const double p : {found.low, found.high}) {
        EXPECT_NEAR((seen - p) * (seen - p), deviations * deviations * p * (1 - p) / 10, 1e-12);
        EXPECT_GE(p, -1e-12);
      }
      EXPECT_LT(found.low, found.high);
    }
  EXPECT_NEAR((Share{0, 2}.standard_error()), 1.0 / 6, 1e-12);
  EXPECT_NEAR((Share{10, 10}.standard_error()), 1.0 / 22, 1e-12);
  EXPECT_NEAR((Share{300, 1000}.standard_error()), std::sqrt(0.3 * 0.7 / 1000), 1e-5);
}

}  // namespace
}  // namespace ganymede::eval
