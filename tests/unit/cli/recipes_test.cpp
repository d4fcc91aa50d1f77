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
  std::size_t seen = 0;
  for (const Recipe& recipe : all_recipes()) {
    SCOPED_TRACE(recipe.name);
    ASSERT_TRUE(expected.contains(recipe.name));
    TrainOptions options;
    for (const Setting& setting : recipe.settings) set_train_option(options, setting.name, setting.value);
    options.steps = 1;
    const DataShape data{{28, 28, 1}, static_cast<int>(classes)};
    const Gan gan = make_gan(options, data, *device);
    const Sizes& sizes = expected.at(recipe.name);
    EXPECT_EQ(gan.generator.parameter_count(), sizes.generator);
    EXPECT_EQ(gan.discriminator.parameter_count(), sizes.discriminator);
    EXPECT_EQ(gan.generator.inputs(), 100);
    EXPECT_EQ(gan.generator.outputs(), 784);
    EXPECT_EQ(gan.discriminator.inputs(), 784);
    EXPECT_EQ(gan.discriminator.outputs(), 1);
    ++seen;
  }
  EXPECT_EQ(seen, expected.size());
}

}  // namespace
}  // namespace ganymede::cli
