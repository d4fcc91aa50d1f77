// --init-from: which network a file is of, what is taken, and what is refused in which words. Files that PyTorch has
// written: tests/interop.
#include "train/init_from.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "ganymede/error.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede {
namespace {

using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

class InitFrom : public ::testing::Test {
 protected:
  InitFrom() {
    options_.latent = 3;
    options_.generator_hidden = {5};
    options_.discriminator_hidden = {4};
  }
  [[nodiscard]] Gan made(std::uint64_t seed) const {
    TrainOptions seeded = options_;
    seeded.seed = seed;
    return make_gan(seeded, {{6, 6, 1}, 0}, *device_);
  }
  // The network's weights in a file; `network`: what its metadata say, empty for nothing, as PyTorch has it.
  std::string file_of(const Network& network, const std::string& name, const std::string& said) {
    TensorFile file{network.tensors(network.parameter_array()), {}};
    if (!said.empty()) file.metadata["network"] = said;
    return written(file, name);
  }
  std::string written(const TensorFile& file, const std::string& name) {
    const std::string path = (folder_ / name).string();
    file.write(path);
    return path;
  }
  std::string load(const std::vector<std::string>& files, Gan& gan) {
    TrainOptions from = options_;
    from.init_from = files;
    warnings_.clear();
    return load_initial_weights(from, *ranks_, gan, warnings_);
  }
  std::string refusal(const std::vector<std::string>& files, ExitCode code = ExitCode::data) {
    Gan gan = made(1);
    std::string said = testing::refusal<AgreedError>(code, [&] { load(files, gan); });
    EXPECT_EQ(said.find('\n'), std::string::npos);
    return said;
  }

  TemporaryFolder folder_;
  TrainOptions options_;
  std::vector<std::string> warnings_;
  std::unique_ptr<Device> device_ = make_cpu_device(1);
  std::unique_ptr<Communicator> ranks_ = make_local_communicator();
};

TEST_F(InitFrom, TakesEitherNetworkOrBoth) {
  const Gan from = made(7);
  for (const bool named : {true, false}) {
    const std::string g = file_of(from.generator, "g.safetensors", named ? "generator" : "");
    const std::string d = file_of(from.discriminator, "d.safetensors", named ? "discriminator" : "");
    const Gan drawn = made(1);
    for (const auto& files : std::vector<std::vector<std::string>>{{g}, {d}, {g, d}, {d, g}}) {
      Gan gan = made(1);
      const std::string origin = load(files, gan);
      const bool has_g = std::count(files.begin(), files.end(), g) > 0;
      const bool has_d = std::count(files.begin(), files.end(), d) > 0;
      EXPECT_EQ(gan.generator.parameter_array().host(), (has_g ? from : drawn).generator.parameter_array().host());
      EXPECT_EQ(gan.discriminator.parameter_array().host(),
                (has_d ? from : drawn).discriminator.parameter_array().host());
      EXPECT_EQ(gan.average.host(), gan.generator.parameter_array().host()) << "pictures begin with them";
      EXPECT_EQ(origin.find("G in " + g) != std::string::npos, has_g) << origin;
      EXPECT_EQ(origin.find("D in " + d) != std::string::npos, has_d) << origin;
    }
  }
}

TEST_F(InitFrom, TakesStatisticsAndSingularVectorsToo) {
  options_.generator_norm = "batch";
  options_.spectral_norm = true;
  const Gan from = made(7);
  Gan gan = made(1);
  load({file_of(from.generator, "g.safetensors", ""), file_of(from.discriminator, "d.safetensors", "")}, gan);
  EXPECT_EQ(gan.generator.parameter_array().host(), from.generator.parameter_array().host());
  EXPECT_EQ(gan.discriminator.parameter_array().host(), from.discriminator.parameter_array().host());
}

TEST_F(InitFrom, AnotherShapeIsNamedWithTensorAndBothShapes) {
  const Gan own = made(1);
  options_.generator_hidden = {8};
  const Gan wider = made(1);
  options_.generator_hidden = {5};
  const std::string said = file_of(wider.generator, "said.safetensors", "generator");
  EXPECT_THAT(refusal({said}),
              AllOf(HasSubstr(said + ": tensor '0.weight' has shape [8, 3]"), HasSubstr("the network needs [5, 3]")));
  const std::string unsaid = file_of(wider.generator, "unsaid.safetensors", "");
  EXPECT_THAT(refusal({unsaid}),
              AllOf(HasSubstr("as a generator's: " + unsaid + ": tensor '0.weight' has shape [8, 3]"),
                    HasSubstr("as a discriminator's: " + unsaid +
                              ": tensor '0.weight' has shape [8, 3], but the network "
                              "needs [4, 36]")));
  // What it says counts, whatever its shapes are.
  EXPECT_THAT(refusal({file_of(own.generator, "other.safetensors", "discriminator")}),
              AllOf(HasSubstr("'0.weight' has shape [5, 3]"), HasSubstr("needs [4, 36]")));
}

// As the final weights of a run say them: giving these leads to no other refusal.
TEST_F(InitFrom, AnotherNetworksOptionsAreGivenAsItsFileSaysThem) {
  TrainOptions wider = options_;
  wider.generator_hidden = {8, 6};
  wider.discriminator_hidden = {7};
  wider.learning_rate = 0.5;
  wider.spectral_norm = true;
  const Gan other = make_gan(wider, {{6, 6, 1}, 0}, *device_);
  const auto file_with_options = [&](const Network& network, const std::string& name) {
    TensorFile file{network.tensors(network.parameter_array()), trajectory_options(wider)};
    file.metadata["network"] = name;
    return written(file, name + ".safetensors");
  };
  const std::string g = file_with_options(other.generator, "generator");
  EXPECT_THAT(refusal({g}), EndsWith("that they are of: --generator-hidden 8,6"));
  const std::string d = file_with_options(other.discriminator, "discriminator");
  EXPECT_THAT(refusal({d}), EndsWith("that they are of: --discriminator-hidden 7 --spectral-norm"));
  options_.generator_hidden = {8, 6};
  options_.discriminator_hidden = {7};
  options_.spectral_norm = true;
  Gan gan = made(1);
  EXPECT_NE(load({g, d}, gan), "");
}

TEST_F(InitFrom, TensorsTooFewOrTooManyAreNamed) {
  const Gan own = made(1);
  TensorFile file{own.generator.tensors(own.generator.parameter_array()), {{"network", "generator"}}};
  TensorFile more = file;
  more.tensors.push_back({"4.weight", {1}, {0}});
  EXPECT_THAT(refusal({written(more, "more.safetensors")}),
              HasSubstr("has a tensor '4.weight', which the network does"));
  file.tensors.pop_back();
  EXPECT_THAT(refusal({written(file, "less.safetensors")}), HasSubstr("has no tensor '2.bias'"));
}

// No tensor shows with which activation it was trained; our files say so.
TEST_F(InitFrom, AnotherNetworkOfTheSameShapesIsWarnedOf) {
  options_.generator_activation = options_.discriminator_activation = "leaky-relu";
  const Gan from = made(7);
  const auto file_with = [&](const Network& network, const char* which, std::map<std::string, std::string> facts) {
    facts["network"] = which;
    return written({network.tensors(network.parameter_array()), facts}, std::string(which) + ".safetensors");
  };
  const std::map<std::string, std::string> same = {{"model", "mlp"},
                                                   {"generator-activation", "leaky-relu"},
                                                   {"discriminator-activation", "leaky-relu"},
                                                   {"latent-distribution", "normal"},
                                                   {"leak", "0.2"},
                                                   {"r1", "77"}};
  const auto warned = [&](const char* which, const char* name, const char* value) {
    std::map<std::string, std::string> facts = same;
    facts[name] = value;
    Gan gan = made(1);
    load({file_with(std::string(which) == "generator" ? from.generator : from.discriminator, which, facts)}, gan);
    EXPECT_LE(warnings_.size(), 1U);
    return warnings_.empty() ? std::string() : warnings_[0];
  };
  for (const char* network : {"generator", "discriminator"}) {
    EXPECT_EQ(warned(network, "ema", "0"), "");
    EXPECT_THAT(warned(network, "leak", "0.1"), HasSubstr("--leak 0.1 (here 0.2)"));
    EXPECT_THAT(warned(network, "model", "dcgan"), HasSubstr("--model dcgan (here mlp)"));
  }
  EXPECT_THAT(warned("generator", "generator-activation", "tanh"),
              AllOf(HasSubstr("generator.safetensors were trained with --generator-activation tanh (here leaky-relu)"),
                    HasSubstr("give the same, unless that is meant")));
  EXPECT_EQ(warned("generator", "discriminator-activation", "tanh"), "");
  EXPECT_THAT(warned("discriminator", "discriminator-activation", "tanh"),
              HasSubstr("--discriminator-activation tanh"));
  EXPECT_THAT(warned("generator", "latent-distribution", "uniform"), HasSubstr("--latent-distribution uniform"));
  EXPECT_EQ(warned("discriminator", "latent-distribution", "uniform"), "");
  // A leak that other functions do not have says nothing.
  options_.generator_activation = "relu";
  EXPECT_EQ(warned("generator", "generator-activation", "relu"), "");
  EXPECT_EQ(warned("generator", "leak", "0.1").find("--leak"), std::string::npos);
}

TEST_F(InitFrom, AFolderIsAnsweredWithItsFiles) {
  const Gan own = made(1);
  const std::string folder = folder_.path().string();
  EXPECT_THAT(refusal({folder}, ExitCode::usage), HasSubstr(folder + " is a folder: give a safetensors file"));
  const std::string g = file_of(own.generator, "generator.safetensors", "generator");
  EXPECT_THAT(refusal({folder}, ExitCode::usage), HasSubstr("is a folder: give " + g));
  const std::string d = file_of(own.discriminator, "discriminator.safetensors", "discriminator");
  EXPECT_THAT(refusal({folder}, ExitCode::usage), HasSubstr("is a folder: give " + g + "," + d));
}

TEST_F(InitFrom, ValuesThatAreNoNumbersAreNamedWithTheirTensor) {
  const Gan own = made(1);
  for (const auto& [value, name] : {std::pair{std::numeric_limits<float>::quiet_NaN(), "NaN"},
                                    std::pair{std::numeric_limits<float>::infinity(), "infinity"},
                                    std::pair{-std::numeric_limits<float>::infinity(), "-infinity"}}) {
    TensorFile file{own.discriminator.tensors(own.discriminator.parameter_array()), {}};
    file.tensors[2].values[3] = value;
    const std::string d = written(file, "d.safetensors");
    EXPECT_THAT(refusal({d}),
                HasSubstr(d + ": tensor '" + file.tensors[2].name + "' holds " + name + " at element 3: "));
  }
}

TEST_F(InitFrom, WhatIsNoNetworksFileIsRefused) {
  const Gan own = made(1);
  const std::string g = file_of(own.generator, "g.safetensors", "generator");
  EXPECT_THAT(refusal({g, g}, ExitCode::usage), HasSubstr("names two files of G"));
  EXPECT_THAT(refusal({file_of(own.generator, "judge.safetensors", "judge")}), HasSubstr("of the network 'judge'"));
  EXPECT_THAT(refusal({(folder_ / "missing.safetensors").string()}), HasSubstr("missing.safetensors"));
}

}  // namespace
}  // namespace ganymede
