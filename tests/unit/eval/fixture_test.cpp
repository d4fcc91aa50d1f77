// Metrics against NumPy's and SciPy's: tests/fixtures/evaluation.py.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace ganymede::eval
