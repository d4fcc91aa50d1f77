// From options to a training: how many steps, which images they show, what is refused before anything is
// written.
#include "train/setup.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <thread>

#include "checkpoint/checkpoint.hpp"
#include "ganymede/device.hpp"
#include "math/permutation.hpp"
#include "report/metrics_log.hpp"
#include "support/forwarding_communicator.hpp"
#include "support/ordinary_user.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"
#include "train/agreed_device.hpp"

namespace ganymede {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TrainOptions small(const std::filesystem::path& out) {
  TrainOptions options;
  options.out = out.string();
  options.generator_hidden = options.discriminator_hidden = {4};
  options.latent = 3;
  options.steps = 3;
  options.batch = 10;
  options.threads = 1;
  options.sample_count = 4;
  return options;
}

std::uint64_t steps(double epochs, int batch, int d_steps, std::uint32_t images, std::uint64_t given = 0) {
  TrainOptions options;
  options.epochs = epochs;
  options.batch = batch;
  options.d_steps = d_steps;
  options.steps = given;
  return total_steps(options, images);
}

TEST(TotalSteps, AsManyAsTheEpochsTake) {
  EXPECT_EQ(steps(1, 100, 1, 4000), 40U);
  EXPECT_EQ(steps(1000, 100, 1, 60000), 600'000U);
  EXPECT_EQ(steps(3, 300, 1, 4000), 40U);  // whole batches over whole epochs: 12000 samples
  EXPECT_EQ(steps(1, 300, 1, 4000), 14U);  // the last batch reaches into the next epoch
  EXPECT_EQ(steps(1, 100, 5, 4000), 8U);   // five batches a step
  EXPECT_EQ(steps(0.5, 100, 1, 4000), 20U);
  EXPECT_EQ(steps(0.1, 100, 1, 60000), 60U);  // 0.1 is no binary number, and 61 steps would be one too many
  EXPECT_EQ(steps(1e-9, 100, 1, 4000), 1U);
  EXPECT_EQ(steps(1, 5000, 1, 4000), 1U);
  EXPECT_EQ(steps(1e9, 1, 1, 4'000'000'000U), 4'000'000'000'000'000'000U);
}

TEST(TotalSteps, StepsWinOverEpochs) { EXPECT_EQ(steps(7, 100, 1, 4000, 12), 12U); }

// The batches of three epochs, as the step takes them: 300 does not divide 4000, so two of them straddle.
TEST(TotalSteps, EveryImageIsSeenOncePerEpochAcrossBatches) {
  constexpr std::uint32_t images = 4000;
  constexpr std::uint64_t batch = 300;
  std::vector<int> seen(images);
  std::uint64_t sample = 0;
  for (std::uint64_t step = 0; step < steps(3, batch, 1, images); ++step)
    for (std::uint64_t row = 0; row < batch; ++row, ++sample) {
      const std::uint32_t image = math::image_of_sample(17, sample, images);
      ASSERT_EQ(seen[image], static_cast<int>(sample / images)) << "image " << image << ", sample " << sample;
      ++seen[image];
    }
  EXPECT_EQ(sample, 3U * images);
}

TEST(SetUp, ThePlanSaysWhatWillRun) {
  const test::TemporaryFolder folder;
  const auto ranks = make_local_communicator();
  TrainOptions options = small(folder / "run");
  options.steps = 0;
  options.epochs = 2;
  const TrainPlan plan = plan_training(options, *ranks);
  EXPECT_EQ(plan.steps, 800U);
  EXPECT_EQ(plan.first_step, 0U);
  EXPECT_DOUBLE_EQ(plan.epochs, 2);
  const std::map<std::string, std::string> rows(plan.rows.begin(), plan.rows.end());
  EXPECT_THAT(rows.at("data"), HasSubstr("4 000 images of 28×28"));
  // 3·4+4 + 4·784+784, and 784·4+4 + 4·1+1.
  EXPECT_THAT(rows.at("generator"), AllOf(HasSubstr("3 → 4 relu → 784 sigmoid"), HasSubstr("(3 936 parameters)")));
  EXPECT_THAT(rows.at("discriminator"), AllOf(HasSubstr("784 → 4 relu → 1"), HasSubstr("(3 145 parameters)")));
  EXPECT_THAT(rows.at("training"),
              AllOf(HasSubstr("800 steps of 10 images"), HasSubstr("2 epochs"), HasSubstr("seed 1")));
  EXPECT_THAT(rows.at("ranks"), HasSubstr("1 rank on 1 host"));
  EXPECT_THAT(rows.at("device"), HasSubstr("1 thread"));
  EXPECT_EQ(rows.at("optimiser"), "adam, learning rate 0.0002, β₁ 0.5, β₂ 0.999, ε 1e-08");
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));

  options.spectral_norm = true;
  options.dropout = 0.5;
  options.input_dropout = 0.2;
  const TrainPlan regularised = plan_training(options, *ranks);
  EXPECT_THAT(std::map(regularised.rows.begin(), regularised.rows.end()).at("discriminator"),
              HasSubstr("784 dropout 0.2 → 4 relu dropout 0.5 → 1, spectral norm"));
  options.spectral_norm = false;
  options.optimizer = "rmsprop";
  options.discriminator_learning_rate = 4e-4;
  options.schedule = "cosine";
  options.schedule_start = 0.5;
  options.weight_decay = 1e-4;
  options.clip_gradient = 5;
  options.clip_weights = 0.01;
  options.instance_noise = 0.1;
  options.instance_noise_end = 0.5;
  options.micro_batch = 9;  // two slices, and these of the same size
  const TrainPlan other = plan_training(options, *ranks);
  EXPECT_THAT(std::map(other.rows.begin(), other.rows.end()).at("objective"),
              HasSubstr("instance noise 0.1 falling to 0 in 0.5 of the training"));
  EXPECT_THAT(std::map(other.rows.begin(), other.rows.end()).at("training"),
              HasSubstr("800 steps of 10 images, up to 5 at a time (2 epochs)"));
  EXPECT_EQ(std::map(other.rows.begin(), other.rows.end()).at("optimiser"),
            "rmsprop, learning rate 0.0002 for G and 0.0004 for D, cosine to 0 times that from 0.5 of the training on, "
            "α 0.99, ε 1e-08, weight decay 0.0001, gradients clipped to norm 5, D's weights clipped to ±0.01");
}

std::string refusal(const TrainOptions& options, ExitCode code) {
  const auto ranks = make_local_communicator();
  return testing::refusal<AgreedError>(code, [&] { train(options, *ranks); });
}

TEST(SetUp, NothingIsWrittenBeforeEverythingIsChecked) {
  const test::TemporaryFolder folder;
  TrainOptions options = small(folder / "run");
  options.discriminator_activation = "tanh";
  EXPECT_THAT(refusal(options, ExitCode::usage), HasSubstr("--r1"));
  options = small(folder / "run");
  options.data = (folder / "nowhere").string();
  EXPECT_THAT(refusal(options, ExitCode::data), HasSubstr("nowhere"));
  options = small("");
  EXPECT_THAT(refusal(options, ExitCode::usage), HasSubstr("--out"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  std::ofstream(folder / "file") << "x";
  EXPECT_THAT(refusal(small(folder / "file"), ExitCode::data), HasSubstr("not a folder"));
  EXPECT_THAT(refusal(small(folder / "file" / "below"), ExitCode::data), HasSubstr("file"));
}

TEST(SetUp, ARunIsOnlyContinuedAsItself) {
  const test::TemporaryFolder folder;
  const auto ranks = make_local_communicator();
  TrainOptions options = small(folder / "run");
  const TrainOutcome first = train(options, *ranks);
  EXPECT_EQ(first.steps, 3U);
  EXPECT_FALSE(first.interrupted);
  EXPECT_THAT(refusal(options, ExitCode::usage), HasSubstr("--resume"));

  options.resume = true;
  TrainOptions other = options;
  other.learning_rate = 0.5;
  other.seed = 9;
  EXPECT_THAT(refusal(other, ExitCode::usage), AllOf(HasSubstr("learning-rate 2e-04 → 0.5"), HasSubstr("seed 1 → 9")));

  // Fewer steps than it has: refused, and the run's own config.ini still says 3.
  TrainOptions fewer = options;
  fewer.steps = 2;
  EXPECT_THAT(refusal(fewer, ExitCode::usage), AllOf(HasSubstr("already has 3 steps"), HasSubstr("--steps")));
  std::ifstream config(folder / "run/config.ini");
  const std::string text{std::istreambuf_iterator<char>(config), {}};
  EXPECT_THAT(text, HasSubstr("\nsteps = 3\n"));

  // At its end there is nothing left to do, and that is no failure.
  std::filesystem::remove(first.picture);
  const TrainOutcome again = train(options, *ranks);
  EXPECT_EQ(again.generator_digest, first.generator_digest);
  EXPECT_EQ(again.picture, first.picture);
  EXPECT_TRUE(std::filesystem::exists(again.picture));

  options.steps = 5;
  EXPECT_EQ(plan_training(options, *ranks).first_step, 3U);
  EXPECT_EQ(train(options, *ranks).steps, 5U);
}

/// As if another host of the run had nothing beyond x86-64-v2.
class BesideAnOldHost final : public test::ForwardingCommunicator {
 public:
  using ForwardingCommunicator::ForwardingCommunicator;
  void all_min(std::span<std::int64_t> values) override {
    for (std::int64_t& value : values)
      if (value != std::numeric_limits<std::int64_t>::max())
        value = std::min<std::int64_t>(value, 1);  // it has not failed
  }
};

TEST(SetUp, RanksComputeWithWhatAllOfThemHave) {
  const test::TemporaryFolder folder;
  const auto alone = make_local_communicator();
  BesideAnOldHost ranks(*alone);
  std::vector<std::string> warnings;
  EXPECT_EQ(make_agreed_device({}, ranks, warnings)->arithmetic(), "x86-64-v2");
  EXPECT_EQ(make_agreed_device({}, *alone, warnings)->arithmetic(), cpu_instruction_sets().back());

  // A checkpoint says with what it was computed, and one that goes on with something else is told.
  TrainOptions options = small(folder / "run");
  train(options, ranks);
  options.resume = true;
  std::string warned;
  TrainEvents events;
  events.warned = [&](const std::string& text) { warned += text; };
  options.steps = 4;
  train(options, ranks, events);
  EXPECT_EQ(warned, "");
  options.steps = 5;
  train(options, *alone, events);
  if (cpu_instruction_sets().size() > 1) {
    EXPECT_THAT(warned, AllOf(HasSubstr("computed with x86-64-v2"), HasSubstr("--instruction-set x86-64-v2 keeps")));
  } else {
    EXPECT_EQ(warned, "");
  }
}

/// As if another rank had been given another seed.
class BesideAnotherSeed final : public test::ForwardingCommunicator {
 public:
  using ForwardingCommunicator::ForwardingCommunicator;
  [[nodiscard]] std::vector<std::string> all_gather(const std::string& mine) override {
    std::string other = mine;
    const std::size_t at = other.find("seed = 1\n");
    if (at != std::string::npos) other[at + 7] = '2';
    return {mine, other};
  }
};

TEST(SetUp, RanksWithDifferentOptionsAreRefused) {
  const test::TemporaryFolder folder;
  const auto alone = make_local_communicator();
  BesideAnotherSeed ranks(*alone);
  EXPECT_THAT(testing::refusal<AgreedError>(ExitCode::usage, [&] { train(small(folder / "run"), ranks); }),
              HasSubstr("rank 0 was started with 'seed = 1', rank 1 with 'seed = 2'"));
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
}

TEST(Training, GoesOnWhenAnOldCheckpointCannotBeDeleted) {
  namespace fs = std::filesystem;
  const test::TemporaryFolder folder;
  const auto ranks = make_local_communicator();
  TrainOptions options = small(folder / "run");
  options.log_every = options.checkpoint_every = 1;
  options.keep = 1;
  const fs::path checkpoints = folder / "run" / "checkpoints";
  std::vector<std::string> warned;
  std::optional<test::AsOrdinaryUser> user;
  TrainEvents events;
  events.planned = [&](const TrainPlan&) { user.emplace(folder.path()); };
  events.progressed = [&](const MetricsRecord& record, double, bool) {
    if (record.step != 2) return;
    while (!fs::exists(checkpoints / "step-00000001")) std::this_thread::yield();  // it is written in the background
    fs::permissions(checkpoints / "step-00000001", fs::perms::owner_read | fs::perms::owner_exec);
  };
  events.warned = [&](const std::string& message) { warned.push_back(message); };
  EXPECT_EQ(train(options, *ranks, events).steps, 3U);
  if (!*user) GTEST_SKIP() << "nothing stays when root deletes it";
  EXPECT_THAT(warned, ElementsAre(AllOf(StartsWith("an old checkpoint stays: "), HasSubstr("step-00000001"))));
  std::ifstream log(folder / "run/logs/rank-0000.log");
  const std::string text{std::istreambuf_iterator<char>(log), {}};
  EXPECT_THAT(text, HasSubstr("warning an old checkpoint stays: "));
  EXPECT_TRUE(fs::exists(checkpoints / "step-00000003"));
  // Nor is it in a resumed training's way.
  events.planned = nullptr;
  events.progressed = nullptr;
  warned.clear();
  options.resume = true;
  options.steps = 4;
  EXPECT_EQ(train(options, *ranks, events).steps, 4U);
  EXPECT_THAT(warned, ElementsAre(AllOf(StartsWith("what an interrupted training left stays: cannot delete "),
                                        HasSubstr(".step-00000001.partial-"))));
  for (const auto& entry : fs::directory_iterator(checkpoints)) fs::permissions(entry.path(), fs::perms::owner_all);
}

TEST(Training, RecordsTheEstimateOfTheWassersteinDistanceAlone) {
  const test::TemporaryFolder folder;
  const auto ranks = make_local_communicator();
  for (const char* loss : {"wasserstein", "hinge"}) {
    TrainOptions options = small(folder / loss);
    options.loss = loss;
    options.log_every = 1;
    train(options, *ranks);
    const std::vector<MetricsRecord> records = read_metrics(folder / loss / "metrics.jsonl");
    ASSERT_FALSE(records.empty());
    for (const MetricsRecord& r : records) {
      if (options.loss == "hinge")
        EXPECT_TRUE(std::isnan(r.wasserstein_estimate));
      else
        EXPECT_DOUBLE_EQ(r.wasserstein_estimate, r.real_score - r.fake_score);
    }
  }
}

// A record ends where a training is stopped, and the next begins there: together they hold what one of a training that
// was never stopped does.
TEST(Training, NoStepIsMissingFromTheRecordsOfAStoppedRun) {
  const test::TemporaryFolder folder;
  const auto ranks = make_local_communicator();
  TrainOptions options = small(folder / "whole");
  options.steps = 20;
  options.log_every = 10;
  train(options, *ranks);
  const std::vector<MetricsRecord> whole = read_metrics(folder / "whole/metrics.jsonl");
  options.out = (folder / "parts").string();
  options.steps = 4;
  train(options, *ranks);
  options.steps = 20;
  options.resume = true;
  request_stop();
  ASSERT_EQ(train(options, *ranks).steps, 5U);
  train(options, *ranks);
  const std::vector<MetricsRecord> parts = read_metrics(folder / "parts/metrics.jsonl");
  ASSERT_EQ(whole.size(), 2U);
  ASSERT_EQ(parts.size(), 4U);
  EXPECT_EQ(parts[0].step, 4U);
  EXPECT_EQ(parts[1].step, 5U);
  EXPECT_EQ(parts[2].step, 10U);
  EXPECT_EQ(parts[3].step, 20U);
  for (double MetricsRecord::*mean :
       {&MetricsRecord::discriminator_loss, &MetricsRecord::generator_loss, &MetricsRecord::penalty,
        &MetricsRecord::real_accuracy, &MetricsRecord::fake_accuracy, &MetricsRecord::real_score,
        &MetricsRecord::fake_score}) {
    EXPECT_NEAR((4 * parts[0].*mean + parts[1].*mean + 5 * parts[2].*mean) / 10, whole[0].*mean, 1e-9);
    EXPECT_EQ(parts[3].*mean, whole[1].*mean);
  }
}

TEST(SetUp, ARequestToStopIsMeantForOneTraining) {
  const test::TemporaryFolder folder;
  const auto ranks = make_local_communicator();
  TrainOptions options = small(folder / "run");
  request_stop();
  const TrainOutcome stopped = train(options, *ranks);
  EXPECT_TRUE(stopped.interrupted);
  EXPECT_EQ(stopped.steps, 1U);
  options.resume = true;
  const TrainOutcome whole = train(options, *ranks);
  EXPECT_FALSE(whole.interrupted);
  EXPECT_EQ(whole.steps, 3U);
}

// Options that did not exist when a run began are at their defaults, as are those that did nothing; one that is known
// no more is a difference.
TEST(SetUp, ARunOfAnotherVersionIsResumed) {
  const test::TemporaryFolder folder;
  const auto ranks = make_local_communicator();
  TrainOptions options = small(folder / "run");
  options.out = (folder / "whole").string();
  options.steps = 6;
  const TrainOutcome whole = train(options, *ranks);
  options.out = (folder / "run").string();
  options.steps = 3;
  train(options, *ranks);
  const auto with_options = [&](const std::function<void(std::map<std::string, std::string>&)>& change) {
    Checkpoint checkpoint = newest_checkpoint(options.out)->checkpoint;
    change(checkpoint.options);
    std::filesystem::remove_all(folder / "run/checkpoints");
    write_checkpoint(options.out, checkpoint);
  };
  with_options([](auto& stored) {
    for (const char* name : {"blocks", "dropout", "spectral-norm", "instance-noise", "ema"})
      EXPECT_EQ(stored.erase(name), 1U);
    stored["leak"] = "0.5";  // without effect on rectifiers; it was once taken all the same
  });
  options.resume = true;
  options.steps = 6;
  options.spectral_norm = true;
  EXPECT_THAT(refusal(options, ExitCode::usage), HasSubstr("spectral-norm false → true"));
  options.spectral_norm = false;
  EXPECT_EQ(train(options, *ranks).generator_digest, whole.generator_digest);
  with_options([](auto& stored) { stored["warp"] = "7"; });
  options.steps = 9;
  EXPECT_THAT(refusal(options, ExitCode::usage), HasSubstr("warp 7 → (unset)"));
}

TEST(SetUp, ChangesToATrajectoryAreListedAndNeedLeave) {
  const test::TemporaryFolder folder;
  const auto ranks = make_local_communicator();
  TrainOptions options = small(folder / "run");
  train(options, *ranks);
  const std::uint64_t seen = newest_checkpoint(options.out)->checkpoint.images_seen;
  EXPECT_EQ(seen, 30U);
  options.resume = true;
  options.steps = 5;
  options.batch = 20;
  options.learning_rate = 1e-3;
  options.allow_change = {"batch"};
  EXPECT_THAT(refusal(options, ExitCode::usage),
              AllOf(HasSubstr("trajectory: learning-rate"), HasSubstr("add --allow-change learning-rate")));
  options.allow_change.clear();
  options.condition = "concat";
  EXPECT_THAT(refusal(options, ExitCode::usage),
              AllOf(HasSubstr("step-00000003"),
                    HasSubstr("batch 10 → 20, condition none → concat, learning-rate 2e-04 → 0.001"),
                    HasSubstr("add --allow-change batch,learning-rate; with another condition train anew")));
  // No advice leads to another refusal.
  options.data = (folder / "bare").string();
  std::filesystem::create_directory(options.data);
  std::ofstream(folder / "bare/train-images-idx3-ubyte")
      << std::string("\0\0\x08\x03\0\0\0\x64\0\0\0\6\0\0\0\6", 16) << std::string(100 * 36, 'x');
  EXPECT_THAT(refusal(options, ExitCode::data), HasSubstr("a run goes on with the --condition that it began with"));
  options.condition = "none";
  options.allow_change = {"learning-rate", "batch"};
  EXPECT_THAT(refusal(options, ExitCode::data), AllOf(HasSubstr("images with image-side 28, and those of"),
                                                      HasSubstr("have 6: give the run's own --data")));
  options.data = small(folder / "run").data;
  options.allow_change = {"learning-rate", "batch", "r1"};
  std::map<std::string, std::string> rows;
  std::vector<std::string> warned;
  TrainEvents events;
  events.planned = [&](const TrainPlan& plan) { rows = {plan.rows.begin(), plan.rows.end()}; };
  events.warned = [&](const std::string& message) { warned.push_back(message); };
  const TrainOutcome changed = train(options, *ranks, events);
  EXPECT_EQ(rows.at("start"), "resumed from step-00000003, batch 10 → 20, learning-rate 2e-04 → 0.001");
  EXPECT_THAT(warned, ElementsAre(HasSubstr("--allow-change r1 changes nothing")));
  // The images of each step count by the batch that it had.
  EXPECT_EQ(changed.last.images_seen, 3U * 10 + 2U * 20);
  // From here on the changed options are the run's own.
  options.allow_change.clear();
  // So do those that --epochs asks for: 0.04 of 4000 are 160, of which the run has 70, and 20 a step.
  TrainOptions by_epochs = options;
  by_epochs.steps = 0;
  by_epochs.epochs = 0.04;
  const TrainPlan plan = plan_training(by_epochs, *ranks);
  EXPECT_EQ(plan.steps, 5U + 5U);
  EXPECT_DOUBLE_EQ(plan.epochs, (70 + 5 * 20) / 4000.0);
  by_epochs.epochs = 0.01;
  EXPECT_THAT(refusal(by_epochs, ExitCode::usage), HasSubstr("already has 5 steps, more than the 4 asked for"));
  options.steps = 6;
  EXPECT_EQ(train(options, *ranks).last.images_seen, 3U * 10 + 3U * 20);
  options.batch = 10;
  EXPECT_THAT(refusal(options, ExitCode::usage), HasSubstr("batch 20 → 10"));
  options.batch = 20;
  // What would not fit is found out before anything is written.
  options.ema = 0;
  options.allow_change = {"ema"};
  options.steps = 7;
  train(options, *ranks);
  options.ema = 0.5;
  EXPECT_THAT(refusal(options, ExitCode::usage), AllOf(HasSubstr("does not fit"), HasSubstr("ema 0 → 0.5"),
                                                       HasSubstr("lacks generator-average.safetensors")));
}

TEST(SetUp, ResumeInAnEmptyFolderStartsAfresh) {
  const test::TemporaryFolder folder;
  const auto ranks = make_local_communicator();
  TrainOptions options = small(folder / "run");
  options.resume = true;
  std::filesystem::create_directories(folder / "run");
  const TrainOutcome outcome = train(options, *ranks);
  EXPECT_EQ(outcome.steps, 3U);
  options.resume = false;
  options.out = (folder / "other").string();
  EXPECT_EQ(train(options, *ranks).generator_digest, outcome.generator_digest);
}

}  // namespace
}  // namespace ganymede
