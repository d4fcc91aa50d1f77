// See eval_judge.hpp.
#include "cli/eval_judge.hpp"

#include "core/numbers.hpp"
#include "eval/modes.hpp"
#include "ganymede/error.hpp"

namespace ganymede::cli {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const eval::JudgedScores& scores) {
  return {{"classifier_fd", scores.frechet},
          {"kid",
           {{"mean", scores.kernel.mean},
            {"standard_error", scores.kernel.standard_error},
            {"subsets", scores.kernel.subsets}}},
          {"precision", scores.cover.precision},
          {"recall", scores.cover.recall},
          {"density", scores.cover.density},
          {"coverage", scores.cover.coverage},
          {"inception_score", scores.inception},
          {"class_histogram", scores.histogram},
          {"class_kl", scores.divergence}};
}

}  // namespace

std::string inferiority(const eval::ShippedJudge& judge) {
  std::optional<double> best;
  try {
    best = eval::read_judge({}).test_accuracy();
  } catch (const Error&) {
    return {};
  }
  const std::optional<double> own = judge.test_accuracy();
  if (!best || (own && *own >= *best)) return {};
  return judge.source +
         (own ? formatted(" is right about %.2f %% of MNIST's test images", 100 * *own)
              : " does not say how often it is right about MNIST's test images") +
         ", and the judge that comes with the program about " + formatted("%.2f %%", 100 * *best) +
         ": leave out --judge for figures that are worth more";
}

void measure_by_judge(eval::SampleSource& source, std::uint64_t seed, const eval::Comparison& beside,
                      const UsedJudge& used, EvalReport& report) {
  const Dataset& data = beside.data;
  const std::uint64_t count = eval::judged_images(beside.samples, data);
  eval::Judge& judge = *used.judge;
  eval::ShuffledSource test(data.test());
  eval::ShuffledSource train(data.train());
  eval::NoiseSource noise(data.train().pixels(), seed, count);
  const eval::Judged real = beside.judged(test, judge);
  const auto beside_real = [&](eval::SampleSource& other) {
    return eval::scores(beside.judged(other, judge), real, beside.device, beside.ranks);
  };
  const eval::JudgedScores found = beside_real(source);
  const eval::JudgedScores floor = beside_real(train);
  const eval::JudgedScores ceiling = beside_real(noise);
  const auto add = [&](const char* name, const char* pattern, auto&& value) {
    report.add(name, formatted(pattern, value(found)),
               "training images " + formatted(pattern, value(floor)) + ", noise " + formatted(pattern, value(ceiling)));
  };
  const std::optional<double> stored = used.file.test_accuracy();
  report.add("by a classifier of MNIST", std::to_string(count) + " images",
             "of each kind, beside test images; weights " + used.file.digest.substr(0, 8) + "…" +
                 (stored ? formatted(", accuracy on MNIST %.4f", *stored) : "") +
                 (used.right ? ", on these test images " + percent(*used.right) : ""));
  add("  classifier-FD", "%.3f", [](const eval::JudgedScores& s) { return s.frechet; });
  report.add("  KID", formatted("%.4f ± %.4f", found.kernel.mean, found.kernel.standard_error),
             "training images " + formatted("%.4f ± %.4f", floor.kernel.mean, floor.kernel.standard_error) +
                 ", noise " + formatted("%.4f ± %.4f", ceiling.kernel.mean, ceiling.kernel.standard_error));
  add("  precision", "%.3f", [](const eval::JudgedScores& s) { return s.cover.precision; });
  add("  recall", "%.3f", [](const eval::JudgedScores& s) { return s.cover.recall; });
  add("  density", "%.3f", [](const eval::JudgedScores& s) { return s.cover.density; });
  add("  coverage", "%.3f", [](const eval::JudgedScores& s) { return s.cover.coverage; });
  add("  MNIST inception score", "%.2f", [](const eval::JudgedScores& s) { return s.inception; });
  add("  KL of classes from real", "%.4f", [](const eval::JudgedScores& s) { return s.divergence; });
  std::string shares;
  for (const std::uint64_t n : found.histogram)
    shares +=
        (shares.empty() ? "" : " ") + formatted("%.1f", 100 * static_cast<double>(n) / static_cast<double>(count));
  report.add("  share of 0, 1 … 9", "", shares + " %");
  // An infinity has no number in JSON: null.
  report.json["metrics"]["judge"] = {{"weights", used.file.digest},
                                     {"recipe", used.file.file.metadata},
                                     {"test_accuracy", used.right ? json_of(*used.right) : Json(nullptr)},
                                     {"count", count},
                                     {"samples", json_of(found)},
                                     {"training_images", json_of(floor)},
                                     {"noise", json_of(ceiling)}};
}

void measure_modes(eval::SampleSource& source, std::uint64_t seed, int channels, const eval::Comparison& beside,
                   const UsedJudge& used, EvalReport& report) {
  const ImageSet& train = beside.data.train();
  const std::uint64_t count = beside.samples;
  eval::StackedSource real(train, channels, count);
  eval::NoiseSource noise(train.pixels() * channels, seed, count);
  const eval::Modes found = eval::modes(source, count, channels, *used.judge, beside.ranks);
  const eval::Modes floor = eval::modes(real, count, channels, *used.judge, beside.ranks);
  const eval::Modes ceiling = eval::modes(noise, count, channels, *used.judge, beside.ranks);
  report.add("modes", std::to_string(found.found) + " of " + std::to_string(found.possible),
             "in " + std::to_string(count) + " samples; in as many stacks of training images " +
                 std::to_string(floor.found) + ", of noise " + std::to_string(ceiling.found));
  report.add("  KL from all alike", formatted("%.4f", found.divergence),
             formatted("training images %.4f, noise %.4f", floor.divergence, ceiling.divergence) +
                 "; by a classifier of MNIST, weights " + used.file.digest.substr(0, 8) + "…");
  const auto json = [&](const eval::Modes& modes) -> Json {
    return {{"found", modes.found}, {"possible", modes.possible}, {"kl", modes.divergence}, {"count", count}};
  };
  report.json["metrics"]["modes"] = {{"weights", used.file.digest},
                                     {"samples", json(found)},
                                     {"training_images", json(floor)},
                                     {"noise", json(ceiling)}};
}

}  // namespace ganymede::cli
