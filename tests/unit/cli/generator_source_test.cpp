// A generator as a source of samples: the images of `sample`, in 8 bits, however they are cut.
#include "cli/generator_source.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "gan/gan.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede::cli {
namespace {

TEST(GeneratorSource, GivesWhatTheSamplerDraws) {
  const test::TemporaryFolder folder;
  const auto device = make_cpu_device(1);
  TrainOptions options;
  options.generator_hidden = {9};
  options.latent = 5;
  options.condition = "concat";
  const DataShape shape{{4, 4, 1}, 3};
  Network generator = make_generator(options, shape, *device);
  generator.initialise(7, 1);
  TensorFile file;
  WeightsFacts facts({{"generator-hidden", "9"}, {"latent", "5"}, {"condition", "concat"}, {"ema", "0"}});
  facts.set_network("generator");
  facts.set_progress(12, 768);
  facts.set_data_digest("abc");
  facts.set_shape(shape);
  file.metadata = facts.entries();
  file.tensors = generator.tensors(generator.parameter_array());
  file.write(folder.path() / "g.safetensors");

  const auto alone = make_local_communicator();
  const SavedGenerator saved = read_saved_generator((folder.path() / "g.safetensors").string(), *alone);
  EXPECT_EQ(saved.step, 12U);
  EXPECT_EQ(saved.data_digest, "abc");
  EXPECT_FALSE(saved.averaged);
  GeneratorSource source(saved, 3, 500, *device);
  EXPECT_EQ(source.count(), 500U);
  ASSERT_EQ(source.image_size(), 16);
  std::vector<std::uint8_t> whole(500 * 16);
  std::vector<std::uint8_t> labels(500);
  source.read(0, 500, whole.data(), labels.data());
  EXPECT_EQ(source.classes(), 3);
  for (std::size_t i = 0; i < labels.size(); ++i) ASSERT_EQ(labels[i], i % 3);
  const std::vector<float> drawn =
      Sampler(generator, options, 3).draw(generator.parameter_array(), 3, math::Stream::noise_for_samples, 0, 500);
  for (std::size_t i = 0; i < drawn.size(); ++i) EXPECT_LE(std::abs(whole[i] - 255 * drawn[i]), 0.5001) << i;
  std::vector<std::uint8_t> part(77 * 16);
  source.read(300, 77, part.data(), nullptr);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 300 * 16));
}

}  // namespace
}  // namespace ganymede::cli
