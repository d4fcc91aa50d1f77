// See gan_train.hpp.
#include "eval/gan_train.hpp"

#include <algorithm>
#include <numeric>
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

/// Images and labels of a source in one piece, on one rank.
struct Collected {
  std::vector<std::uint8_t> images;
  std::vector<std::uint8_t> labels;

  [[nodiscard]] ImageSet set() const {
    return {images, labels, static_cast<std::uint32_t>(labels.size()), Judge::side, Judge::side};
  }
};

// Collective.
Collected collect(SampleSource& source, std::uint64_t count, int rank, Communicator& ranks) {
  Collected all;
  for_all_blocks(source, count, ranks, [&](const SampleBlock& block) {
    if (ranks.rank() != rank) return;
    all.images.insert(all.images.end(), block.images.begin(), block.images.end());
    all.labels.insert(all.labels.end(), block.labels.begin(), block.labels.end());
  });
  return all;
}

}  // namespace

int gan_train_epochs(std::uint64_t count, int updates) {
  const auto of_a_pass = static_cast<int>(count / static_cast<std::uint64_t>(JudgeRecipe().batch));
  return (updates + of_a_pass - 1) / of_a_pass;
}

GanTrain gan_train(SampleSource& samples, SampleSource& training_images, std::uint64_t count, int updates,
                   const ImageSet& test, Device& device, Communicator& ranks) {
  const int second = ranks.size() > 1 ? 1 : 0;
  const Collected from_samples = collect(samples, count, 0, ranks);
  const Collected from_real = collect(training_images, count, second, ranks);
  std::vector<std::uint32_t> all(count);
  std::iota(all.begin(), all.end(), 0U);
  std::vector<std::int64_t> right(2);
  const auto learn = [&](const Collected& images) {
    Judge judge(device);
    judge.train(images.set(), all, recipe_for(count, updates), [](int /*epoch*/, double /*loss*/) {});
    return static_cast<std::int64_t>(judge.accuracy(test).part);
  };
  if (ranks.rank() == 0) right[0] = learn(from_samples);
  if (ranks.rank() == second) right[1] = learn(from_real);
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
