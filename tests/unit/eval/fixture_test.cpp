// Metrics against NumPy's and SciPy's: tests/fixtures/evaluation.py.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "eval/feature_metrics.hpp"
#include "eval/nearest_neighbours.hpp"
#include "eval/parzen.hpp"
#include "support/fixtures.hpp"
#include "unit/eval/images.hpp"

namespace ganymede::eval {
namespace {

using ganymede::testing::fixture;
using nlohmann::json;
using testing::OwnSet;

std::vector<std::uint8_t> bytes(const json& array) { return array.get<std::vector<std::uint8_t>>(); }

class Fixture : public ::testing::Test {
 protected:
  Fixture() : values_(fixture("evaluation")), size_(values_["image_size"].get<int>()) {
    samples_ = {bytes(values_["samples"]), bytes(values_["labels"]), size_};
    images_ = {bytes(values_["images"]), bytes(values_["test_labels"]), size_};
  }
  json values_;
  int size_;
  OwnSet samples_;
  OwnSet images_;
  std::unique_ptr<Device> device_ = make_cpu_device(1);
  std::unique_ptr<Communicator> alone_ = make_local_communicator();
};

TEST_F(Fixture, LogLikelihoods) {
  ImageSetSource source(samples_.set());
  const auto sigmas = values_["sigmas"].get<std::vector<double>>();
  const auto found = log_likelihoods(source, source.count(), images_.set(), sigmas, *device_, *alone_);
  ASSERT_EQ(found.size(), sigmas.size());
  for (std::size_t s = 0; s < sigmas.size(); ++s) {
    const auto expected = values_["log_likelihoods"][s].get<std::vector<double>>();
    ASSERT_EQ(found[s].size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[s][i], expected[i], 1e-8) << sigmas[s];
  }
}

TEST_F(Fixture, ClassificationError) {
  ImageSetSource source(samples_.set());
  const Share wrong = classification_error(source, source.count(), images_.set(), *device_, *alone_);
  EXPECT_EQ(wrong.part, values_["classification_errors"].get<int>());
  EXPECT_EQ(wrong.of, images_.set().count);
}

TEST_F(Fixture, TwoSampleAccuracy) {
  const OwnSet generated{bytes(values_["generated"]), {}, size_};
  ImageSetSource source(generated.set());
  const TwoSampleAccuracy found = two_sample_accuracy(source, images_.set(), *device_, *alone_);
  EXPECT_EQ(found.real.part, values_["right_about_real"].get<double>());
  EXPECT_EQ(found.generated.part, values_["right_about_generated"].get<double>());
}

Features features_of(const json& array, int size) { return {ganymede::testing::floats(array), size}; }

class FeatureFixture : public Fixture {
 protected:
  Features a_ = features_of(values_["features"]["a"], values_["features"]["size"].get<int>());
  Features b_ = features_of(values_["features"]["b"], values_["features"]["size"].get<int>());
};

TEST_F(FeatureFixture, FrechetDistance) {
  const auto expected = values_["frechet"].get<double>();
  EXPECT_NEAR(frechet_distance(a_, b_), expected, 1e-6 * expected);
  EXPECT_NEAR(frechet_distance(b_, a_), expected, 1e-6 * expected);
  EXPECT_NEAR(frechet_distance(a_, a_), 0, 1e-9);
  // Four vectors of five numbers.
  Features few = a_;
  few.values.resize(4 * 5);
  const auto singular = values_["frechet_singular"].get<double>();
  EXPECT_NEAR(frechet_distance(few, b_), singular, 1e-6 * singular);
}

TEST_F(FeatureFixture, KernelDistance) {
  const json& expected = values_["kid"];
  const KernelDistance found = kernel_distance(a_, b_, expected["size"].get<int>(), *device_, *alone_);
  EXPECT_EQ(found.subsets, 3);
  EXPECT_NEAR(found.mean, expected["mean"].get<double>(), 1e-5 * found.mean);
  EXPECT_NEAR(found.standard_error, expected["standard_error"].get<double>(), 1e-5 * found.standard_error);
}

TEST_F(FeatureFixture, PrecisionRecallDensityCoverage) {
  const json& expected = values_["prdc"];
  const Coverage found = coverage(a_, b_, expected["k"].get<int>(), *device_, *alone_);
  EXPECT_DOUBLE_EQ(found.precision, expected["precision"].get<double>());
  EXPECT_DOUBLE_EQ(found.recall, expected["recall"].get<double>());
  EXPECT_DOUBLE_EQ(found.density, expected["density"].get<double>());
  EXPECT_DOUBLE_EQ(found.coverage, expected["coverage"].get<double>());
}

TEST_F(Fixture, InceptionScore) {
  // The logarithms of probabilities are logits, and so is what is a number more for all classes.
  std::vector<float> logits;
  for (const double p : values_["probabilities"].get<std::vector<double>>())
    logits.push_back(static_cast<float>(std::log(p) + 3));
  EXPECT_NEAR(inception_score(logits, values_["classes"].get<int>()), values_["inception_score"].get<double>(), 1e-6);
}

TEST(Histograms, OfAnswersAndTheirDivergence) {
  const std::vector<float> logits = {1, 2, 0, 5, 4, 3, 0, 9, 8, 7, 9, 1};
  EXPECT_EQ(class_histogram(logits, 3), (std::vector<std::uint64_t>{1, 3, 0}));
  const std::vector<std::uint64_t> p = {1, 3, 0};
  const std::vector<std::uint64_t> q = {2, 4, 2};
  EXPECT_NEAR(histogram_divergence(p, q), 0.25 * std::log(0.25 / 0.25) + 0.75 * std::log(0.75 / 0.5), 1e-15);
  EXPECT_EQ(histogram_divergence(q, p), std::numeric_limits<double>::infinity());
  EXPECT_EQ(histogram_divergence(p, p), 0);
}

}  // namespace
}  // namespace ganymede::eval
