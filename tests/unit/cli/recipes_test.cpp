// The recipes that come with the program: their networks have the sizes that their papers' or authors' networks have,
// counted by hand, on MNIST.
#include <gtest/gtest.h>

#include <map>

#include "cli/train_arguments.hpp"
#include "gan/gan.hpp"

namespace ganymede::cli {
namespace {

struct Sizes {
  std::size_t generator;
  std::size_t discriminator;
};

// Weights and biases of a layer.
constexpr std::size_t linear(std::size_t in, std::size_t out) { return in * out + out; }
constexpr std::size_t convolution(std::size_t in, std::size_t out, std::size_t kernel) {
  return in * out * kernel * kernel + out;
}
// Of a layer that is normalised: no biases, but a factor and a summand for each channel.
constexpr std::size_t normalised_linear(std::size_t in, std::size_t out) { return in * out + 2 * out; }
constexpr std::size_t normalised_convolution(std::size_t in, std::size_t out, std::size_t kernel) {
  return in * out * kernel * kernel + 2 * out;
}

// visit(options, what is expected) of each recipe that there is, which are those that are expected.
template <class Expected, class Visit>
void for_each_recipe(const std::map<std::string, Expected>& expected, const Visit& visit) {
  std::size_t seen = 0;
  for (const Recipe& recipe : all_recipes()) {
    SCOPED_TRACE(recipe.name);
    ASSERT_TRUE(expected.contains(recipe.name));
    TrainOptions options;
    for (const Setting& setting : recipe.settings) set_train_option(options, setting.name, setting.value);
    visit(options, expected.at(recipe.name));
    ++seen;
  }
  EXPECT_EQ(seen, expected.size());
}

TEST(Recipes, HaveTheirPapersNetworks) {
  const Sizes mlp = {linear(100, 128) + linear(128, 128) + linear(128, 784),
                     linear(784, 128) + linear(128, 128) + linear(128, 1)};
  EXPECT_EQ(mlp.generator, 130'576U);
  EXPECT_EQ(mlp.discriminator, 117'121U);
  constexpr std::size_t classes = 10;
  const Sizes dcgan = {normalised_linear(100 + classes, 1024) + normalised_linear(1024 + classes, 128 * 7 * 7) +
                           normalised_convolution(128 + classes, 64, 5) + convolution(64 + classes, 1, 5),
                       convolution(1 + classes, 64, 5) + normalised_convolution(64 + classes, 128, 5) +
                           normalised_linear(128 * 7 * 7 + classes, 1024) + linear(1024 + classes, 1)};
  const Sizes modern = {linear(100, 64 * 7 * 7) + convolution(64, 64, 3) + convolution(64, 32, 4) +
                            convolution(32, 32, 3) + convolution(32, 1, 4),
                        convolution(1, 32, 4) + convolution(32, 32, 3) + convolution(32, 64, 4) +
                            convolution(64, 64, 3) + linear(64 * 7 * 7, 1)};
  const std::map<std::string, Sizes> expected = {
      {"gan", mlp}, {"gan-literal", mlp}, {"wgan", mlp}, {"dcgan", dcgan}, {"modern", modern}};
  const auto device = make_cpu_device(1);
  for_each_recipe(expected, [&](TrainOptions& options, const Sizes& sizes) {
    options.steps = 1;
    const DataShape data{{28, 28, 1}, static_cast<int>(classes)};
    const Gan gan = make_gan(options, data, *device);
    EXPECT_EQ(gan.generator.parameter_count(), sizes.generator);
    EXPECT_EQ(gan.discriminator.parameter_count(), sizes.discriminator);
    EXPECT_EQ(gan.generator.inputs(), 100);
    EXPECT_EQ(gan.generator.outputs(), 784);
    EXPECT_EQ(gan.discriminator.inputs(), 784);
    EXPECT_EQ(gan.discriminator.outputs(), 1);
  });
}

// What the papers and their authors' code say, and of `modern` what was chosen by measurement (docs/RESULTS.md),
// written down once more: options by name as a run stores them.
TEST(Recipes, HaveTheirPapersConstants) {
  using Constants = std::map<std::string, std::string>;
  const Constants mlp = {
      {"model", "mlp"},      {"loss", "non-saturating"}, {"latent", "100"}, {"latent-distribution", "normal"},
      {"optimizer", "adam"}, {"learning-rate", "2e-04"}, {"beta1", "0.5"},  {"beta2", "0.999"},
      {"batch", "100"},      {"epochs", "1000"},         {"d-steps", "1"},  {"schedule", "constant"},
      {"weight-decay", "0"}};
  const auto with = [](Constants constants, const Constants& others) {
    for (const auto& [name, value] : others) constants[name] = value;
    return constants;
  };
  const std::map<std::string, Constants> expected = {{"gan-literal", with(mlp, {{"r1", "0"}, {"ema", "0"}})},
                                                     {"gan", with(mlp, {{"r1", "5"}, {"ema", "0.999"}})},
                                                     {"dcgan",
                                                      {{"model", "dcgan"},
                                                       {"condition", "concat"},
                                                       {"latent-distribution", "uniform"},
                                                       {"kernel", "5"},
                                                       {"channels", "64,128"},
                                                       {"fully-connected", "1024"},
                                                       {"generator-norm", "batch"},
                                                       {"discriminator-norm", "batch"},
                                                       {"leak", "0.2"},
                                                       {"init", "normal"},
                                                       {"loss", "non-saturating"},
                                                       {"optimizer", "adam"},
                                                       {"learning-rate", "2e-04"},
                                                       {"beta1", "0.5"},
                                                       {"beta2", "0.999"},
                                                       {"weight-decay", "2.5e-05"},
                                                       {"batch", "128"},
                                                       {"epochs", "200"},
                                                       {"schedule", "linear"},
                                                       {"schedule-start", "0.5"},
                                                       {"schedule-end", "0"},
                                                       {"r1", "0"},
                                                       {"ema", "0"}}},
                                                     {"wgan",
                                                      {{"loss", "wasserstein"},
                                                       {"clip-weights", "0.01"},
                                                       {"d-steps", "5"},
                                                       {"d-burst", "100"},
                                                       {"d-burst-first", "25"},
                                                       {"d-burst-every", "500"},
                                                       {"optimizer", "rmsprop"},
                                                       {"learning-rate", "5e-05"},
                                                       {"rmsprop-decay", "0.99"},
                                                       {"batch", "64"},
                                                       {"epochs", "1000"},
                                                       {"momentum", "0"},
                                                       {"r1", "0"},
                                                       {"ema", "0"}}},
                                                     {"modern",
                                                      {{"model", "modern"},
                                                       {"loss", "relativistic"},
                                                       {"r1", "5"},
                                                       {"r2", "5"},
                                                       {"ema", "0.999"},
                                                       {"generator-norm", "none"},
                                                       {"discriminator-norm", "none"},
                                                       {"leak", "0.2"},
                                                       {"optimizer", "adam"},
                                                       {"learning-rate", "0.001"},
                                                       {"beta1", "0"},
                                                       {"beta2", "0.99"},
                                                       {"batch", "128"},
                                                       {"epochs", "30"},
                                                       {"schedule", "cosine"}}}};
  for_each_recipe(expected, [](const TrainOptions& options, const Constants& constants) {
    const std::map<std::string, std::string> stored = stored_options(options);
    for (const auto& [name, value] : constants) EXPECT_EQ(stored.at(name), value) << name;
    EXPECT_EQ(stored.at("epsilon"), "1e-08");
  });
}

}  // namespace
}  // namespace ganymede::cli
