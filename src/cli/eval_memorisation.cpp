// See eval_memorisation.hpp.
#include "cli/eval_memorisation.hpp"

#include <algorithm>

#include "cli/eval_classes.hpp"
#include "core/numbers.hpp"
#include "gan/gan.hpp"
#include "ganymede/error.hpp"
#include "report/image_grid.hpp"

namespace ganymede::cli {
namespace {

constexpr int pairs_shown = 32;
constexpr int pairs_in_a_row = 8;
// What is more than a healthy GAN has.
constexpr double telling_auc = 0.55;

/// D's outputs for a set's images, as it is in evaluation. Collective.
std::vector<double> scores(Network& d, const ImageSet& set, Device& device, Communicator& ranks) {
  eval::ImageSetSource source(set);
  std::vector<double> result(set.count);
  Tape tape = d.make_tape(eval::most_block_images, false);
  DeviceArray<float> x(device,
                       static_cast<std::size_t>(eval::most_block_images) * static_cast<std::size_t>(d.inputs()));
  DeviceArray<std::uint8_t> labels(device, eval::most_block_images);
  DeviceArray<float> y(device, eval::most_block_images);
  std::vector<float> values;
  std::vector<float> outputs(eval::most_block_images);
  eval::for_own_blocks(source, set.count, ranks, [&](const eval::SampleBlock& block) {
    values.clear();
    for (const std::uint8_t pixel : block.images) values.push_back(static_cast<float>(pixel) / 255.0F);
    device.upload(x.data(), values.data(), values.size() * sizeof(float));
    if (!block.labels.empty()) {
      device.upload(labels.data(), block.labels.data(), block.labels.size());
      tape.set_labels(labels.data());
    }
    d.evaluate({1, block.count, {0, block.count}}, d.parameter_array(), x.data(), tape, y.data());
    device.download(outputs.data(), y.data(), static_cast<std::size_t>(block.count) * sizeof(float));
    for (std::size_t i = 0; i < static_cast<std::size_t>(block.count); ++i) result[block.first + i] = outputs[i];
  });
  ranks.all_sum(std::span(result));  // each is one rank's, the others have 0
  return result;
}

void draw_pairs(const eval::Memorisation& found, eval::SampleSource& source, const ImageSet& training,
                std::uint64_t step, const PairsPicture& picture) {
  const auto pixels = static_cast<std::size_t>(training.pixels());
  std::vector<float> images;
  std::vector<std::uint8_t> sample(pixels);
  for (const eval::NearestPair& pair : found.closest) {
    source.read(pair.sample, 1, sample.data(), nullptr);
    for (const std::uint8_t value : sample) images.push_back(static_cast<float>(value) / 255.0F);
    for (const std::uint8_t value : training.images.subspan(pair.training_image * pixels, pixels))
      images.push_back(static_cast<float>(value) / 255.0F);
  }
  write_png_grid(picture.file, images, static_cast<int>(2 * found.closest.size()), {training.height, training.width, 1},
                 2 * pairs_in_a_row,
                 {{"step", std::to_string(step)},
                  {"seed", std::to_string(picture.seed)},
                  {"title",
                   "samples, each with the training image that is nearest to it; first those that it is much nearer to "
                   "than to any other"}});
}

bool tells(const eval::AreaUnderCurve& auc) { return auc.value - 2 * auc.standard_error > telling_auc; }

}  // namespace

std::string memorisation_verdict(const eval::Memorisation& found, bool enough_for_membership, bool membership_told) {
  if (found.copies()) return "samples copy training images: look at the pairs";
  if (!found.no_copies()) return "too few samples that differ to tell whether they are copies: look at the pairs";
  if (!enough_for_membership)
    return "samples are no copies; too few images to tell whether one can know from this GAN which it was trained on";
  if (membership_told)
    return "samples are no copies, but one can tell from this GAN, to a degree, which images it was trained on";
  return "no sign that training images were learnt by heart";
}

std::string memorisation_obstacle(const SavedGenerator& saved, const Dataset& data) {
  const std::string& digest = saved.shape.classes > 0 ? data.labelled_digest() : data.digest();
  if (!saved.data_digest.empty() && saved.data_digest != digest)
    return "needs the images that the run was trained on, and these are others: name its --data";
  if (std::min(data.train().count, data.test().count) < eval::least_held_out)
    return "needs at least " + std::to_string(eval::least_held_out) + " training and as many test images to tell";
  return {};
}

void measure_memorisation(const SavedGenerator& saved, eval::SampleSource& source, const eval::Comparison& beside,
                          const PairsPicture& picture, EvalReport& report) {
  const Dataset& data = beside.data;
  Device& device = beside.device;
  Communicator& ranks = beside.ranks;
  const eval::Memorisation found =
      eval::memorisation(source, beside.samples, data.train(), data.test(), pairs_shown, device, ranks);
  report.add("memorisation, near copies",
             formatted("%.2f ± %.2f %%", 100 * found.near_copies, 100 * found.near_copies_error()),
             "1 % is ideal: samples nearer to one training image, beside the second nearest, than 99 % of the test "
             "images; they count as " +
                 formatted("%.0f independent ones", found.independent));
  report.add(
      "  distance ratio", formatted("%.3f", found.ratio()),
      "1 is ideal, less is copying or simpler images; from samples to the nearest training image " +
          formatted("%.2f, from test images %.2f (medians)", found.samples_to_training, found.held_out_to_training));
  nlohmann::ordered_json& json = report.json["metrics"]["memorisation"];
  json = {{"near_copies", found.near_copies},
          {"near_copies_standard_error", found.near_copies_error()},
          {"independent_samples", found.independent},
          {"distance_ratio", found.ratio()},
          {"samples_to_training", found.samples_to_training},
          {"test_to_training", found.held_out_to_training},
          {"membership_auc_by_distance", nullptr},
          {"membership_auc_by_distance_standard_error", nullptr},
          {"membership_auc_by_discriminator", nullptr},
          {"membership_auc_by_discriminator_standard_error", nullptr}};
  const bool enough = std::min(data.train().count, data.test().count) >= eval::least_for_membership;
  bool told = false;
  const auto add_membership = [&](const std::string& by, const eval::AreaUnderCurve& auc, const std::string& remark) {
    told = told || tells(auc);
    report.add("  membership by " + std::string(by == "discriminator" ? "D" : by),
               formatted("AUC %.3f ± %.3f", auc.value, auc.standard_error),
               ".5 is ideal: how well " + remark + " tells training from test images");
    json["membership_auc_by_" + by] = auc.value;
    json["membership_auc_by_" + by + "_standard_error"] = auc.standard_error;
  };
  if (!enough)
    report.add("  membership", "none",
               "too few images to tell: needs at least " + std::to_string(eval::least_for_membership) +
                   " training and as many test images");
  if (enough) add_membership("distance", found.by_distance, "nearness to a sample");
  const std::string unlabelled = saved.shape.classes > 0 ? test_labels_obstacle(data) : "";
  if (enough && saved.discriminator && !unlabelled.empty()) report.add("  membership by D", "none", unlabelled);
  if (enough && saved.discriminator && unlabelled.empty()) {
    Network d = make_discriminator(saved.options, saved.shape, device);
    together(ranks, [&] { d.load(*saved.discriminator, saved.source); });
    add_membership(
        "discriminator",
        eval::area_under_curve(scores(d, data.train(), device, ranks), scores(d, data.test(), device, ranks)),
        "D's output");
  }
  const std::string words = memorisation_verdict(found, enough, told);
  report.add("  in words", "", words);
  json["verdict"] = words;
  on_root(ranks, [&] {
    if (picture.file.empty()) return;
    draw_pairs(found, source, data.train(), saved.step, picture);
    report.add("  closest pairs", "", picture.file.string());
  });
}

}  // namespace ganymede::cli
