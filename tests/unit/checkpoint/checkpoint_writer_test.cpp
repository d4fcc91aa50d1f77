// Checkpoints in the background: one at a time, nothing lost, failures told.
#include "checkpoint/checkpoint_writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <stdexcept>

#include "core/files.hpp"
#include "support/example_checkpoint.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede {
namespace {

using test::example;
using test::expect_same;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(CheckpointWriter, WritesWhileItsCallerGoesOn) {
  const test::TemporaryFolder run;
  CheckpointWriter writer(run.path(), {2, 0});
  EXPECT_FALSE(writer.under_way());
  EXPECT_FALSE(writer.finish().has_value());
  std::promise<void> go_on;
  writer.begin(7, false, [waited = go_on.get_future().share()] {
    waited.wait();
    return example(7);
  });
  // It is under way for as long as that takes, and nothing of it is seen.
  EXPECT_TRUE(writer.under_way());
  EXPECT_FALSE(newest_checkpoint(run.path()).has_value());
  go_on.set_value();
  const auto written = writer.finish();
  ASSERT_TRUE(written.has_value());
  EXPECT_FALSE(writer.under_way());
  EXPECT_EQ(written->step, 7U);
  EXPECT_EQ(written->failure, "");
  EXPECT_EQ(written->prune_failure, "");
  EXPECT_GT(written->seconds, 0);
  expect_same(newest_checkpoint(run.path())->checkpoint, example(7));
  EXPECT_FALSE(writer.finish().has_value()) << "told twice";
}

TEST(CheckpointWriter, WhatIsCopiedBetweenTwoIsWrittenAsItWas) {
  // As a training does it: one memory for all copies, which changes only while nothing is under way.
  const test::TemporaryFolder run;
  auto copy = std::make_unique<Checkpoint>();
  CheckpointWriter writer(run.path(), {3, 0});
  for (std::uint64_t step = 1; step <= 30; ++step) {
    writer.finish();
    *copy = example(step, static_cast<int>(step % 5));
    writer.begin(step, false, [&copy = *copy] { return copy; });
  }
  EXPECT_EQ(writer.finish()->step, 30U);
  for (const std::uint64_t step : {28, 29, 30})
    expect_same(read_checkpoint(checkpoint_folder(run.path(), step)), example(step, static_cast<int>(step % 5)));
  EXPECT_FALSE(std::filesystem::exists(checkpoint_folder(run.path(), 27)));
}

TEST(CheckpointWriter, ItsEndWaits) {
  const test::TemporaryFolder run;
  {
    CheckpointWriter writer(run.path(), {1, 0});
    writer.begin(3, false, [] { return example(3); });
  }
  expect_same(newest_checkpoint(run.path())->checkpoint, example(3));
}

TEST(CheckpointWriter, TellsOfFailuresAndGoesOn) {
  const test::TemporaryFolder run;
  CheckpointWriter writer(run.path(), {1, 0});
  write_file_atomically(run / "checkpoints", "in the way");
  writer.begin(3, false, [] { return example(3); });
  EXPECT_THAT(writer.finish()->failure, AllOf(HasSubstr("step 3"), HasSubstr((run / "checkpoints").string())));
  writer.begin(4, false, []() -> Checkpoint { throw std::runtime_error("no memory, say"); });
  EXPECT_EQ(writer.finish()->failure, "no memory, say");
  std::filesystem::remove(run / "checkpoints");
  writer.begin(5, false, [] { return example(5); });
  EXPECT_EQ(writer.finish()->failure, "");
  expect_same(newest_checkpoint(run.path())->checkpoint, example(5));
}

}  // namespace
}  // namespace ganymede
