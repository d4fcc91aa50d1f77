// What a training that went back leaves for the next one to go on from.
#include "train/state_saver.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "support/temporary_folder.hpp"
#include "train/rollback.hpp"
#include "train/setup.hpp"

namespace ganymede {
namespace {

TEST(StateSaver, AfterARollBackTheNewBranchIsTheNewest) {
  const test::TemporaryFolder folder;
  TrainOptions options;
  options.out = (folder / "run").string();
  options.generator_hidden = options.discriminator_hidden = {4};
  options.latent = 3;
  options.steps = 100;
  options.batch = 10;
  options.threads = 1;
  options.checkpoint_every = 10;
  options.keep = 1;
  const auto ranks = make_local_communicator();
  const TrainSetup setup = set_up(options, *ranks);
  const auto ignore = [](const std::string& /*message*/) {};
  StateSaver saver(options, *ranks, *setup.gan, Checkpoint{}, 0, {ignore, ignore});
  for (const std::uint64_t step : {40U, 46U}) saver.save(step, step * 10);
  saver.finish();
  saver.set_rollbacks(1);
  saver.save(41, 410);
  saver.finish();
  const std::optional<FoundCheckpoint> newest = newest_checkpoint(options.out);
  ASSERT_TRUE(newest.has_value());
  EXPECT_EQ(newest->checkpoint.step, 41U);
  EXPECT_EQ(rollbacks_of(newest->checkpoint), 1U);
  EXPECT_TRUE(std::filesystem::exists(checkpoint_folder(options.out, 40))) << "the next roll-back leads there";
}

}  // namespace
}  // namespace ganymede
