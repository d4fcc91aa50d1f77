// The judge: its training, what it says of images, and the one that is shipped.
#include "eval/judge.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>

#include "core/files.hpp"
#include "eval/judged.hpp"
#include "eval/modes.hpp"
#include "support/thread_ranks.hpp"
#include "unit/eval/images.hpp"

namespace ganymede::eval {
namespace {

class JudgeTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    alone_ = make_local_communicator();
    mini_ = std::make_unique<Dataset>(
        Dataset::open("mnist-mini", {.train_labels = true, .test = true, .test_labels = true}, *alone_));
  }
  static void TearDownTestSuite() {
    mini_.reset();
    alone_.reset();
  }
  static TensorFile shipped() { return TensorFile::read(share_folder() / "judge" / "mnist.safetensors"); }

  static std::unique_ptr<Communicator> alone_;
  static std::unique_ptr<Dataset> mini_;
};
std::unique_ptr<Communicator> JudgeTest::alone_;
std::unique_ptr<Dataset> JudgeTest::mini_;

TEST_F(JudgeTest, LearnsDigits) {
  const auto device = make_cpu_device(1);
  Judge judge(*device);
  const double before = judge.accuracy(mini_->test()).share();
  std::vector<std::uint32_t> half;
  for (std::uint32_t i = 0; i < mini_->train().count; i += 2) half.push_back(i);
  JudgeRecipe recipe;
  recipe.epochs = 6;
  recipe.batch = 50;
  recipe.learning_rate = 2e-3;
  recipe.average = 0.9;
  std::vector<double> losses;
  const LabelledImages images = images_of(mini_->train(), half);
  judge.train(images, recipe, [&](int epoch, double loss) {
    EXPECT_EQ(epoch, static_cast<int>(losses.size()));
    losses.push_back(loss);
  });
  judge.scale_features(images);
  ASSERT_EQ(losses.size(), 6U);
  // Of ten classes a guess has the loss ln 10.
  EXPECT_NEAR(losses[0], 2, 0.7);
  EXPECT_LT(losses[5], 0.5);
  EXPECT_LT(before, 0.3);
  EXPECT_GT(judge.accuracy(mini_->test()).share(), 0.85);

  std::vector<float> features(200 * Judge::features);
  std::vector<float> logits(200 * Judge::classes);
  judge.look_at(mini_->train().images.data(), 200, features.data(), logits.data());
  double squares = 0;
  for (const float feature : features) squares += static_cast<double>(feature) * static_cast<double>(feature);
  EXPECT_NEAR(squares / static_cast<double>(features.size()), 1, 0.1);
}

TEST_F(JudgeTest, IsTheSameOnAnyNumberOfThreads) {
  const std::vector<std::uint32_t> some = {5, 1, 8, 100, 2000, 7, 3999, 64, 65, 66};
  JudgeRecipe recipe;
  recipe.epochs = 2;
  recipe.batch = 4;
  std::vector<std::vector<Tensor>> trained;
  for (const int threads : {1, 2}) {
    const auto device = make_cpu_device(threads);
    Judge judge(*device);
    judge.train(images_of(mini_->train(), some), recipe, [](int, double) {});
    trained.push_back(judge.tensors());
  }
  for (std::size_t t = 0; t < trained[0].size(); ++t) EXPECT_EQ(trained[0][t].values, trained[1][t].values);
}

// Known digits stacked: what is counted is what was put there.
TEST_F(JudgeTest, CountsModesOfStacks) {
  // One image of each class that the judge is right about.
  const auto device = make_cpu_device(1);
  const TensorFile file = shipped();
  const ImageSet& digits = mini_->test();
  std::vector<std::span<const std::uint8_t>> digit(10);
  Judge right(*device, file, "the shipped one");
  for (std::uint32_t i = 0; i < digits.count; ++i)
    if (right.accuracy(part_of(digits, i, 1)).share() == 1)
      digit[digits.labels[i]] = digits.images.subspan(i * 784, 784);
  // Stacks (channels 3, 7, 1), (7, 3, 1), (1, 1, 1) in shares of 3 : 2 : 1.
  const std::vector<std::array<std::size_t, 3>> stacks = {{3, 7, 1}, {3, 7, 1}, {3, 7, 1},
                                                          {7, 3, 1}, {7, 3, 1}, {1, 1, 1}};
  testing::OwnSet set;
  set.size = 784 * 3;
  constexpr std::size_t count = 600;
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t p = 0; p < 784; ++p)
      for (const std::size_t c : stacks[i % stacks.size()]) set.images.push_back(digit[c][p]);
  const double divergence = (std::log(1000.0 / 2) + std::log(1000.0 / 3) * 2 / 3 + std::log(1000.0 / 6) / 3) / 2;
  for (const int ranks : {1, 3})
    test::ThreadRanks(std::vector<int>(static_cast<std::size_t>(ranks))).run([&](Communicator& all) {
      const auto own = make_cpu_device(1);
      Judge judge(*own, file, "the shipped one");
      ImageSetSource source(set.set());
      const Modes found = modes(source, count, 3, judge, all);
      EXPECT_EQ(found.found, 3U);
      EXPECT_EQ(found.possible, 1000U);
      EXPECT_NEAR(found.divergence, divergence, 1e-12);
    });
}

// Every channel of a stacked source shows every image once, in an order of its own.
TEST_F(JudgeTest, StacksShowAllImages) {
  testing::OwnSet set;
  set.size = 2;
  for (int i = 0; i < 100; ++i) set.images.insert(set.images.end(), {static_cast<std::uint8_t>(i), 200});
  StackedSource source(set.set(), 2, 150);
  ASSERT_EQ(source.image_size(), 4);
  std::vector<std::uint8_t> images(600);
  source.read(0, 60, images.data(), nullptr);
  source.read(60, 90, &images[240], nullptr);
  std::set<int> first;
  std::set<int> second;
  int alike = 0;
  for (std::size_t i = 0; i < 100; ++i) {
    first.insert(images[4 * i]);
    second.insert(images[4 * i + 1]);
    alike += images[4 * i] == images[4 * i + 1] ? 1 : 0;
    EXPECT_EQ(images[4 * i + 2], 200);
    EXPECT_EQ(images[4 * i + 3], 200);
  }
  EXPECT_EQ(first.size(), 100U);
  EXPECT_EQ(second.size(), 100U);
  EXPECT_LT(alike, 10);
  // The next pass goes in another order.
  int again = 0;
  for (std::size_t i = 0; i < 50; ++i) again += images[4 * i] == images[400 + 4 * i] ? 1 : 0;
  EXPECT_LT(again, 10);
}

// None of these 5 000 digits was in its training. MNIST's own test set is for ../../quality.
TEST_F(JudgeTest, TheShippedOneKnowsDigits) {
  const auto device = make_cpu_device(1);
  const TensorFile file = shipped();
  Judge judge(*device, file, "the shipped one");
  EXPECT_GE(judge.accuracy(mini_->test()).share(), 0.99);
  EXPECT_GE(judge.accuracy(mini_->train()).share(), 0.99);
  EXPECT_GE(std::stod(file.metadata.at("test-accuracy")), 0.992);
  EXPECT_EQ(file.metadata.at("images"), "55000 of MNIST's training set, none of mnist-mini's");
}

TEST_F(JudgeTest, FeaturesAndLogitsAreThoseOfAPlainNetwork) {
  const auto device = make_cpu_device(1);
  const TensorFile file = shipped();
  Judge judge(*device, file, "the shipped one");
  const ImageSet images = part_of(mini_->test(), 0, 3);
  std::vector<float> features(3 * Judge::features);
  std::vector<float> logits(3 * Judge::classes);
  judge.look_at(images.images.data(), 3, features.data(), logits.data());
  // In double, channel first, from the file's own order of elements.
  struct Grid {
    int channels, side;
    std::vector<double> values;
    [[nodiscard]] double at(int c, int y, int x) const {
      const bool inside = y >= 0 && y < side && x >= 0 && x < side;
      return inside ? values[static_cast<std::size_t>((c * side + y) * side + x)] : 0;
    }
  };
  const auto convolve = [&](const Grid& in, const std::string& name, int side, int kernel, int padding) {
    const Tensor& weight = file.at(name + ".weight");
    const Tensor& bias = file.at(name + ".bias");
    Grid out{static_cast<int>(weight.shape[0]), side, {}};
    for (int o = 0; o < out.channels; ++o)
      for (int y = 0; y < side; ++y)
        for (int x = 0; x < side; ++x) {
          double sum = bias.values[static_cast<std::size_t>(o)];
          for (int i = 0; i < in.channels; ++i)
            for (int ky = 0; ky < kernel; ++ky)
              for (int kx = 0; kx < kernel; ++kx)
                sum += in.at(i, 2 * y - padding + ky, 2 * x - padding + kx) *
                       weight.values[static_cast<std::size_t>(((o * in.channels + i) * kernel + ky) * kernel + kx)];
          out.values.push_back(std::max(0.0, sum));
        }
    return out;
  };
  const auto connect = [&](const std::vector<double>& in, const std::string& name) {
    const Tensor& weight = file.at(name + ".weight");
    std::vector<double> out;
    for (std::size_t o = 0; o < static_cast<std::size_t>(weight.shape[0]); ++o) {
      double sum = file.at(name + ".bias").values[o];
      for (std::size_t i = 0; i < in.size(); ++i) sum += in[i] * weight.values[o * in.size() + i];
      out.push_back(sum);
    }
    return out;
  };
  for (std::size_t n = 0; n < 3; ++n) {
    Grid image{1, 28, {}};
    for (const std::uint8_t value : images.images.subspan(n * 784, 784)) image.values.push_back(value / 255.0);
    const Grid last = convolve(convolve(convolve(image, "0", 14, 5, 2), "2", 7, 5, 2), "4", 4, 3, 1);
    std::vector<double> hidden = connect(last.values, "7");
    for (double& value : hidden) value = std::max(0.0, value);
    const std::vector<double> answer = connect(hidden, "9");
    for (std::size_t k = 0; k < hidden.size(); ++k)
      EXPECT_NEAR(features[n * Judge::features + k], hidden[k], 1e-4 * (1 + hidden[k]));
    for (std::size_t k = 0; k < answer.size(); ++k)
      EXPECT_NEAR(logits[n * Judge::classes + k], answer[k], 1e-4 * (1 + std::abs(answer[k])));
  }
}

TEST_F(JudgeTest, ImagesOutsideOthersAreFoundByTheirPixels) {
  // Every image of the training half but the tenth to twentieth and the last.
  const ImageSet& train = mini_->train();
  const std::vector<ImageSet> others = {part_of(train, 10, 10), part_of(train, train.count - 1, 1), mini_->test()};
  const std::vector<std::uint32_t> outside = images_outside(train, others);
  EXPECT_EQ(outside.size(), train.count - 11);
  for (const std::uint32_t i : outside) EXPECT_TRUE((i < 10 || i >= 20) && i + 1 < train.count);
  EXPECT_TRUE(images_outside(train, std::vector{train}).empty());
}

TEST_F(JudgeTest, RanksLookAtSamplesTogether) {
  ImageSetSource source(mini_->test());
  const TensorFile file = shipped();
  const auto device = make_cpu_device(1);
  Judge judge(*device, file, "the shipped one");
  const Judged alone = judged(source, 700, judge, *alone_);
  const Judged real = judged(source, 300, judge, *alone_);
  test::ThreadRanks({0, 0, 0}).run([&](Communicator& ranks) {
    const auto own_device = make_cpu_device(1);
    Judge own(*own_device, file, "the shipped one");
    ImageSetSource own_source(mini_->test());
    const Judged together = judged(own_source, 700, own, ranks);
    EXPECT_EQ(together.features.values, alone.features.values);
    EXPECT_EQ(together.logits, alone.logits);
  });
  EXPECT_TRUE(std::equal(real.logits.begin(), real.logits.end(), alone.logits.begin()));
}

TEST_F(JudgeTest, SetsOfOneKindAreNearerThanNoise) {
  const TensorFile file = shipped();
  const auto device = make_cpu_device(1);
  Judge judge(*device, file, "the shipped one");
  ShuffledSource test(mini_->test());
  ShuffledSource train(mini_->train());
  NoiseSource noise(784, 1, 1000);
  const Judged real = judged(test, 1000, judge, *alone_);
  const JudgedScores floor = scores(judged(train, 1000, judge, *alone_), real, *device, *alone_);
  const JudgedScores ceiling = scores(judged(noise, 1000, judge, *alone_), real, *device, *alone_);
  EXPECT_LT(20 * floor.frechet, ceiling.frechet);
  EXPECT_LT(std::abs(floor.kernel.mean), 4 * floor.kernel.standard_error);
  EXPECT_GT(ceiling.kernel.mean, 4 * ceiling.kernel.standard_error);
  EXPECT_GT(floor.cover.precision, 0.8);
  EXPECT_GT(floor.cover.recall, 0.8);
  EXPECT_GT(floor.cover.coverage, 0.8);
  EXPECT_LT(ceiling.cover.coverage, 0.1);
  EXPECT_GT(floor.inception, 9);
  EXPECT_LT(ceiling.inception, 3);
  EXPECT_LT(floor.divergence, 0.01);
  EXPECT_GT(ceiling.divergence, 0.5);
  // A set beside itself.
  const JudgedScores same = scores(real, real, *device, *alone_);
  EXPECT_NEAR(same.frechet, 0, 1e-6);
  EXPECT_EQ(same.divergence, 0);
  EXPECT_EQ(same.cover.precision, 1);
}

TEST(Noise, IsUniformAndAFunctionOfTheNumber) {
  NoiseSource noise(30, 5, 10000);
  std::vector<std::uint8_t> images(10000 * 30);
  noise.read(0, 10000, images.data(), nullptr);
  std::vector<int> counts(256);
  for (const std::uint8_t value : images) ++counts[value];
  double squares = 0;
  const double expected = 300000.0 / 256;
  for (const int count : counts) squares += (count - expected) * (count - expected) / expected;
  EXPECT_NEAR(squares, 255, 5 * std::sqrt(2.0 * 255));
  std::vector<std::uint8_t> part(7 * 30);
  noise.read(4000, 7, part.data(), nullptr);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), images.begin() + 4000 * 30));
}

}  // namespace
}  // namespace ganymede::eval
