// See judged.hpp.
#include "eval/judged.hpp"

#include <algorithm>

#include "core/numbers.hpp"
#include "eval/gan_train.hpp"

namespace ganymede::eval {

Judged judged(SampleSource& source, std::uint64_t count, Judge& judge, Communicator& ranks) {
  Judged result{{std::vector<float>(count * Judge::features), Judge::features},
                std::vector<float>(count * Judge::classes)};
  for_own_blocks(source, count, ranks, [&](const SampleBlock& block) {
    judge.look_at(block.images.data(), block.count, &result.features.values[block.first * Judge::features],
                  &result.logits[block.first * Judge::classes]);
  });
  // Each row is one rank's: adding the others' zeros changes no bit.
  ranks.all_sum(std::span(result.features.values));
  ranks.all_sum(std::span(result.logits));
  return result;
}

std::uint64_t judged_images(std::uint64_t samples, const Dataset& data) {
  return std::min({samples, std::uint64_t{data.test().count}, std::uint64_t{data.train().count}});
}

int kernel_subset(int count) { return std::min(1000, count / 10); }

JudgedScores scores(const Judged& set, const Judged& real, Device& device, Communicator& ranks) {
  JudgedScores result;
  result.frechet = frechet_distance(real.features, set.features);
  result.kernel = kernel_distance(real.features, set.features, kernel_subset(set.features.count()), device, ranks);
  result.cover = coverage(real.features, set.features, neighbours, device, ranks);
  result.inception = inception_score(set.logits, Judge::classes);
  result.histogram = class_histogram(set.logits, Judge::classes);
  result.divergence = histogram_divergence(result.histogram, class_histogram(real.logits, Judge::classes));
  return result;
}

Share judged_right(const ImageSet& labelled, std::uint64_t count, Judge& judge, Communicator& ranks) {
  ImageSetSource source(labelled);
  return gan_test(source, count, judge, ranks);
}

std::string illiteracy(const Share& right, const std::string& data_name) {
  constexpr double least_right = 0.9;
  if (right.share() >= least_right) return {};
  return "the classifier of MNIST is right about " + formatted("%.1f %%", 100 * right.share()) +
         " of the test images of " + data_name +
         ": it cannot read them, and what it says of samples means nothing here";
}

}  // namespace ganymede::eval
