// Data sets: where they are found, what is read of them, once per node, and how it fails on all ranks.
#include "ganymede/dataset.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "core/files.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/error.hpp"
#include "support/environment.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"
#include "support/thread_ranks.hpp"
#include "unit/data/idx_bytes.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;
using test::Environment;
using test::gzip;
using test::idx_images;
using test::idx_labels;
using test::put;
using test::put_set;
using test::TemporaryFolder;
using test::ThreadRanks;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

const DatasetNeeds everything{.train_labels = true, .test = true, .test_labels = true};

Dataset open(const std::string& name, const DatasetNeeds& needs = {}) {
  return Dataset::open(name, needs, *make_local_communicator());
}

std::string error_of(const std::string& name, const DatasetNeeds& needs = {}) {
  std::string said = testing::refusal(ExitCode::data, [&] { open(name, needs); });
  EXPECT_NE(said, "") << name << " was accepted";
  return said;
}

std::string text(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

// A user's environment of its own: no data anywhere but in the program's share folder.
class DatasetTest : public ::testing::Test {
 protected:
  TemporaryFolder home_;
  Environment home_variable_{"HOME", home_.path().string()};
  Environment cache_variable_{"XDG_CACHE_HOME", std::nullopt};
  Environment data_variable_{"GANYMEDE_DATA", std::nullopt};
  Environment share_variable_{"GANYMEDE_SHARE", std::nullopt};
};

TEST_F(DatasetTest, MnistMiniIsWhatItsReadmeSays) {
  const Environment share("GANYMEDE_SHARE", GANYMEDE_TEST_SHARE);
  const Dataset set = open("mnist-mini", everything);
  EXPECT_EQ(set.name(), "mnist-mini");
  EXPECT_EQ(set.folder(), GANYMEDE_TEST_SHARE "/data/mnist-mini");
  // As `xxhsum -H2` gives it for bytes 4 to the end of the unpacked file.
  EXPECT_EQ(set.digest(), "c8f22657fdaefba450373185eda7171c");
  for (const auto& [half, per_class] : {std::pair{&set.train(), 400}, std::pair{&set.test(), 100}}) {
    EXPECT_EQ(half->count, 10U * per_class);
    EXPECT_EQ(half->height, 28);
    EXPECT_EQ(half->width, 28);
    EXPECT_EQ(half->images.size(), 784U * half->count);
    ASSERT_EQ(half->labels.size(), half->count);
    for (int digit = 0; digit < 10; ++digit) {
      EXPECT_EQ(std::count(half->labels.begin(), half->labels.end(), digit), per_class);
    }
  }
}

TEST_F(DatasetTest, ReadsAFolderUnderAnyOfTheUsualNames) {
  const std::string images = idx_images(12, 4);
  std::string digest;
  for (const char* const file : {"train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "train-images.idx3-ubyte",
                                 "train-images.idx3-ubyte.gz"}) {
    // Also with the content the other way round: what is packed is told by the content.
    for (const std::string& bytes : {images, gzip(images)}) {
      const TemporaryFolder folder;
      put(folder / file, bytes);
      const Dataset set = open(folder.path().string());
      EXPECT_EQ(set.name(), folder.path().string());
      EXPECT_EQ(set.folder(), folder.path().string());
      EXPECT_EQ(set.train().count, 12U);
      EXPECT_EQ(set.train().pixels(), 16);
      EXPECT_EQ(text(set.train().images), images.substr(16));
      EXPECT_EQ(set.digest(), ganymede::digest(images.substr(4)));
    }
  }
}

TEST_F(DatasetTest, ReadsOnlyWhatIsNeeded) {
  const TemporaryFolder folder;
  put_set(folder.path());
  const Dataset all = open(folder.path().string(), everything);
  EXPECT_EQ(text(all.train().labels), idx_labels(12).substr(8));
  EXPECT_EQ(all.test().count, 7U);
  EXPECT_EQ(text(all.test().images), idx_images(7, 4, 2).substr(16));
  EXPECT_EQ(text(all.test().labels), idx_labels(7).substr(8));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(all.train().images.data()) % 16, 0U);

  put(folder / "train-labels-idx1-ubyte", "damaged");
  fs::remove(folder / "t10k-labels-idx1-ubyte");
  const Dataset images = open(folder.path().string());
  EXPECT_EQ(text(images.train().images), text(all.train().images));
  EXPECT_TRUE(images.train().labels.empty());
  EXPECT_EQ(images.test().count, 0U);
  EXPECT_TRUE(images.test().images.empty());
  EXPECT_EQ(images.digest(), all.digest());

  EXPECT_THAT(error_of(folder.path().string(), {.train_labels = true}), HasSubstr("magic number"));
  EXPECT_THAT(error_of(folder.path().string(), {.test = true, .test_labels = true}),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("no t10k-labels-idx1-ubyte[.gz]")));
}

TEST_F(DatasetTest, WhoCanDoWithoutAFileIsToldSoWhereThatIsAtFault) {
  const TemporaryFolder folder;
  put_set(folder.path());
  DatasetNeeds needs = everything;
  needs.without_train_labels = "A";
  needs.without_test = "B";
  needs.without_test_labels = "C";
  needs.otherwise = "D";
  const auto said = [&] { return error_of(folder.path().string(), needs); };
  put(folder / "t10k-labels-idx1-ubyte", idx_labels(6));
  EXPECT_THAT(said(), EndsWith(" (C)"));  // too few
  std::string beyond = idx_labels(7);
  beyond.back() = 10;
  put(folder / "t10k-labels-idx1-ubyte", beyond);
  EXPECT_THAT(said(), AllOf(HasSubstr("label"), EndsWith(" (C)")));  // seen when they are read
  put(folder / "t10k-labels-idx1-ubyte", idx_labels(7));
  put(folder / "t10k-images-idx3-ubyte", idx_images(7, 5, 2));
  EXPECT_THAT(said(), AllOf(HasSubstr("image size"), EndsWith(" (B)")));
  put(folder / "train-labels-idx1-ubyte", "damaged");
  EXPECT_THAT(said(), EndsWith(" (A)"));
  fs::remove(folder / "train-labels-idx1-ubyte");
  fs::remove(folder / "t10k-images-idx3-ubyte");
  EXPECT_THAT(said(), EndsWith(" (A. B)"));
  needs.without_train_labels.clear();
  EXPECT_THAT(said(), EndsWith(" (B)"));
  put_set(folder.path());
  put(folder / "train-images-idx3-ubyte", "damaged");
  EXPECT_THAT(said(), Not(HasSubstr("(")));
  EXPECT_THAT(error_of("nowhere", needs), EndsWith("; D"));
  EXPECT_THAT(error_of("./nowhere", needs), EndsWith("; D"));
}

TEST_F(DatasetTest, TestImagesDoWithoutLabelsThatNobodyNeeds) {
  const TemporaryFolder folder;
  put_set(folder.path());
  for (const DatasetNeeds& needs : {DatasetNeeds{.test_if_there = true, .test_labels_if_there = true},
                                    {.test = true, .test_labels_if_there = true}}) {
    const Dataset pair = open(folder.path().string(), needs);
    EXPECT_EQ(pair.test().count, 7U);
    EXPECT_EQ(text(pair.test().labels), idx_labels(7).substr(8));
  }
  for (const DatasetNeeds& needs : {DatasetNeeds{.test = true}, {.test_if_there = true}}) {
    EXPECT_EQ(open(folder.path().string(), needs).test().count, 7U);
    EXPECT_TRUE(open(folder.path().string(), needs).test().labels.empty());
  }
  fs::remove(folder / "t10k-labels-idx1-ubyte");
  for (const DatasetNeeds& needs :
       {DatasetNeeds{.test_if_there = true, .test_labels_if_there = true}, {.test = true}}) {
    const Dataset images = open(folder.path().string(), needs);
    EXPECT_EQ(text(images.test().images), idx_images(7, 4, 2).substr(16));
    EXPECT_TRUE(images.test().labels.empty());
  }
  // Labels alone are nothing.
  fs::rename(folder / "t10k-images-idx3-ubyte", folder / "t10k-labels-idx1-ubyte");
  EXPECT_EQ(open(folder.path().string(), {.test_if_there = true, .test_labels_if_there = true}).test().count, 0U);
  EXPECT_THAT(error_of(folder.path().string(), {.test = true}), HasSubstr("no t10k-images-idx3-ubyte[.gz]"));
}

TEST_F(DatasetTest, TheDigestSeesPixelsAndDimensions) {
  const TemporaryFolder folder;
  const auto digest_of = [&](const std::string& bytes) {
    put(folder / "train-images-idx3-ubyte", bytes);
    return open(folder.path().string()).digest();
  };
  const std::string zeros = digest_of(test::idx_header(0x803, {4, 2, 2}) + std::string(16, '\0'));
  EXPECT_EQ(zeros.size(), 32U);
  EXPECT_NE(zeros, digest_of(test::idx_header(0x803, {1, 4, 4}) + std::string(16, '\0')));
  EXPECT_NE(zeros, digest_of(test::idx_header(0x803, {4, 2, 2}) + std::string(15, '\0') + '\1'));
}

TEST_F(DatasetTest, FilesOfASetMustFitTogether) {
  const TemporaryFolder folder;
  put_set(folder.path());
  put(folder / "train-labels-idx1-ubyte", idx_labels(11));
  EXPECT_THAT(error_of(folder.path().string(), everything), HasSubstr("number of labels: expected 12, as images in"));
  put_set(folder.path());
  put(folder / "t10k-labels-idx1-ubyte", idx_labels(8));
  EXPECT_THAT(error_of(folder.path().string(), everything), HasSubstr("number of labels: expected 7, as images in"));
  put_set(folder.path());
  put(folder / "t10k-images-idx3-ubyte", idx_images(7, 5));
  EXPECT_THAT(error_of(folder.path().string(), everything),
              HasSubstr("image size: expected 4 × 4, as the training images, found 5 × 5"));
}

TEST_F(DatasetTest, NamedSetsAreLookedUpInOrder) {
  const Environment share("GANYMEDE_SHARE", (home_ / "share").string());
  const TemporaryFolder data;
  const TemporaryFolder cache;
  const fs::path in_share = home_ / "share/data/mnist-mini";
  const fs::path in_home = home_ / ".cache/ganymede/mnist-mini";
  const fs::path in_cache = cache / "ganymede/mnist-mini";
  const fs::path in_data = data / "mnist-mini";
  put_set(in_share);
  EXPECT_EQ(open("mnist-mini").folder(), in_share);
  put_set(in_home);
  EXPECT_EQ(open("mnist-mini").folder(), in_home);
  {
    const Environment relative("XDG_CACHE_HOME", "relative");
    EXPECT_EQ(open("mnist-mini").folder(), in_home);
  }
  const Environment cache_variable("XDG_CACHE_HOME", cache.path().string());
  EXPECT_EQ(open("mnist-mini").folder(), in_share);
  put_set(in_cache);
  EXPECT_EQ(open("mnist-mini").folder(), in_cache);
  const Environment data_variable("GANYMEDE_DATA", data.path().string());
  EXPECT_EQ(open("mnist-mini").folder(), in_cache);
  put_set(in_data, true);
  EXPECT_EQ(open("mnist-mini").folder(), in_data);
  // A place that lacks what is needed is passed over.
  fs::remove(in_data / "t10k-labels-idx1-ubyte.gz");
  EXPECT_EQ(open("mnist-mini").folder(), in_data);
  EXPECT_EQ(open("mnist-mini", everything).folder(), in_cache);
}

TEST_F(DatasetTest, MnistIsTakenFromTheCacheWhenItIsThere) {
  put_set(home_ / ".cache/ganymede/mnist");
  EXPECT_EQ(open("mnist", everything).folder(), home_ / ".cache/ganymede/mnist");
}

TEST_F(DatasetTest, WhatIsNotThereIsNamed) {
  EXPECT_THAT(error_of("fashion"),
              AllOf(HasSubstr("'fashion'"), HasSubstr("mnist-mini and mnist"), HasSubstr("folder")));
  EXPECT_THAT(error_of(""), HasSubstr("mnist-mini and mnist"));
  const TemporaryFolder empty;
  EXPECT_THAT(error_of(empty.path().string()),
              AllOf(HasSubstr(empty.path().string()), HasSubstr("no train-images-idx3-ubyte[.gz]")));
  const Environment share("GANYMEDE_SHARE", empty.path().string());
  EXPECT_THAT(error_of("mnist-mini"), HasSubstr((empty / "data/mnist-mini").string() + ": no such folder"));
  const Environment home("HOME", std::nullopt);
  EXPECT_THAT(error_of("mnist"), AllOf(HasSubstr("GANYMEDE_DATA"), HasSubstr("HOME")));
}

TEST_F(DatasetTest, RanksOfANodeShareOneCopy) {
  const TemporaryFolder folder;
  put_set(folder.path(), true);
  ThreadRanks ranks({0, 0, 0});
  std::mutex mutex;
  std::vector<Dataset> sets;
  ranks.run([&](Communicator& rank) {
    Dataset set = Dataset::open(folder.path().string(), everything, rank);
    const std::lock_guard lock(mutex);
    sets.push_back(std::move(set));
  });
  ASSERT_EQ(sets.size(), 3U);
  EXPECT_LT(ranks.shared_bytes(), 2U * (12 * 16 + 12 + 7 * 16 + 7));
  const Dataset alone = open(folder.path().string(), everything);
  for (const Dataset& set : sets) {
    EXPECT_EQ(set.train().images.data(), sets[0].train().images.data());
    EXPECT_EQ(text(set.train().images), text(alone.train().images));
    EXPECT_EQ(text(set.test().labels), text(alone.test().labels));
    EXPECT_EQ(set.folder(), folder.path().string());
    EXPECT_EQ(set.digest(), alone.digest());
    EXPECT_EQ(set.test().count, 7U);
  }
}

TEST_F(DatasetTest, RanksThatCannotShareHaveACopyEach) {
  const TemporaryFolder folder;
  put_set(folder.path());
  ThreadRanks ranks({0, 0, 1}, false);
  std::mutex mutex;
  std::vector<Dataset> sets;
  ranks.run([&](Communicator& rank) {
    Dataset set = Dataset::open(folder.path().string(), everything, rank);
    const std::lock_guard lock(mutex);
    sets.push_back(std::move(set));
  });
  ASSERT_EQ(sets.size(), 3U);
  EXPECT_NE(sets[0].train().images.data(), sets[1].train().images.data());
  for (const Dataset& set : sets) {
    EXPECT_EQ(text(set.train().images), idx_images(12, 4).substr(16));
    EXPECT_EQ(text(set.test().labels), idx_labels(7).substr(8));
    EXPECT_EQ(set.digest(), sets[0].digest());
  }
}

TEST_F(DatasetTest, AnErrorReachesAllRanks) {
  const TemporaryFolder folder;
  put_set(folder.path(), true);
  // One failure that the header shows, and one that only reading shows, after memory was shared.
  std::string cut = gzip(idx_images(12, 4));
  std::string flipped = cut;
  flipped[flipped.size() - 6] = static_cast<char>(flipped[flipped.size() - 6] ^ 1);
  cut.resize(cut.size() - 4);
  for (const auto& [bytes, says] : {std::pair{cut, "gzip stream"}, std::pair{flipped, "gzip check sum"}}) {
    put(folder / "train-images-idx3-ubyte.gz", bytes);
    ThreadRanks ranks({0, 0, 0});
    std::mutex mutex;
    std::vector<std::string> messages;
    ranks.run([&](Communicator& rank) {
      try {
        Dataset::open(folder.path().string(), {}, rank);
      } catch (const Error& error) {
        const std::lock_guard lock(mutex);
        EXPECT_EQ(error.code(), ExitCode::data);
        messages.emplace_back(error.what());
      }
    });
    ASSERT_EQ(messages.size(), 3U);
    EXPECT_THAT(messages,
                ::testing::Each(AllOf(messages[0], HasSubstr(says), HasSubstr("train-images-idx3-ubyte.gz"))));
  }
}

// Two hosts with other files under the same name: here, a folder that depends on the rank.
TEST_F(DatasetTest, NodesWithDifferentDataAreRefused) {
  const TemporaryFolder one;
  const TemporaryFolder other;
  put_set(one.path());
  put_set(other.path());
  // The labels alone differ.
  std::string labels = idx_labels(12);
  labels.back() = 9;
  put(other / "train-labels-idx1-ubyte", labels);
  ThreadRanks ranks({0, 0, 1}, false);
  std::mutex mutex;
  std::vector<std::string> messages;
  ranks.run([&](Communicator& rank) {
    const auto& folder = rank.rank() < 2 ? one : other;
    EXPECT_NO_THROW(Dataset::open(folder.path().string(), {}, rank));
    try {
      Dataset::open(folder.path().string(), {.train_labels = true}, rank);
    } catch (const AgreedError& error) {  // on all, so that one of them speaks and none is waited for
      const std::lock_guard lock(mutex);
      messages.emplace_back(error.what());
    }
  });
  ASSERT_EQ(messages.size(), 3U);
  EXPECT_THAT(messages, ::testing::Each(AllOf(HasSubstr("the ranks read different data: rank 0 in "),
                                              HasSubstr(one.path().string()), HasSubstr("rank 2 in "),
                                              HasSubstr(other.path().string()))));
}

}  // namespace
}  // namespace ganymede
