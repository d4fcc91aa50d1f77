// See gan_train.hpp.
#include "eval/gan_train.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace ganymede::eval {
namespace {

JudgeRecipe recipe_for(std::uint64_t count, int updates) {
  JudgeRecipe recipe;
  recipe.epochs = gan_train_epochs(count, updates);
  // Over so few updates the shipped judge's average would remember the initial weights.
  recipe.average = 0.99;
  return recipe;
}

constexpr std::size_t pixels = std::size_t{Judge::side} * Judge::side;

/// Labelled samples, of which each rank holds the blocks that it has read.
class DealtSamples {
 public:
  // Collective.
  DealtSamples(SampleSource& source, std::uint64_t count, Communicator& ranks) : ranks_(ranks) {
    for_own_blocks(source, count, ranks, [&](const SampleBlock& block) {
      images_.insert(images_.end(), block.images.begin(), block.images.end());
      labels_.insert(labels_.end(), block.labels.begin(), block.labels.end());
    });
  }

  // Each image is its owner's and zero elsewhere, eight pixels a number, so that a sum over ranks is the batch.
  // Collective.
  void read(std::span<const std::uint32_t> numbers, std::uint8_t* images, std::uint8_t* labels) {
    batch_.assign(numbers.size() * (image_words + 1), 0);
    for (std::size_t row = 0; row < numbers.size(); ++row) {
      const std::uint64_t block = numbers[row] / most_block_images;
      if (Dealt::owner(block, ranks_.size()) != ranks_.rank()) continue;
      // The blocks before it that are this rank's are all full.
      const std::size_t own =
          block / static_cast<std::uint64_t>(ranks_.size()) * most_block_images + numbers[row] % most_block_images;
      std::int64_t* const to = &batch_[row * (image_words + 1)];
      std::memcpy(to, &images_[own * pixels], pixels);
      to[image_words] = labels_[own];
    }
    ranks_.all_sum(std::span(batch_));
    for (std::size_t row = 0; row < numbers.size(); ++row) {
      const std::int64_t* const from = &batch_[row * (image_words + 1)];
      std::memcpy(images + row * pixels, from, pixels);
      labels[row] = static_cast<std::uint8_t>(from[image_words]);
    }
  }

 private:
  static constexpr std::size_t image_words = pixels / sizeof(std::int64_t);
  static_assert(image_words * sizeof(std::int64_t) == pixels);

  Communicator& ranks_;
  std::vector<std::uint8_t> images_;
  std::vector<std::uint8_t> labels_;
  std::vector<std::int64_t> batch_;
};

}  // namespace

int gan_train_epochs(std::uint64_t count, int updates) {
  const auto of_a_pass = static_cast<int>(count / static_cast<std::uint64_t>(JudgeRecipe().batch));
  return (updates + of_a_pass - 1) / of_a_pass;
}

GanTrain gan_train(SampleSource& samples, SampleSource& training_images, std::uint64_t count, int updates,
                   const ImageSet& test, Device& device, Communicator& ranks) {
  const JudgeRecipe recipe = recipe_for(count, updates);
  DealtSamples dealt(samples, count, ranks);
  const LabelledImages from_samples{static_cast<std::uint32_t>(count),
                                    [&](std::span<const std::uint32_t> numbers, std::uint8_t* images,
                                        std::uint8_t* labels) { dealt.read(numbers, images, labels); }};
  // The second rank learns from training images meanwhile, in step with the first.
  const int second = ranks.size() > 1 ? 1 : 0;
  const LabelledImages from_training{
      from_samples.count, [&](std::span<const std::uint32_t> numbers, std::uint8_t* images, std::uint8_t* labels) {
        if (second != 0) dealt.read(numbers, images, labels);
        for (std::size_t row = 0; row < numbers.size(); ++row)
          training_images.read(numbers[row], 1, images + row * pixels, labels + row);
      }};
  std::vector<std::int64_t> right(2);
  const auto learn = [&](const LabelledImages& images) {
    Judge judge(device);
    judge.train(images, recipe, [](int /*epoch*/, double /*loss*/) {});
    return static_cast<std::int64_t>(judge.accuracy(test).part);
  };
  if (ranks.rank() == 0) right[0] = learn(from_samples);
  if (ranks.rank() == second) right[1] = learn(from_training);
  if (ranks.rank() > second) {
    std::vector<std::uint8_t> images(static_cast<std::size_t>(recipe.batch) * pixels);
    std::vector<std::uint8_t> labels(static_cast<std::size_t>(recipe.batch));
    for (int epoch = 0; epoch < recipe.epochs; ++epoch)
      for_each_batch(recipe, epoch, from_samples.count,
                     [&](std::uint32_t /*first*/, std::span<const std::uint32_t> numbers) {
                       dealt.read(numbers, images.data(), labels.data());
                     });
  }
  ranks.all_sum(std::span(right));
  return {{static_cast<double>(right[0]), test.count}, {static_cast<double>(right[1]), test.count}};
}

Share gan_test(SampleSource& samples, std::uint64_t count, Judge& judge, Communicator& ranks) {
  std::vector<float> features(static_cast<std::size_t>(most_block_images) * Judge::features);
  std::vector<float> logits(static_cast<std::size_t>(most_block_images) * Judge::classes);
  std::int64_t right = 0;
  for_own_blocks(samples, count, ranks, [&](const SampleBlock& block) {
    judge.look_at(block.images.data(), block.count, features.data(), logits.data());
    for (std::size_t i = 0; i < static_cast<std::size_t>(block.count); ++i) {
      const float* const answers = &logits[i * Judge::classes];
      right += std::max_element(answers, answers + Judge::classes) - answers == block.labels[i] ? 1 : 0;
    }
  });
  ranks.all_sum(std::span(&right, 1));
  return {static_cast<double>(right), count};
}

}  // namespace ganymede::eval
