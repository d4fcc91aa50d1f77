// What ranks make of samples together is what one makes of them alone, to the last bit.
#include <gtest/gtest.h>

#include <array>

#include "core/files.hpp"
#include "distributed/distributed.hpp"
#include "eval/gan_train.hpp"
#include "eval/judged.hpp"
#include "eval/nearest_neighbours.hpp"
#include "eval/parzen.hpp"
#include "unit/eval/images.hpp"

namespace ganymede::eval {
namespace {

using ganymede::testing::world;
using testing::OwnSet;
using testing::random_set;

class Evaluation : public ::testing::Test {
 protected:
  // More blocks than ranks, none of them whole at the end.
  OwnSet samples_ = random_set(1500, 30, 1, 40);
  OwnSet real_ = random_set(700, 30, 2, 40);
  ImageSetSource source_{samples_.set()};
  std::unique_ptr<Device> device_ = make_cpu_device(1);
  std::unique_ptr<Communicator> alone_ = make_local_communicator();
};

TEST_F(Evaluation, ParzenScoresAreEqual) {
  const ImageSet validation = part_of(real_.set(), 0, 100);
  const ParzenScore together = parzen_score(source_, 1500, validation, real_.set(), *device_, world());
  const ParzenScore alone = parzen_score(source_, 1500, validation, real_.set(), *device_, *alone_);
  EXPECT_EQ(together.mean, alone.mean);
  EXPECT_EQ(together.standard_error, alone.standard_error);
  EXPECT_EQ(together.sigma, alone.sigma);
}

TEST_F(Evaluation, NeighboursAreTheSame) {
  EXPECT_EQ(classification_error(source_, 1500, real_.set(), *device_, world()).part,
            classification_error(source_, 1500, real_.set(), *device_, *alone_).part);
  const TwoSampleAccuracy together = two_sample_accuracy(source_, real_.set(), *device_, world());
  const TwoSampleAccuracy alone = two_sample_accuracy(source_, real_.set(), *device_, *alone_);
  EXPECT_EQ(together.real.part, alone.real.part);
  EXPECT_EQ(together.generated.part, alone.generated.part);
}

TEST_F(Evaluation, WhatAJudgeSaysIsTheSame) {
  const Dataset mini = Dataset::open("mnist-mini", {.test = true}, world());
  Judge judge(*device_, TensorFile::read(share_folder() / "judge" / "mnist.safetensors"), "the shipped judge");
  const auto found = [&](Communicator& ranks) {
    ImageSetSource test(mini.test());
    ImageSetSource train(mini.train());
    return scores(judged(train, 1000, judge, ranks), judged(test, 1000, judge, ranks), *device_, ranks);
  };
  const JudgedScores together = found(world());
  const JudgedScores alone = found(*alone_);
  EXPECT_EQ(together.frechet, alone.frechet);
  EXPECT_EQ(together.kernel.mean, alone.kernel.mean);
  EXPECT_EQ(together.kernel.standard_error, alone.kernel.standard_error);
  EXPECT_EQ(together.cover.precision, alone.cover.precision);
  EXPECT_EQ(together.cover.recall, alone.cover.recall);
  EXPECT_EQ(together.cover.density, alone.cover.density);
  EXPECT_EQ(together.cover.coverage, alone.cover.coverage);
  EXPECT_EQ(together.inception, alone.inception);
  EXPECT_EQ(together.histogram, alone.histogram);
}

TEST_F(Evaluation, LearningFromSamplesIsTheSame) {
  const Dataset mini = Dataset::open("mnist-mini", {.train_labels = true, .test = true, .test_labels = true}, world());
  ImageSetSource test(mini.test());
  ImageSetSource train(mini.train());
  Judge judge(*device_, TensorFile::read(share_folder() / "judge" / "mnist.safetensors"), "the shipped judge");
  const auto found = [&](Communicator& ranks) {
    const GanTrain learnt = gan_train(test, train, 600, 12, mini.test(), *device_, ranks);
    return std::array{learnt.samples.part, learnt.training_images.part, gan_test(train, 700, judge, ranks).part};
  };
  EXPECT_EQ(found(world()), found(*alone_));
}

// Fewer blocks than ranks.
TEST_F(Evaluation, RanksMayHaveNothingToDo) {
  const ImageSet few = part_of(real_.set(), 0, 50);
  EXPECT_EQ(parzen_score(source_, 60, few, few, *device_, world()).mean,
            parzen_score(source_, 60, few, few, *device_, *alone_).mean);
  EXPECT_EQ(classification_error(source_, 60, few, *device_, world()).part,
            classification_error(source_, 60, few, *device_, *alone_).part);
  EXPECT_EQ(two_sample_accuracy(source_, few, *device_, world()).all().part,
            two_sample_accuracy(source_, few, *device_, *alone_).all().part);
}

}  // namespace
}  // namespace ganymede::eval
