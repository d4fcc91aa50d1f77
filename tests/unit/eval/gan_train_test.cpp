// GAN-train and GAN-test on samples of which the answer is known: real digits, with their labels and with wrong ones.
#include "eval/gan_train.hpp"

#include <gtest/gtest.h>

#include <array>

#include "core/files.hpp"
#include "support/thread_ranks.hpp"
#include "unit/eval/images.hpp"

namespace ganymede::eval {
namespace {

/// Real digits, told to be of the class that follows their own.
class WronglyLabelled final : public testing::SetSource {
 public:
  using SetSource::SetSource;
  void read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) override {
    SetSource::read(first, count, images, labels);
    if (labels == nullptr) return;
    for (int i = 0; i < count; ++i) labels[i] = static_cast<std::uint8_t>((labels[i] + 1) % Judge::classes);
  }
};

class GanTrainTest : public ::testing::Test {
 protected:
  std::unique_ptr<Communicator> alone_ = make_local_communicator();
  std::unique_ptr<Device> device_ = make_cpu_device(1);
  Dataset mini_ = Dataset::open("mnist-mini", {.train_labels = true, .test = true, .test_labels = true}, *alone_);
};

TEST_F(GanTrainTest, WhoLearnsFromWrongLabelsIsWrong) {
  ImageSetSource right(mini_.train());
  WronglyLabelled wrong(mini_.train());
  const GanTrain found = gan_train(wrong, right, 1000, 60, mini_.test(), *device_, *alone_);
  EXPECT_EQ(found.samples.of, mini_.test().count);
  EXPECT_GT(found.training_images.share(), 0.4);
  EXPECT_LT(found.samples.share(), 0.1);
}

TEST_F(GanTrainTest, TheSharesAreTheJudges) {
  Judge judge(*device_, TensorFile::read(share_folder() / "judge" / "mnist.safetensors"), "the shipped judge");
  ImageSetSource right(mini_.test());
  WronglyLabelled wrong(mini_.test());
  const Share accuracy = judge.accuracy(mini_.test());
  EXPECT_EQ(gan_test(right, mini_.test().count, judge, *alone_).part, accuracy.part);
  EXPECT_LE(gan_test(wrong, mini_.test().count, judge, *alone_).share(), 1 - accuracy.share());
}

// Four blocks, the last of them with 32 images.
TEST_F(GanTrainTest, RanksReadTheirOwnSamplesAlone) {
  constexpr std::uint64_t count = 800;
  const auto trained = [&](Communicator& ranks, std::uint64_t own) {
    const auto device = make_cpu_device(1);
    testing::CountingSource samples(mini_.train());
    ImageSetSource right(mini_.train());
    const GanTrain found = gan_train(samples, right, count, 16, mini_.test(), *device, ranks);
    EXPECT_EQ(samples.images_read, own);
    return std::array{found.samples.part, found.training_images.part};
  };
  const auto alone = trained(*alone_, count);
  EXPECT_EQ(alone[0], alone[1]) << "the same images make the same judge";
  test::ThreadRanks(std::vector<int>(3)).run([&](Communicator& ranks) {
    EXPECT_EQ(trained(ranks, std::array{256U + 32U, 256U, 256U}[static_cast<std::size_t>(ranks.rank())]), alone);
  });
}

TEST(GanTrain, AsManyUpdatesOfFewImagesAsOfMany) {
  EXPECT_EQ(gan_train_epochs(10'000, 1000), 10);
  EXPECT_EQ(gan_train_epochs(1000, 1000), 100);
  EXPECT_EQ(gan_train_epochs(199, 1000), 1000);
  EXPECT_EQ(gan_train_epochs(10'000, 1), 1);
}

}  // namespace
}  // namespace ganymede::eval
