// What a diagnosis measures, against plain loops in double precision.
#include "train/diagnostics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "gan/sampler.hpp"
#include "report/metrics_log.hpp"
#include "report/real_images.hpp"
#include "support/small_gan.hpp"
#include "support/thread_ranks.hpp"

namespace ganymede::testing {
namespace {

constexpr int samples = Diagnostics::samples;
constexpr double tolerance = 1e-5;

// The sum over the pixels of E(x - E(x | class))², in two passes; classes take turns.
double variance(const std::vector<float>& images, std::size_t classes = 1) {
  const std::size_t size = images.size() / samples;
  double total = 0;
  for (std::size_t c = 0; c < classes; ++c)
    for (std::size_t p = 0; p < size; ++p) {
      double mean = 0;
      double count = 0;
      for (std::size_t i = c; i < samples; i += classes) mean += images[i * size + p];
      for (std::size_t i = c; i < samples; i += classes) ++count;
      mean /= count;
      for (std::size_t i = c; i < samples; i += classes) total += std::pow(images[i * size + p] - mean, 2) / samples;
    }
  return total;
}

TrainOptions plain() {
  TrainOptions o = small_options();
  // So that D has a slope everywhere.
  o.discriminator_activation = "leaky-relu";
  return o;
}

class Diagnosed : public ::testing::Test {
 protected:
  explicit Diagnosed(const TrainOptions& o = plain())
      : options(o), images(200, small_side, 5), held_out(700, small_side, 6) {
    gan.emplace(make_gan(options, images.set().shape(), *device));
    sampler.emplace(gan->generator, options, gan->data.classes);
    diagnostics.emplace(options, *gan, images.set(), held_out.set(), false, *alone);
  }
  double mean_slope(const std::vector<float>& shown) const {
    const reference::Mlp d = reference_of(gan->discriminator);
    const std::size_t size = shown.size() / samples;
    double sum = 0;
    for (std::size_t i = 0; i < samples; ++i) {
      const Doubles row(shown.begin() + static_cast<std::ptrdiff_t>(i * size),
                        shown.begin() + static_cast<std::ptrdiff_t>((i + 1) * size));
      sum += std::sqrt(d.squared_input_gradient(row));
    }
    return sum / samples;
  }

  TrainOptions options;
  RandomImages images;
  RandomImages held_out;
  std::unique_ptr<Communicator> alone = make_local_communicator();
  std::unique_ptr<Device> device = make_cpu_device(1);
  std::optional<Gan> gan;
  std::optional<Sampler> sampler;
  std::optional<Diagnostics> diagnostics;
};

TEST_F(Diagnosed, VarietyAndSlopes) {
  MetricsRecord record;
  diagnostics->measure(1, record);
  const std::vector<float> real = real_images(images.set(), options.seed, samples, 0);
  const std::vector<float> drawn =
      sampler->draw(gan->picture_parameters(), options.seed, math::Stream::noise_for_grid, 0, samples);
  EXPECT_NEAR(record.sample_diversity / (variance(drawn) / variance(real)), 1, tolerance);
  EXPECT_NEAR(record.real_slope / mean_slope(real), 1, tolerance);
  EXPECT_NEAR(record.fake_slope / mean_slope(drawn), 1, tolerance);
  EXPECT_NE(record.real_slope, record.fake_slope);
  EXPECT_EQ(record.diagnosed_step, 1);
  // No judge knows images of noise, and there was no step.
  EXPECT_TRUE(std::isnan(record.sample_classes));
  EXPECT_TRUE(std::isnan(record.discriminator_update_ratio));
  EXPECT_TRUE(std::isnan(record.generator_update_ratio));
}

// As many as there are of both.
TEST_F(Diagnosed, WhatHeldOutImagesLoseOfTheMargin) {
  MetricsRecord record;
  diagnostics->measure(1, record);
  constexpr int compared = 200;
  const reference::Mlp d = reference_of(gan->discriminator);
  const auto scores = [&](const std::vector<float>& shown, int count) {
    const std::size_t size = shown.size() / static_cast<std::size_t>(count);
    Doubles result;
    for (std::size_t at = 0; at < shown.size(); at += size)
      result.push_back(d.forward(Doubles(shown.begin() + static_cast<std::ptrdiff_t>(at),
                                         shown.begin() + static_cast<std::ptrdiff_t>(at + size)))
                           .front());
    return result;
  };
  const auto mean = [](const Doubles& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return sum / static_cast<double>(values.size());
  };
  const auto squared_error = [&](const Doubles& values) {
    double sum = 0;
    for (const double value : values) sum += std::pow(value - mean(values), 2);
    return sum / static_cast<double>(values.size() * values.size());
  };
  const Doubles seen = scores(real_images(images.set(), options.seed, compared, 0), compared);
  const Doubles unseen = scores(real_images(held_out.set(), options.seed, compared, 0), compared);
  const Doubles drawn =
      scores(sampler->draw(gan->picture_parameters(), options.seed, math::Stream::noise_for_grid, 0, samples), samples);
  const double margin = std::max(mean(seen) - mean(drawn), 3 * std::sqrt(squared_error(seen) + squared_error(drawn)));
  EXPECT_NEAR(record.held_out_gap, (mean(seen) - mean(unseen)) / margin, 1e-4);
  EXPECT_NE(record.held_out_gap, 0);
}

TEST_F(Diagnosed, HowFarAnUpdateGoes) {
  MetricsRecord record;
  diagnostics->before_step(41);
  const auto scale = [](Network& network, float by) {
    std::vector<float> values = network.parameter_array().host();
    for (float& value : values) value *= by;
    std::copy(values.begin(), values.end(), network.parameters());
  };
  scale(gan->discriminator, 1.25F);
  scale(gan->generator, 0.5F);
  diagnostics->measure(42, record);
  EXPECT_NEAR(record.discriminator_update_ratio, 0.25, 1e-6);
  EXPECT_NEAR(record.generator_update_ratio, 0.5, 1e-6);
  // Not of the step after the one that it was told of.
  MetricsRecord later;
  diagnostics->measure(43, later);
  EXPECT_TRUE(std::isnan(later.discriminator_update_ratio));
}

// A rank of several, with replicas of its own.
MetricsRecord diagnosed(const TrainOptions& options, const ImageSet& images, const ImageSet& held_out, bool digits,
                        Communicator& ranks) {
  const std::unique_ptr<Device> device = make_cpu_device(1);
  Gan gan = make_gan(options, images.shape(), *device);
  Diagnostics diagnostics(options, gan, images, held_out, digits, ranks);
  EXPECT_EQ(diagnostics.warning(), "");
  diagnostics.before_step(6);
  for (Network* network : {&gan.discriminator, &gan.generator}) network->parameters()[0] += 0.5F;
  MetricsRecord record;
  diagnostics.measure(7, record);
  return record;
}

// Among them more ranks than there are samples to share.
void expect_the_same_on_any_ranks(const TrainOptions& options, const ImageSet& images, const ImageSet& held_out,
                                  bool digits, std::initializer_list<int> numbers_of_ranks) {
  const std::unique_ptr<Communicator> alone = make_local_communicator();
  const MetricsRecord expected = diagnosed(options, images, held_out, digits, *alone);
  EXPECT_GT(expected.sample_diversity, 0);
  EXPECT_NE(expected.held_out_gap, 0);
  EXPECT_GT(expected.generator_update_ratio, 0);
  for (const int ranks : numbers_of_ranks) {
    std::vector<MetricsRecord> found(static_cast<std::size_t>(ranks));
    test::ThreadRanks(std::vector<int>(found.size())).run([&](Communicator& rank) {
      found[static_cast<std::size_t>(rank.rank())] = diagnosed(options, images, held_out, digits, rank);
    });
    for (const MetricsRecord& record : found) {
      for (const MetricsField& field : metrics_fields()) {
        if (std::isnan(expected.*field.member) && std::isnan(record.*field.member)) continue;
        EXPECT_EQ(record.*field.member, expected.*field.member) << field.key << " on " << ranks << " ranks";
      }
    }
  }
}

TEST(DiagnosticsOnRanks, AreTheSameOnAnyNumber) {
  const RandomImages images(200, small_side, 5);
  const RandomImages held_out(700, small_side, 6);
  expect_the_same_on_any_ranks(plain(), images.set(), held_out.set(), false, {2, 3, 130});
}

// Fewer held-out images than ranks; the judge's classes, which cannot be told from chance here.
TEST(DiagnosticsOnRanks, AreTheSameForDigitsWithClasses) {
  TrainOptions options = plain();
  change_to_small_dcgan(options);
  const RandomImages images(300, eval::Judge::side, 5);
  const RandomImages held_out(2, eval::Judge::side, 6);
  expect_the_same_on_any_ranks(options, images.set(), held_out.set(), true, {3});
}

TrainOptions normalised() {
  TrainOptions o = small_options();
  change_to_small_dcgan(o);
  return o;
}

class DiagnosedDcgan : public Diagnosed {
 protected:
  DiagnosedDcgan() : Diagnosed(normalised()) {}
};

TEST_F(DiagnosedDcgan, HasNoSlopeForOneImageAlone) {
  MetricsRecord record;
  const std::vector<float> before = gan->discriminator.parameter_array().host();
  diagnostics->measure(7, record);
  EXPECT_TRUE(std::isnan(record.real_slope));
  EXPECT_TRUE(std::isnan(record.fake_slope));
  // About the mean of each class, which the networks are told.
  const std::vector<float> real = real_images(images.set(), options.seed, samples, 3);
  const std::vector<float> drawn =
      sampler->draw(gan->picture_parameters(), options.seed, math::Stream::noise_for_grid, 0, samples);
  EXPECT_NEAR(record.sample_diversity / (variance(drawn, 3) / variance(real, 3)), 1, tolerance);
  EXPECT_GT(std::abs(variance(drawn) / variance(real) / record.sample_diversity - 1), 10 * tolerance);
  // Running statistics are the training's alone.
  EXPECT_EQ(gan->discriminator.parameter_array().host(), before);
}

}  // namespace
}  // namespace ganymede::testing
