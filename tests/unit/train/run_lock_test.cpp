// The lock of a run's folder, also where the file system has none: flock is this file's own.
#include "train/run_lock.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>

#include "ganymede/error.hpp"
#include "ganymede/trainer.hpp"
#include "support/forwarding_communicator.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"

namespace {
int flock_failure = 0;
int pread_failure = 0;
int failing_preads = 0;
}  // namespace

extern "C" ssize_t pread(int file, void* bytes, size_t count, off_t offset) {
  if (failing_preads == 0) return syscall(SYS_pread64, file, bytes, count, offset);
  --failing_preads;
  errno = pread_failure;
  return -1;
}

extern "C" int flock(int file, int operation) noexcept {
  if (flock_failure == 0) return static_cast<int>(syscall(SYS_flock, file, operation));
  errno = flock_failure;
  return -1;
}

namespace ganymede {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string holder() { return "process " + std::to_string(getpid()) + " on " + host_name() + " since 20"; }

std::string refusal(const RunFolder& folder) {
  return testing::refusal(ExitCode::data, [&] { const RunLock lock(folder); });
}

TEST(RunLock, IsHeldOnceAndSaysByWhom) {
  const test::TemporaryFolder run;
  const RunFolder folder(run.path());
  for (int again = 0; again < 2; ++again) {
    EXPECT_FALSE(is_in_use(folder));
    const RunLock lock(folder);
    EXPECT_TRUE(is_in_use(folder));
    EXPECT_EQ(lock.warning(), "");
    EXPECT_THAT(refusal(folder), AllOf(HasSubstr("--out " + run.path().string() + " is in use by " + holder()),
                                       HasSubstr(" UTC, generation " + std::to_string(again + 1) + ": wait")));
    EXPECT_EQ(lock.generation(), static_cast<std::uint64_t>(again + 1));
    EXPECT_NO_THROW(lock.check());
  }
  EXPECT_EQ(refusal(folder), "");
}

TEST(RunLock, WhatAnotherLeftInItBlocksNothing) {
  const test::TemporaryFolder run;
  const RunFolder folder(run.path());
  std::ofstream(folder.lock()) << "process 1 on a host with a very long name indeed\nand more\n";
  const RunLock lock(folder);
  std::ifstream in(folder.lock());
  EXPECT_THAT(std::string(std::istreambuf_iterator<char>(in), {}),
              AllOf(StartsWith(holder()), EndsWith(" UTC, generation 1\n")));
  // Nor does what cannot be understood hide that it is held.
  std::ofstream(folder.lock()) << "";
  EXPECT_THAT(refusal(folder), HasSubstr("is in use by another training: "));
  std::ofstream(folder.lock()) << "\x1b[2J\n";
  EXPECT_THAT(refusal(folder), HasSubstr("is in use by \\x1b[2J: "));
}

// As on a host that was cut off while another training took the folder: its lock is gone, and it does not know.
TEST(RunLock, WhoHasLostItIsTold) {
  const test::TemporaryFolder run;
  const RunFolder folder(run.path());
  const RunLock lost(folder);
  // The same bytes in another file: the lock stays with the old one.
  std::filesystem::copy_file(folder.lock(), run / "copy");
  std::filesystem::rename(run / "copy", folder.lock());
  EXPECT_NO_THROW(lost.check());
  const RunLock next(folder);
  EXPECT_EQ(next.generation(), 2U);
  EXPECT_NO_THROW(next.check());
  EXPECT_THAT(testing::refusal(ExitCode::data, [&] { lost.check(); }), HasSubstr("was taken over by " + holder()));
}

// What cannot be read says nothing of another training.
TEST(RunLock, AReadThatFailsIsNoOtherTraining) {
  const test::TemporaryFolder run;
  const RunFolder folder(run.path());
  for (const int failure : {EIO, ESTALE}) {
    pread_failure = failure;
    const std::string said = folder.lock().string() + ": cannot be read: " + std::strerror(failure);
    {
      const RunLock lock(folder);
      failing_preads = 1;
      EXPECT_NO_THROW(lock.check());
      failing_preads = 1'000'000;
      EXPECT_EQ(testing::refusal(ExitCode::data, [&] { lock.check(); }), said);
    }
    // Nor does a generation begin anew then.
    EXPECT_EQ(refusal(folder), said);
    failing_preads = 0;
  }
  EXPECT_EQ(RunLock(folder).generation(), 3U);
}

TEST(RunLock, NeedsAFolder) {
  const test::TemporaryFolder run;
  EXPECT_THROW(RunLock(RunFolder(run / "none")), Error);
}

TrainOptions small(const std::filesystem::path& out) {
  TrainOptions options;
  options.out = out.string();
  options.generator_hidden = options.discriminator_hidden = {4};
  options.latent = 3;
  options.steps = 1;
  options.threads = 1;
  return options;
}

/// As if, while this training is set up, another one began in its folder and ended.
class WhileAnotherTrains final : public test::ForwardingCommunicator {
 public:
  WhileAnotherTrains(Communicator& to, const TrainOptions& options) : ForwardingCommunicator(to), other_(options) {}
  [[nodiscard]] std::vector<std::string> all_gather(const std::string& mine) override {
    if (!begun_) {
      begun_ = true;
      const auto alone = make_local_communicator();
      other_.resume = false;
      train(other_, *alone);
    }
    return ForwardingCommunicator::all_gather(mine);
  }

 private:
  TrainOptions other_;
  bool begun_ = false;
};

TEST(RunLock, ARunThatHasBegunMeanwhileIsLeftAlone) {
  for (const bool resume : {false, true}) {
    const test::TemporaryFolder run;
    const auto alone = make_local_communicator();
    TrainOptions options = small(run / "run");
    options.resume = resume;
    WhileAnotherTrains ranks(*alone, options);
    options.steps = 2;
    EXPECT_THAT(testing::refusal<AgreedError>(ExitCode::usage, [&] { train(options, ranks); }),
                HasSubstr("holds a run that another training has begun meanwhile: add --resume"));
    EXPECT_TRUE(std::filesystem::exists(run / "run/checkpoints/step-00000001"));
    EXPECT_FALSE(std::filesystem::exists(run / "run/checkpoints/step-00000002"));
  }
}

TEST(RunLock, AFileSystemWithoutLocksIsWarnedOf) {
  const test::TemporaryFolder run;
  for (const int failure : {ENOLCK, EOPNOTSUPP, ENOSYS}) {
    flock_failure = failure;
    const RunLock first{RunFolder(run.path())};
    const RunLock second{RunFolder(run.path())};
    EXPECT_TRUE(is_in_use(RunFolder(run.path())));
    // Nothing keeps them apart, but the first learns of the second.
    EXPECT_THROW(first.check(), Error);
    EXPECT_NO_THROW(second.check());
    EXPECT_THAT(second.warning(), AllOf(HasSubstr(".lock cannot be locked ("), HasSubstr("no other training")));
  }
  const auto ranks = make_local_communicator();
  std::vector<std::string> warned;
  TrainEvents events;
  events.warned = [&](const std::string& message) { warned.push_back(message); };
  EXPECT_EQ(train(small(run / "run"), *ranks, events).steps, 1U);
  flock_failure = 0;
  EXPECT_THAT(warned, ElementsAre(HasSubstr("run/.lock cannot be locked (")));
}

}  // namespace
}  // namespace ganymede
