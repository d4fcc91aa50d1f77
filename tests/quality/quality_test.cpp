// The floor under the quality of what is learnt, on the full MNIST.
//
// Protocol. G and D are trained for a fixed number of steps on the first 50 000 training digits. A Judge
// (judge.hpp) then looks at 2 000 samples of G's average, of z that no training has drawn. It knows nothing of
// D or of any GAN loss:
//   Parzen    the mean log-likelihood of 1 000 test digits under normal densities around the samples, their width
//             chosen on held-out training digits: the protocol of Goodfellow et al. 2014, smaller.
//   distance  from a sample to the nearest held-out digit, relative to that of real digits: whether samples look
//             like digits at all.
//   spread    the distance from a sample to the nearest other sample, relative to that among real digits:
//             whether they look unlike each other, so that a G that has collapsed does not pass.
//   classes   that a classifier of real digits, which has never seen a generated image, finds in at least
//             2 % of 1 000 samples each.
// The recipe `gan` must pass; training broken in one of the usual ways (mutants.hpp) must not, nor may
// `gan-literal`, which collapses.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <ostream>
#include <string>
#include <tuple>

#include "cli/train_arguments.hpp"
#include "gan/sampler.hpp"
#include "gan/step.hpp"
#include "quality/judge.hpp"
#include "quality/mutants.hpp"

namespace ganymede::quality {
namespace {

constexpr int samples = 2000;

// In the middle of the gap between `gan` and what comes nearest to it, over several seeds.
struct Floor {
  static constexpr double parzen = 40;
  static constexpr double distance = 1.20;
  static constexpr double spread = 0.5;
  static constexpr int classes = 9;
};

bool passes(const Verdict& v) {
  return v.parzen >= Floor::parzen && v.distance <= Floor::distance && v.spread >= Floor::spread &&
         v.classes() >= Floor::classes;
}

struct Training {
  const char* name;
  const char* recipe;
  /// The device to train on, over the CPU's.
  std::unique_ptr<Device> (*device)(Device& cpu, std::size_t discriminator_parameters);
  int steps;
  bool passes;

  friend void PrintTo(const Training& training, std::ostream* to) { *to << training.name; }
};

template <class Mutant>
std::unique_ptr<Device> on(Device& cpu, std::size_t) {
  return std::make_unique<Mutant>(cpu);
}

std::unique_ptr<Device> on_frozen_discriminator(Device& cpu, std::size_t discriminator_parameters) {
  return std::make_unique<FrozenDiscriminator>(cpu, discriminator_parameters);
}

// Unbroken, `gan` passes after 3 000 steps; reused noise needs more to show.
constexpr Training trainings[] = {
    {"gan", "gan", on<ForwardingDevice>, 6000, true},
    {"gan_literal", "gan-literal", on<ForwardingDevice>, 6000, false},
    {"frozen_discriminator", "gan", on_frozen_discriminator, 3000, false},
    {"wrong_sign", "gan", on<WrongSign>, 3000, false},
    {"reused_noise", "gan", on<ReusedNoise>, 6000, false},
    {"swapped_labels", "gan", on<SwappedLabels>, 3000, false},
};

TrainOptions options_of(const std::string& recipe) {
  TrainOptions options;
  for (const cli::Setting& setting : cli::read_recipe(recipe).settings)
    set_train_option(options, setting.name, setting.value);
  return options;
}

// Tests fetch nothing.
bool mnist_is_here() {
  const auto folder = [](const char* variable, const char* below) {
    const char* value = std::getenv(variable);
    return value != nullptr && std::filesystem::is_directory(std::filesystem::path(value) / below);
  };
  return folder("GANYMEDE_DATA", "mnist") || folder("XDG_CACHE_HOME", "ganymede/mnist") ||
         folder("HOME", ".cache/ganymede/mnist");
}

class QualityFloor : public ::testing::TestWithParam<std::tuple<Training, int>> {};

TEST_P(QualityFloor, HoldsOrIsSeenToBreak) {
  ASSERT_TRUE(mnist_is_here()) << "the full MNIST is not here: set GANYMEDE_DATA to a folder with mnist/ in it";
  const auto& [training, seed] = GetParam();
  const auto alone = make_local_communicator();
  const Dataset mnist = Dataset::open("mnist", {.train_labels = true, .test = true, .test_labels = true}, *alone);
  const auto cpu = make_cpu_device(1);
  Judge judge(*cpu, mnist.train(), mnist.test());
  std::printf("classifier: %.2f %% of the test digits right\n", 100 * judge.accuracy());
  ASSERT_GE(judge.accuracy(), 0.95);

  TrainOptions options = options_of(training.recipe);
  options.seed = static_cast<std::uint64_t>(seed);
  ImageSet seen = mnist.train();
  seen.count = 50000;
  seen.images = seen.images.first(static_cast<std::size_t>(seen.count) * static_cast<std::size_t>(seen.pixels()));
  const auto device = training.device(*cpu, make_gan(options, seen.shape(), *cpu).discriminator.parameter_count());
  Gan gan = make_gan(options, seen.shape(), *device);
  GanStep step(*device, *alone, gan, seen, options);
  while (step.steps() < static_cast<std::uint64_t>(training.steps)) {
    step.run(false);
    ASSERT_TRUE(step.finite());
  }
  Sampler sampler(gan.generator, options, 0);
  const Verdict verdict =
      judge.judge(sampler.draw(gan.picture_parameters(), options.seed, math::Stream::noise_for_samples, 0, samples));
  std::printf("%s, seed %d, %d steps:\n%s", training.name, seed, training.steps, verdict.text().c_str());
  std::printf("floor: Parzen %.0f, distance %.2f, spread %.2f, classes %d\n", Floor::parzen, Floor::distance,
              Floor::spread, Floor::classes);
  EXPECT_EQ(passes(verdict), training.passes);
}

INSTANTIATE_TEST_SUITE_P(Mnist, QualityFloor,
                         ::testing::Combine(::testing::ValuesIn(trainings), ::testing::Range(1, 6)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param).name) + "_seed_" +
                                  std::to_string(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace ganymede::quality
