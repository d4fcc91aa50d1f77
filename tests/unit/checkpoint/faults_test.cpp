// Every system call of the checkpoint path fails in turn, in every way: what stood before stands, or the new one does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "checkpoint/checkpoint_writer.hpp"
#include "core/files.hpp"
#include "core/heartbeat.hpp"
#include "ganymede/error.hpp"
#include "support/example_checkpoint.hpp"
#include "support/failing_calls/failing_calls.hpp"
#include "support/temporary_folder.hpp"
#include "train/run_place.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;
using test::example;
using test::expect_same;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t for_ever = 1'000'000;

std::vector<std::string> hidden_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    if (const std::string name = entry.path().filename().string(); name.starts_with('.')) names.push_back(name);
  return names;
}

/// What a training does at a step: `next` is written over or beside what stands, `keep` stay.
WrittenCheckpoint written(const fs::path& run, const Checkpoint& next, int keep) {
  CheckpointWriter writer(run, {keep, 0});
  writer.begin(next.step, false, [&] { return next; });
  return *writer.finish();
}

struct Case {
  const char* name;
  std::optional<Checkpoint> before;
  Checkpoint next;
  int keep;
};
struct Fault {
  int error;
  bool lasting;  // every call from there on, as on a disk that is full or was lost
};

/// A run's folder in which `before` stands, if anything, and whose records are begun; held as by a training.
class HeldRun {
 public:
  explicit HeldRun(const std::optional<Checkpoint>& before) {
    if (before) write_checkpoint(path(), *before);
    std::ofstream(log_) << "a record\n";
  }
  [[nodiscard]] const fs::path& path() const { return run_.path(); }
  [[nodiscard]] WrittenCheckpoint written(Checkpoint next, int keep) const {
    next.fence = {lock_.generation(), [this] { lock_.check(); }};
    next.log = log_;
    return ganymede::written(path(), next, keep);
  }

 private:
  test::TemporaryFolder run_;
  RunLock lock_{RunFolder(run_.path())};
  fs::path log_ = run_ / "metrics.jsonl";
};

/// System calls in the run's folder that it takes when none fails.
std::int64_t calls_of(const Case& c) {
  const HeldRun run(c.before);
  test::arm({run.path().c_str(), for_ever, for_ever, EIO, true});
  const WrittenCheckpoint end = run.written(c.next, c.keep);
  EXPECT_EQ(end.failure + end.prune_failure, "");
  return test::disarm();
}

class EveryCall : public ::testing::TestWithParam<Fault> {};

TEST_P(EveryCall, EndsInTheOldCheckpointOrTheNewOne) {
  const auto [error, lasting] = GetParam();
  for (const Case& c :
       {Case{"first", {}, example(200), 2}, Case{"beside", example(100), example(200), 2},
        Case{"instead", example(100), example(200), 1}, Case{"over", example(200, 1), example(200, 2), 2}}) {
    const std::int64_t calls = calls_of(c);
    ASSERT_GT(calls, 80);
    for (std::int64_t at = 0; at < calls; ++at) {
      SCOPED_TRACE(std::string(c.name) + ", call " + std::to_string(at));
      const HeldRun run(c.before);
      test::arm({run.path().c_str(), at, lasting ? for_ever : at, error, true});
      const WrittenCheckpoint end = run.written(c.next, c.keep);
      test::disarm();
      ASSERT_GE(test::failed_calls(), 1);

      const auto found = newest_checkpoint(run.path());
      ASSERT_TRUE(found || (!c.before && !end.failure.empty()));
      if (found) {
        EXPECT_THAT(found->refused, IsEmpty());
      }
      if (end.failure.empty()) {
        expect_same(found->checkpoint, c.next);
      } else {
        EXPECT_THAT(end.failure, AllOf(HasSubstr("the checkpoint of step 200 could not be written"),
                                       HasSubstr(std::strerror(error))));
        // A failure behind the last rename leaves the new one.
        const bool is_before = found && c.before && found->checkpoint.step == c.before->step &&
                               found->checkpoint.options == c.before->options;
        if (found) expect_same(found->checkpoint, is_before ? *c.before : c.next);
      }
      if (!end.prune_failure.empty()) {
        EXPECT_THAT(end.prune_failure, HasSubstr(std::strerror(error)));
      }
      // The next one that can be written is, and nothing of what went wrong is left.
      const Checkpoint later = example(300);
      EXPECT_EQ(run.written(later, 1).failure, "");
      sweep_checkpoints(run.path());
      expect_same(newest_checkpoint(run.path())->checkpoint, later);
      EXPECT_THAT(hidden_in(run.path() / "checkpoints"), IsEmpty());
    }
  }
}

TEST(ShortWritesAndReads, ChangeNothing) {
  const Case c{"instead", example(100), example(200), 1};
  for (std::int64_t at = 0, calls = calls_of(c); at < calls; ++at) {
    const HeldRun run(c.before);
    test::arm({run.path().c_str(), at, for_ever, 0, true});
    const WrittenCheckpoint end = run.written(c.next, c.keep);
    test::disarm();
    EXPECT_EQ(end.failure + end.prune_failure, "");
    expect_same(newest_checkpoint(run.path())->checkpoint, c.next);
  }
}

// A watchdog sees what is waited for go on, piece by piece, however long the whole takes.
TEST(SlowFileSystem, IsNoHang) {
  const test::TemporaryFolder run;
  CheckpointWriter writer(run.path(), {1, 0});
  const Checkpoint checkpoint = example(100, 0, 1'000'000);  // two files of 4 MB
  test::arm({"/checkpoints", 0, for_ever, -10});
  writer.begin(100, false, [&] { return checkpoint; });
  const std::uint64_t before = heartbeat::pulse().beats;
  EXPECT_EQ(writer.finish()->failure, "");
  test::disarm();
  // Two phases; of each file every MiB, it on the disk, and its folder.
  EXPECT_GE(heartbeat::pulse().beats - before, 2U + 2 * (4 + 2) + 3);
}

// What the tests that kill a training cannot see, as the kernel loses nothing with the process: what a power cut takes.
TEST(Order, AllIsOnTheDiskBeforeItHasItsNameAndBeforeWhatItReplacesGoes) {
  const test::TemporaryFolder run;
  write_checkpoint(run.path(), example(100));
  test::record("/checkpoints");
  const WrittenCheckpoint end = written(run.path(), example(200), 1);
  test::record(nullptr);
  ASSERT_EQ(end.failure + end.prune_failure, "");
  const std::vector<test::Call> calls = test::recorded();

  const fs::path checkpoints = run / "checkpoints";
  const fs::path partial = checkpoints / ".step-00000200.partial-0";
  constexpr std::size_t none = static_cast<std::size_t>(-1);
  const auto first = [&](const auto& wanted) {
    const auto found = std::find_if(calls.begin(), calls.end(), wanted);
    return found == calls.end() ? none : static_cast<std::size_t>(found - calls.begin());
  };
  const auto last_before = [&](std::size_t end_of, const std::string& name, const fs::path& path) {
    for (std::size_t at = end_of; at-- > 0;)
      if (calls[at].name == name && calls[at].path == path) return at;
    return none;
  };
  const std::size_t published =
      first([&](const test::Call& c) { return c.name == "rename" && c.to == checkpoints / "step-00000200"; });
  ASSERT_NE(published, none);
  EXPECT_EQ(calls[published].path, partial);
  std::size_t last_named = 0;
  for (const char* name : {"generator.safetensors", "discriminator.safetensors", "manifest.json"}) {
    SCOPED_TRACE(name);
    const std::size_t named = first([&](const test::Call& c) { return c.name == "rename" && c.to == partial / name; });
    ASSERT_LT(named, published);
    const std::size_t wrote = last_before(named, "write", calls[named].path);
    const std::size_t synced = last_before(named, "fsync", calls[named].path);
    ASSERT_NE(wrote, none);
    ASSERT_NE(synced, none);
    EXPECT_LT(wrote, synced);
    last_named = std::max(last_named, named);
  }
  const std::size_t folder_synced = last_before(published, "fsync", partial);
  ASSERT_NE(folder_synced, none);
  EXPECT_LT(last_named, folder_synced);
  const std::size_t parent_synced = first([&](const test::Call& c) {
    return c.name == "fsync" && c.path == checkpoints && &c - calls.data() > static_cast<std::ptrdiff_t>(published);
  });
  const std::size_t goes = first([&](const test::Call& c) {
    return (c.name == "rename" || c.name == "unlink") && c.path.find("step-00000100") != std::string::npos;
  });
  ASSERT_NE(parent_synced, none);
  ASSERT_NE(goes, none);
  EXPECT_LT(parent_synced, goes);
}

TEST(Order, TheNameOfANewRunIsOnTheDiskAsWell) {
  const test::TemporaryFolder place;
  TrainOptions options;
  options.out = (place / "runs/first").string();
  test::record(place.path().c_str());
  const std::unique_ptr<RunLock> lock = hold_new_run(options);
  test::record(nullptr);
  std::vector<std::string> synced;
  for (const test::Call& call : test::recorded())
    if (call.name == "fsync") synced.push_back(call.path);
  EXPECT_THAT(synced, AllOf(Contains((place / "runs").string()), Contains(place.path().string())));
}

TEST(Order, TheLogIsOnTheDiskBeforeTheCheckpointHasItsName) {
  const test::TemporaryFolder run;
  Checkpoint checkpoint = example(100);
  checkpoint.log = run / "metrics.jsonl";
  EXPECT_EQ(written(run.path(), checkpoint, 1).failure, "") << "there need be none";

  std::ofstream(checkpoint.log) << "a record\n";
  checkpoint.step = 200;
  test::record(run.path().c_str());
  EXPECT_EQ(written(run.path(), checkpoint, 1).failure, "");
  test::record(nullptr);
  std::vector<std::string> order;
  for (const test::Call& call : test::recorded()) {
    if (call.name == "fsync" && call.path == checkpoint.log) order.emplace_back("log synced");
    if (call.name == "rename" && call.to == checkpoint_folder(run.path(), 200)) order.emplace_back("published");
  }
  EXPECT_THAT(order, ElementsAre("log synced", "published"));

  checkpoint.step = 300;
  for (const int call : {0, 1}) {  // open, fsync
    test::arm({"metrics.jsonl", call, call, EIO});
    const WrittenCheckpoint end = written(run.path(), checkpoint, 1);
    test::disarm();
    EXPECT_THAT(end.failure, AllOf(HasSubstr("the checkpoint of step 300 could not be written"),
                                   HasSubstr("metrics.jsonl"), HasSubstr(std::strerror(EIO))));
    EXPECT_EQ(newest_checkpoint(run.path())->checkpoint.step, 200U);
  }
}

// A disk, or memory on the way to it, that keeps something else than it was given.
TEST(GarbledWrites, AreFoundBeforeTheCheckpointHasItsName) {
  const std::int64_t calls = calls_of({"instead", example(100), example(200), 1});
  int found_out = 0;
  for (std::int64_t at = 0; at < calls; ++at) {
    SCOPED_TRACE("call " + std::to_string(at));
    const HeldRun run(example(100));
    test::arm({run.path().c_str(), at, at, test::garbled, true});
    const WrittenCheckpoint end = run.written(example(200), 1);
    test::disarm();
    if (!end.failure.empty()) {
      EXPECT_THAT(end.failure, HasSubstr("what is on the disk is not what was written to it"));
      ++found_out;
    }
    const auto found = newest_checkpoint(run.path());
    ASSERT_TRUE(found.has_value());
    EXPECT_THAT(found->refused, IsEmpty());
    expect_same(found->checkpoint, end.failure.empty() ? example(200) : example(100));
  }
  EXPECT_EQ(found_out, 3);  // files, of one write each
}

// No fsync brings so much to the disk that it takes as long as one that hangs.
TEST(LargeFiles, AreSyncedInBetween) {
  const test::TemporaryFolder run;
  const auto calls_for = [&](std::size_t mebibytes) {
    test::arm({"large", for_ever, for_ever, EIO});
    write_file_atomically(run / "large", std::string(mebibytes << 20U, 'x'));
    return test::disarm();
  };
  const std::int64_t calls = calls_for(32);
  EXPECT_EQ(calls_for(33), calls + 2);  // a write and an fsync
  EXPECT_TRUE(read_file(run / "large") == std::string(std::size_t{33} << 20U, 'x'));
}

INSTANTIATE_TEST_SUITE_P(Errors, EveryCall,
                         ::testing::Values(Fault{ENOSPC, true}, Fault{ENOSPC, false}, Fault{EIO, true},
                                           Fault{EIO, false}, Fault{EROFS, true}, Fault{EDQUOT, false},
                                           Fault{EINTR, false}));

}  // namespace
}  // namespace ganymede
