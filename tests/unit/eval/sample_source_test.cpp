// Blocks of sources, and what is remembered of them.
#include "eval/sample_source.hpp"

#include <gtest/gtest.h>

#include "eval/nearest_neighbours.hpp"
#include "eval/parzen.hpp"
#include "support/thread_ranks.hpp"
#include "unit/eval/images.hpp"

namespace ganymede::eval {
namespace {

using testing::CountingSource;
using testing::OwnSet;
using testing::random_set;

TEST(ShuffledSource, GivesEveryImageOnceWithItsLabel) {
  // Images of their number, and labels that follow from it.
  OwnSet set{std::vector<std::uint8_t>(200), std::vector<std::uint8_t>(200), 1};
  for (std::size_t i = 0; i < 200; ++i) {
    set.images[i] = static_cast<std::uint8_t>(i);
    set.labels[i] = static_cast<std::uint8_t>(i % 10);
  }
  ShuffledSource source(set.set());
  std::vector<std::uint8_t> images(200);
  std::vector<std::uint8_t> labels(200);
  source.read(0, 120, images.data(), labels.data());
  source.read(120, 80, &images[120], &labels[120]);
  for (std::size_t i = 0; i < 200; ++i) EXPECT_EQ(labels[i], images[i] % 10);
  EXPECT_FALSE(std::is_sorted(images.begin(), images.end()));
  std::sort(images.begin(), images.end());
  EXPECT_EQ(images, set.images);
}

TEST(RememberingSource, ReadsOnceAsFarAsItsMemoryGoes) {
  const OwnSet set = random_set(600, 10, 3);
  const auto alone = make_local_communicator();
  // Of three blocks of 256, 256 and 88 images of 10 bytes and a label: all, two, none.
  for (const auto& [memory, expected] : {std::pair{100000, 3}, {2 * 256 * 11, 4}, {2000, 5}, {0, 6}}) {
    CountingSource counting(set.set());
    RememberingSource source(counting, static_cast<std::size_t>(memory));
    for (int again = 0; again < 2; ++again) {
      std::vector<std::uint8_t> images;
      std::vector<std::uint8_t> labels;
      for_own_blocks(source, 600, *alone, [&](const SampleBlock& block) {
        EXPECT_EQ(block.first * 10, images.size());
        images.insert(images.end(), block.images.begin(), block.images.end());
        labels.insert(labels.end(), block.labels.begin(), block.labels.end());
      });
      EXPECT_EQ(images, set.images);
      EXPECT_EQ(labels, set.labels);
    }
    EXPECT_EQ(counting.reads, expected) << memory;
  }
}

TEST(RememberingSource, PassesOtherCutsOn) {
  const OwnSet set = random_set(600, 10, 3);
  CountingSource counting(set.set());
  RememberingSource source(counting, 100000);
  std::vector<std::uint8_t> images(100 * 10);
  std::vector<std::uint8_t> labels(100);
  for (int again = 0; again < 2; ++again) {
    source.read(256, 100, images.data(), labels.data());
    EXPECT_TRUE(std::equal(images.begin(), images.end(), set.images.begin() + 2560));
  }
  EXPECT_EQ(counting.reads, 2);
}

TEST(Blocks, EveryRankSeesAllOfThemAndReadsItsOwn) {
  const OwnSet set = random_set(1000, 3, 4);
  test::ThreadRanks({0, 0, 0}).run([&](Communicator& ranks) {
    CountingSource source(set.set());
    std::vector<std::uint8_t> images;
    for_all_blocks(source, 1000, ranks, [&](const SampleBlock& block) {
      images.insert(images.end(), block.images.begin(), block.images.end());
    });
    EXPECT_EQ(images, set.images);
    EXPECT_EQ(source.reads, ranks.rank() == 0 ? 2 : 1);
  });
}

// Ranks that could not agree between blocks would wait for each other in different places: five blocks, so that of two
// and three ranks some have fewer.
TEST(Blocks, RanksAreAskedEquallyOftenWhetherToGoOn) {
  const OwnSet set = random_set(1100, 3, 4);
  const auto skip = [](const SampleBlock& /*block*/) {};
  for (const int size : {1, 2, 3, 7})
    test::ThreadRanks(std::vector<int>(static_cast<std::size_t>(size))).run([&](Communicator& ranks) {
      CountingSource counting(set.set());
      RememberingSource source(counting, 100000);
      for_own_blocks(source, 1100, ranks, skip);
      EXPECT_EQ(counting.asked, (5 + size - 1) / size);
      for_all_blocks(source, 1100, ranks, skip);
      EXPECT_EQ(counting.asked, (5 + size - 1) / size + 5);
      // Whoever is asked may refuse, and nothing more is read.
      CountingSource stopped(set.set());
      stopped.asked_until = 1;
      EXPECT_THROW(for_own_blocks(stopped, 1100, ranks, skip), int);
      stopped.asked_until = 2;
      EXPECT_THROW(for_all_blocks(stopped, 1100, ranks, skip), int);
      EXPECT_EQ(stopped.reads, 0);
    });
}

// Brute force over several blocks, with few values, so that many distances are equal.
TEST(NearestNeighbours, AreThoseOfBruteForce) {
  const auto device = make_cpu_device(1);
  const auto alone = make_local_communicator();
  const OwnSet samples = random_set(700, 6, 8, 3);
  const OwnSet real = random_set(600, 6, 9, 3);
  const auto distance = [](const OwnSet& a, std::size_t i, const OwnSet& b, std::size_t j) {
    return testing::squared_distance(&a.images[i * 6], &b.images[j * 6], 6);
  };
  int wrong = 0;
  for (std::size_t i = 0; i < 600; ++i) {
    std::size_t nearest = 0;
    for (std::size_t j = 1; j < 700; ++j)
      if (distance(real, i, samples, j) < distance(real, i, samples, nearest)) nearest = j;
    wrong += samples.labels[nearest] != real.labels[i];
  }
  ImageSetSource source(samples.set());
  EXPECT_EQ(classification_error(source, 700, real.set(), *device, *alone).part, wrong);

  const auto halves = [&](const OwnSet& own, const OwnSet& other) {
    int sum = 0;
    int ties = 0;
    for (std::size_t i = 0; i < 600; ++i) {
      std::int64_t to_own = INT64_MAX;
      std::int64_t to_other = INT64_MAX;
      for (std::size_t j = 0; j < 600; ++j) {
        if (j != i) to_own = std::min(to_own, distance(own, i, own, j));
        to_other = std::min(to_other, distance(own, i, other, j));
      }
      sum += to_own < to_other ? 2 : to_own == to_other ? 1 : 0;
      ties += to_own == to_other;
    }
    EXPECT_GT(ties, 50);
    return sum / 2.0;
  };
  const TwoSampleAccuracy found = two_sample_accuracy(source, real.set(), *device, *alone);
  EXPECT_EQ(found.real.part, halves(real, samples));
  EXPECT_EQ(found.generated.part, halves(samples, real));
  EXPECT_EQ(found.all().of, 1200U);
}

TEST(Parzen, ValidatesOnTheSixthThatTheProtocolHoldsOut) {
  const OwnSet set = random_set(12000, 1, 2);
  EXPECT_EQ(parzen_validation(set.set()).count, 1000U);
  EXPECT_EQ(parzen_validation(set.set()).images.data(), set.set().images.data() + 10000);
  EXPECT_EQ(parzen_validation(part_of(set.set(), 0, 600)).count, 100U);
}

}  // namespace
}  // namespace ganymede::eval
