// See eval_classes.hpp.
#include "cli/eval_classes.hpp"

#include <algorithm>

#include "core/numbers.hpp"
#include "eval/gan_train.hpp"

namespace ganymede::cli {

std::string test_labels_obstacle(const Dataset& data) {
  return data.test().labels.empty() ? "needs the labels of test images, and " + data.folder() + " has none" : "";
}

std::string classes_obstacle(const SavedGenerator& saved, const Dataset& data) {
  if (saved.shape.classes == 0)
    return "needs a class-conditional run, whose samples have labels: this G knows no classes";
  if (std::string missing = test_labels_obstacle(data); !missing.empty()) return missing;
  const int real = std::max(data.train().classes(), data.test().classes());
  if (saved.shape.classes != real)
    return "needs images of the run's classes, and it knows " + std::to_string(saved.shape.classes) + " where " +
           data.name() + " has " + std::to_string(real);
  return {};
}

namespace {

// Who has learnt nothing is right about so many, whether from noise or about it.
double chance(const Dataset& data) { return 1.0 / data.test().classes(); }
std::string by_chance(const Dataset& data) { return formatted("; by chance %.0f %%", 100 * chance(data)); }

}  // namespace

void measure_classification(eval::SampleSource& source, const eval::Comparison& beside, EvalReport& report) {
  const eval::Share wrong = beside.classification_error(source);
  report.add("1-NN classification error", percent(wrong), "of the test images, by the nearest sample's class");
  report.json["metrics"]["1nn_error"] = json_of(wrong);
}

void measure_gan_train(eval::SampleSource& source, const eval::Comparison& beside, EvalReport& report) {
  const Dataset& data = beside.data;
  const std::uint64_t images =
      std::min({beside.samples, std::uint64_t{data.train().count}, eval::most_gan_train_images});
  eval::ShuffledSource training(data.train());
  const eval::GanTrain found =
      eval::gan_train(source, training, images, eval::gan_train_updates, data.test(), beside.device, beside.ranks);
  report.add("GAN-train accuracy", percent(found.samples),
             "on the test images, of a classifier that learnt from " + std::to_string(images) +
                 " samples; from as many training images " + percent(found.training_images) + by_chance(data));
  report.json["metrics"]["gan_train"] = {{"count", images},
                                         {"epochs", eval::gan_train_epochs(images, eval::gan_train_updates)},
                                         {"samples", json_of(found.samples)},
                                         {"training_images", json_of(found.training_images)},
                                         {"chance", chance(data)}};
}

void measure_gan_test(eval::SampleSource& source, const eval::Comparison& beside, const UsedJudge& used,
                      EvalReport& report) {
  const eval::Share found = eval::gan_test(source, beside.samples, *used.judge, beside.ranks);
  report.add("GAN-test accuracy", percent(found),
             "of a classifier of MNIST on the samples, weights " + used.file.digest.substr(0, 8) +
                 "…; on the test images " + percent(*used.right) + by_chance(beside.data));
  report.json["metrics"]["gan_test"] = {{"weights", used.file.digest},
                                        {"samples", json_of(found)},
                                        {"test_images", json_of(*used.right)},
                                        {"chance", chance(beside.data)}};
}

}  // namespace ganymede::cli
