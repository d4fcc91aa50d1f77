// The store of checkpoints: complete or absent, whatever happens.
#include "checkpoint/checkpoint.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <fstream>
#include <random>
#include <thread>

#include "checkpoint/manifest.hpp"
#include "core/files.hpp"
#include "ganymede/error.hpp"
#include "support/example_checkpoint.hpp"
#include "support/ordinary_user.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;
using test::example;
using test::expect_same;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// As a training does it.
fs::path store(const fs::path& run, const Checkpoint& checkpoint, int keep) {
  auto folder = write_checkpoint(run, checkpoint);
  prune_checkpoints(run, checkpoint.step, {keep, 0}, {});
  return folder;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

void overwrite(const fs::path& file, const std::string& bytes) {
  // In place: ext4 flushes a file that is emptied and written again, thousands of times too often here.
  std::ofstream(file, std::ios::app).close();
  fs::resize_file(file, bytes.size());
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  out << bytes;
  ASSERT_TRUE(out.flush());
}

std::string refusal(const fs::path& folder) {
  return testing::refusal(ExitCode::data, [&] { read_checkpoint(folder); });
}

TEST(Checkpoint, ComesBack) {
  const test::TemporaryFolder run;
  const auto folder = store(run.path(), example(1200), 0);
  EXPECT_EQ(folder, run / "checkpoints" / "step-00001200");
  EXPECT_THAT(names_in(folder), ElementsAre("discriminator.safetensors", "generator.safetensors", "manifest.json"));
  EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre("step-00001200"));
  expect_same(read_checkpoint(folder), example(1200));
  EXPECT_EQ(checkpoint_folder("r", 123'456'789'012).filename(), "step-123456789012");
}

TEST(Checkpoint, MakesTheRunFolderItNeeds) {
  const test::TemporaryFolder folder;
  store(folder / "a" / "run", example(0), 1);
  EXPECT_EQ(newest_checkpoint(folder / "a" / "run")->checkpoint.step, 0U);
}

TEST(Checkpoint, FollowsTheUmask) {
  const test::TemporaryFolder run;
  const auto before = umask(027);
  const auto folder = store(run.path(), example(1), 0);
  umask(before);
  const auto mode = [](const fs::path& path) { return static_cast<unsigned>(fs::status(path).permissions()); };
  EXPECT_EQ(mode(folder), 0750U);
  EXPECT_EQ(mode(folder / "manifest.json"), 0640U);
  EXPECT_EQ(mode(folder / "generator.safetensors"), 0640U);
}

TEST(Checkpoint, RefusesEveryTruncationOfEveryFile) {
  const test::TemporaryFolder run;
  const auto folder = store(run.path(), example(7), 0);
  for (const auto& name : names_in(folder)) {
    const std::string whole = read_file(folder / name);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      overwrite(folder / name, whole.substr(0, size));
      EXPECT_THAT(refusal(folder), HasSubstr(name)) << size;
    }
    overwrite(folder / name, whole + "x");
    EXPECT_THAT(refusal(folder), HasSubstr(name));
    overwrite(folder / name, whole);
  }
  expect_same(read_checkpoint(folder), example(7));
}

TEST(Checkpoint, RefusesRandomBitFlips) {
  const test::TemporaryFolder run;
  const auto folder = store(run.path(), example(7), 0);
  std::mt19937 random(3);
  for (const auto& name : names_in(folder)) {
    const std::string whole = read_file(folder / name);
    for (int round = 0; round < 3'400; ++round) {
      std::string damaged = whole;
      for (std::uint32_t flips = 1 + random() % 3; flips > 0; --flips) {
        damaged[random() % damaged.size()] ^= static_cast<char>(1U << (random() % 8));
      }
      if (damaged == whole) continue;
      overwrite(folder / name, damaged);
      EXPECT_THAT(refusal(folder), HasSubstr(name));
    }
    overwrite(folder / name, whole);
  }
  expect_same(read_checkpoint(folder), example(7));
}

TEST(Checkpoint, RefusesFilesThatAreMissingOrNoFiles) {
  const test::TemporaryFolder run;
  const auto folder = store(run.path(), example(7), 0);
  const auto file = folder / "generator.safetensors";
  fs::rename(file, folder / "aside");
  EXPECT_THAT(refusal(folder), AllOf(HasSubstr("generator.safetensors"), HasSubstr("missing")));
  fs::create_symlink("aside", file);
  EXPECT_THAT(refusal(folder), AllOf(HasSubstr("generator.safetensors"), HasSubstr("a regular file")));
  fs::remove(file);
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  EXPECT_THAT(refusal(folder), HasSubstr("a regular file"));  // and does not wait for a writer
  fs::remove(file);
  fs::create_directory(file);
  EXPECT_THAT(refusal(folder), HasSubstr("a regular file"));
  fs::remove(folder / "manifest.json");
  EXPECT_THAT(refusal(folder), AllOf(HasSubstr("manifest.json"), HasSubstr("missing")));
  EXPECT_THAT(refusal(run / "none"), HasSubstr("none/manifest.json"));
}

TEST(Checkpoint, RefusesFileNamesThatLeaveTheFolder) {
  const test::TemporaryFolder run;
  for (const auto* name : {"../x", "a/b", ".hidden", "", "a b"}) {
    auto checkpoint = example(5);
    checkpoint.files[name] = checkpoint.files.at("generator");
    EXPECT_THROW(store(run.path(), checkpoint, 0), Error) << name;
    EXPECT_THAT(names_in(run / "checkpoints"), IsEmpty());
  }
}

TEST(NewestCheckpoint, IsNothingInAnEmptyRun) {
  const test::TemporaryFolder run;
  EXPECT_FALSE(newest_checkpoint(run.path()).has_value());
  EXPECT_FALSE(newest_checkpoint(run / "none").has_value());
  fs::create_directory(run / "checkpoints");
  EXPECT_FALSE(newest_checkpoint(run.path()).has_value());
  for (const auto* name : {"step-12", "step-0000001x", "step-000000012", "other", ".step-00000012.partial-99"}) {
    fs::create_directory(run / "checkpoints" / name);
  }
  EXPECT_FALSE(newest_checkpoint(run.path()).has_value());
}

TEST(NewestCheckpoint, OrdersStepsAsNumbers) {
  const test::TemporaryFolder run;
  for (const std::uint64_t step : {99'999'999ULL, 100'000'000ULL, 5ULL}) store(run.path(), example(step), 0);
  EXPECT_EQ(newest_checkpoint(run.path())->checkpoint.step, 100'000'000U);
}

TEST(NewestCheckpoint, FallsBackAndSaysWhy) {
  const test::TemporaryFolder run;
  for (const std::uint64_t step : {100U, 200U, 300U}) store(run.path(), example(step), 0);
  fs::resize_file(checkpoint_folder(run.path(), 300) / "generator.safetensors", 20);
  auto found = newest_checkpoint(run.path());
  ASSERT_TRUE(found.has_value());
  expect_same(found->checkpoint, example(200));
  EXPECT_EQ(found->folder, checkpoint_folder(run.path(), 200));
  EXPECT_THAT(found->refused,
              ElementsAre(AllOf(HasSubstr("step-00000300/generator.safetensors"), HasSubstr("found 20"))));

  fs::remove(checkpoint_folder(run.path(), 200) / "manifest.json");
  found = newest_checkpoint(run.path());
  ASSERT_TRUE(found.has_value());
  expect_same(found->checkpoint, example(100));
  EXPECT_THAT(found->refused, ElementsAre(HasSubstr("step-00000300"), HasSubstr("step-00000200")));

  overwrite(checkpoint_folder(run.path(), 100) / "manifest.json", "{}");
  EXPECT_THAT(testing::refusal(ExitCode::data, [&] { newest_checkpoint(run.path()); }),
              AllOf(HasSubstr("step-00000300"), HasSubstr("step-00000200"), HasSubstr("step-00000100"),
                    HasSubstr("start afresh")));
}

// A file with holes of more than there is memory for, and a manifest that says so.
TEST(NewestCheckpoint, FallsBackFromSizesThatNoHeaderAccountsFor) {
  const test::TemporaryFolder run;
  for (const std::uint64_t step : {100U, 200U}) store(run.path(), example(step), 0);
  const auto folder = checkpoint_folder(run.path(), 200);
  const auto manifest_file = folder / "manifest.json";
  constexpr std::uint64_t size = std::uint64_t{1} << 40U;
  fs::resize_file(folder / "generator.safetensors", size);
  Manifest manifest = Manifest::parse(read_file(manifest_file), "");
  manifest.files.at("generator.safetensors").bytes = size;
  overwrite(manifest_file, manifest.serialize());
  const auto found = newest_checkpoint(run.path());
  ASSERT_TRUE(found.has_value());
  expect_same(found->checkpoint, example(100));
  EXPECT_THAT(found->refused, ElementsAre(AllOf(HasSubstr("step-00000200/generator.safetensors"),
                                                HasSubstr("bytes behind the header, found 1099511"))));
}

// A training that goes on prunes it between its listing, after which `wanted` is asked, and its reading.
TEST(NewestCheckpoint, LooksAgainWhenOneIsGoneUnderItsHands) {
  const test::TemporaryFolder run;
  store(run.path(), example(100), 0);
  std::vector<std::string> refused;
  const auto replace_first = [&](std::uint64_t step) {
    if (step < 300) store(run.path(), example(step + 100), 1);
    return true;
  };
  const auto found = newest_checkpoint(run.path(), refused, replace_first);
  ASSERT_TRUE(found.has_value());
  expect_same(found->checkpoint, example(300));
  EXPECT_THAT(refused, IsEmpty());
  // Not for ever.
  const auto replace_always = [&](std::uint64_t step) {
    store(run.path(), example(step + 100), 1);
    return true;
  };
  EXPECT_FALSE(newest_checkpoint(run.path(), refused, replace_always).has_value());
  EXPECT_THAT(refused, ElementsAre(HasSubstr("manifest.json: the file is missing")));
}

TEST(NewestCheckpoint, RefusesAFolderUnderAnotherStepsName) {
  const test::TemporaryFolder run;
  store(run.path(), example(100), 0);
  fs::copy(checkpoint_folder(run.path(), 100), checkpoint_folder(run.path(), 900));
  const auto found = newest_checkpoint(run.path());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->checkpoint.step, 100U);
  EXPECT_THAT(found->refused, ElementsAre(AllOf(HasSubstr("step"), HasSubstr("900"), HasSubstr("found 100"))));
}

TEST(WriteCheckpoint, KeepsTheNewest) {
  const test::TemporaryFolder run;
  for (std::uint64_t step = 1; step <= 5; ++step) store(run.path(), example(step), 2);
  EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre("step-00000004", "step-00000005"));
  for (std::uint64_t step = 6; step <= 8; ++step) store(run.path(), example(step), 0);
  EXPECT_EQ(names_in(run / "checkpoints").size(), 5U);
}

TEST(PruneCheckpoints, MultiplesStayBesideTheNewest) {
  const test::TemporaryFolder run;
  for (std::uint64_t step = 10; step <= 100; step += 10) {
    write_checkpoint(run.path(), example(step));
    prune_checkpoints(run.path(), step, {2, 40}, {});
  }
  EXPECT_THAT(names_in(run / "checkpoints"),
              ElementsAre("step-00000040", "step-00000080", "step-00000090", "step-00000100"));
}

// A run that was interrupted at 25, 27 and 46 has what one that was not has: what a roll-back leads to.
TEST(PruneCheckpoints, InterruptionsTakeNoRegularOneAway) {
  const test::TemporaryFolder run;
  for (const std::uint64_t step : {10U, 20U, 25U, 27U, 30U, 40U, 46U}) {
    write_checkpoint(run.path(), example(step));
    prune_checkpoints(run.path(), step, {2, 0, 10}, {});
  }
  EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre("step-00000030", "step-00000040", "step-00000046"));
}

// The folder may be taken over between one deletion and the next.
TEST(PruneCheckpoints, EachDeletionAsksTheFence) {
  const test::TemporaryFolder run;
  for (const std::uint64_t step : {10U, 20U, 30U, 40U}) write_checkpoint(run.path(), example(step));
  int asked = 0;
  const Fence fence{0, [&] {
                      if (++asked > 1) throw Error(ExitCode::data, "taken over");
                    }};
  EXPECT_THROW(prune_checkpoints(run.path(), 40, {1, 0}, fence), Error);
  EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre("step-00000010", "step-00000020", "step-00000040"));
  asked = 0;
  EXPECT_THROW(abandon_checkpoints(run.path(), 10, fence), Error);
  EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre("step-00000010", "step-00000020"));
}

TEST(AbandonCheckpoints, ThoseBeyondAStepGo) {
  const test::TemporaryFolder run;
  for (const std::uint64_t step : {40U, 41U, 46U, 50U}) write_checkpoint(run.path(), example(step));
  abandon_checkpoints(run.path(), 41, {});
  EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre("step-00000040", "step-00000041"));
}

TEST(WriteCheckpoint, NeverPrunesTheOneItWroteAfterGoingBack) {
  // Step 300 was damaged, so the run went on from 100: what it writes next is older by number.
  const test::TemporaryFolder run;
  for (const std::uint64_t step : {100U, 300U}) store(run.path(), example(step), 0);
  overwrite(checkpoint_folder(run.path(), 300) / "manifest.json", "");
  store(run.path(), example(200, 1), 1);
  const auto found = newest_checkpoint(run.path());
  ASSERT_TRUE(found.has_value());
  expect_same(found->checkpoint, example(200, 1));
  // Reached again, 300 replaces the damaged one.
  store(run.path(), example(300, 1), 1);
  EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre("step-00000300"));
  expect_same(newest_checkpoint(run.path())->checkpoint, example(300, 1));
}

TEST(PruneCheckpoints, WhatCannotGoIsNamedAndTheOthersGo) {
  const test::TemporaryFolder run;
  const test::AsOrdinaryUser user(run.path());
  if (!user) GTEST_SKIP() << "nothing stays when root deletes it";
  for (std::uint64_t step = 1; step <= 4; ++step) write_checkpoint(run.path(), example(step));
  const auto stuck = checkpoint_folder(run.path(), 2);
  fs::permissions(stuck, fs::perms::owner_read | fs::perms::owner_exec);
  const auto prune = [&] { prune_checkpoints(run.path(), 4, {1, 0}, {}); };
  EXPECT_THAT(testing::refusal(ExitCode::data, prune), AllOf(HasSubstr("cannot delete"), HasSubstr("step-00000002")));
  const auto doomed = run / "checkpoints" / ".step-00000002.partial-0";
  EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre(doomed.filename().string(), "step-00000004"));
  fs::permissions(doomed, fs::perms::owner_all);
}

TEST(WriteCheckpoint, ReplacesOneOfTheSameStep) {
  const test::TemporaryFolder run;
  store(run.path(), example(100, 1), 3);
  store(run.path(), example(100, 2), 3);
  EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre("step-00000100"));
  expect_same(newest_checkpoint(run.path())->checkpoint, example(100, 2));
}

TEST(WriteCheckpoint, AnInterruptedReplacementLosesNothing) {
  // Between its two renames: the old one has its hidden name, the new one not yet its final one.
  const test::TemporaryFolder run;
  const auto folder = store(run.path(), example(100, 1), 0);
  const auto hidden = run / "checkpoints" / ".step-00000100.replaced";
  fs::rename(folder, hidden);
  expect_same(newest_checkpoint(run.path())->checkpoint, example(100, 1));
  sweep_checkpoints(run.path());
  EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre("step-00000100"));
  expect_same(read_checkpoint(folder), example(100, 1));
  // Behind the second rename: the new one stands.
  fs::rename(folder, hidden);
  store(run / "elsewhere", example(100, 2), 0);
  fs::rename(checkpoint_folder(run / "elsewhere", 100), folder);
  expect_same(newest_checkpoint(run.path())->checkpoint, example(100, 2));
  sweep_checkpoints(run.path());
  EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre("step-00000100"));
  expect_same(read_checkpoint(folder), example(100, 2));
  // Without a sweep the next write of that step settles it.
  fs::rename(folder, hidden);
  store(run.path(), example(100, 3), 0);
  EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre("step-00000100"));
  expect_same(read_checkpoint(folder), example(100, 3));
}

TEST(SweepCheckpoints, DeletesOnlyWhatAnInterruptedWriteLeft) {
  const test::TemporaryFolder run;
  sweep_checkpoints(run.path());
  store(run.path(), example(100), 0);
  const auto folder = run / "checkpoints";
  const std::vector<std::string> foreign = {".step-00000200.partial-",
                                            ".step-00000200.partial-12x",
                                            ".step-200.partial-12",
                                            "step-00000200.partial-12",
                                            ".step-00000200.other-12",
                                            ".partial-12",
                                            ".hidden",
                                            "notes"};
  for (const auto& name : foreign) fs::create_directory(folder / name);
  for (const auto* name : {".step-00000200.partial-12", ".step-123456789.partial-4194304"}) {
    fs::create_directory(folder / name);
    overwrite(folder / name / "generator.safetensors", "half");
  }
  sweep_checkpoints(run.path());
  std::vector<std::string> expected = foreign;
  expected.emplace_back("step-00000100");
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(names_in(folder), expected);
  expect_same(read_checkpoint(folder / "step-00000100"), example(100));
}

TEST(WriteCheckpoint, OverwritesItsOwnLeftovers) {
  const test::TemporaryFolder run;
  const auto leftover = run / "checkpoints" / ".step-00000100.partial-0";
  fs::create_directories(leftover);
  overwrite(leftover / "generator.safetensors", "half");
  overwrite(leftover / "stray", "half");
  const auto folder = store(run.path(), example(100), 0);
  EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre("step-00000100"));
  EXPECT_THAT(names_in(folder), ElementsAre("discriminator.safetensors", "generator.safetensors", "manifest.json"));
}

TEST(WriteCheckpoint, SaysWhyItCannot) {
  const test::TemporaryFolder folder;
  overwrite(folder / "file", "");
  for (const fs::path& run : {folder / "file" / "run", fs::path("/proc/ganymede")}) {
    EXPECT_THAT(testing::refusal(ExitCode::data, [&] { store(run, example(1200), 1); }),
                AllOf(HasSubstr("step 1200"), HasSubstr(run.string())));
  }
}

TEST(WriteCheckpoint, AFullDiskLeavesTheOldOneAndNothingElse) {
  const test::TemporaryFolder run;
  store(run.path(), example(100), 1);
  // A limit on the size of files makes writes short and then fail, as a full disk does. The manifest is the
  // largest file and the last: one byte short of it, all others are there.
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit saved{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &saved), 0);
  const Checkpoint large = example(200, 0, 20);
  const auto sample = store(run / "sample", large, 1);
  const auto tensors_size = fs::file_size(sample / "generator.safetensors");
  const auto manifest_size = fs::file_size(sample / "manifest.json");
  ASSERT_LT(tensors_size, manifest_size);
  for (const rlim_t limit : {rlim_t{0}, rlim_t{1}, tensors_size - 1, tensors_size, manifest_size - 1}) {
    const rlimit tight{limit, saved.rlim_max};
    std::string message;
    setrlimit(RLIMIT_FSIZE, &tight);
    try {
      store(run.path(), large, 1);
      message = "written";
    } catch (const Error& error) {
      message = error.code() == ExitCode::data ? error.what() : "another code";
    }
    setrlimit(RLIMIT_FSIZE, &saved);
    EXPECT_THAT(message, AllOf(HasSubstr("step 200"), HasSubstr("File too large"))) << limit;
    EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre("step-00000100")) << limit;
    expect_same(newest_checkpoint(run.path())->checkpoint, example(100));
  }
  std::signal(SIGXFSZ, before);
  store(run.path(), large, 1);
  expect_same(newest_checkpoint(run.path())->checkpoint, large);
}

TEST(WriteCheckpoint, SurvivesKillsAtAnyInstant) {
  // A child writes checkpoints without end, each step twice so that replacing is among them, and tells of
  // each; SIGKILL meets it somewhere in the next. From the first one on, there must always be a valid newest
  // one, and none refused.
  const test::TemporaryFolder run;
  std::mt19937 random(2);
  std::uint64_t newest = 0;
  using Clock = std::chrono::steady_clock;
  auto begin = Clock::now();
  store(run.path(), example(newest), 2);
  auto one_write = Clock::now() - begin;
  int leftovers = 0;
  for (int round = 0; round < 40; ++round) {
    std::array<int, 2> written{};
    ASSERT_EQ(pipe(written.data()), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      try {
        for (std::uint64_t count = 0;; ++count) {
          store(run.path(), example(newest + count / 2, static_cast<int>(1 + count % 2)), 2);
          if (write(written[1], "w", 1) != 1) _exit(1);
        }
      } catch (...) {
        _exit(1);
      }
    }
    close(written[1]);
    for (std::uint32_t writes = random() % 4; writes > 0; --writes) {
      begin = Clock::now();
      char byte = 0;
      ASSERT_EQ(read(written[0], &byte, 1), 1) << "the child failed to write";
      one_write = Clock::now() - begin;
    }
    std::this_thread::sleep_for(one_write * (random() % 1000) / 1000);
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    close(written[0]);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child failed to write";

    const auto found = newest_checkpoint(run.path());
    ASSERT_TRUE(found.has_value());
    EXPECT_THAT(found->refused, IsEmpty());
    EXPECT_GE(found->checkpoint.step, newest);
    newest = found->checkpoint.step;
    for (const auto& name : names_in(run / "checkpoints")) leftovers += name.front() == '.' ? 1 : 0;
    sweep_checkpoints(run.path());
    for (const auto& name : names_in(run / "checkpoints")) {
      EXPECT_NE(name.front(), '.') << name;
      EXPECT_NO_THROW(read_checkpoint(run / "checkpoints" / name)) << name;
    }
    EXPECT_EQ(newest_checkpoint(run.path())->checkpoint.step, newest);
  }
  EXPECT_GT(newest, 0U);
  EXPECT_GT(leftovers, 0) << "no kill met a write";
}

}  // namespace
}  // namespace ganymede
