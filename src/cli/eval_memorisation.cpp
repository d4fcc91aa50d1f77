// See eval_memorisation.hpp.
#include "cli/eval_memorisation.hpp"

#include <algorithm>

#include "eval/memorisation.hpp"
#include "gan/gan.hpp"
#include "ganymede/error.hpp"
#include "report/image_grid.hpp"

namespace ganymede::cli {
namespace {

constexpr int pairs_shown = 32;
constexpr int pairs_in_a_row = 8;
// From here on an AUC is more than chance and what a healthy GAN has: a verdict in words.
constexpr double telling_auc = 0.55;
constexpr double copying_ratio = 0.8;
constexpr double copying_share = 0.05;

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
                const std::filesystem::path& picture) {
  const auto pixels = static_cast<std::size_t>(training.pixels());
  std::vector<float> images;
  std::vector<std::uint8_t> sample(pixels);
  for (const eval::NearestPair& pair : found.closest) {
    source.read(pair.sample, 1, sample.data(), nullptr);
    for (const std::uint8_t value : sample) images.push_back(static_cast<float>(value) / 255.0F);
    for (const std::uint8_t value : training.images.subspan(pair.training_image * pixels, pixels))
      images.push_back(static_cast<float>(value) / 255.0F);
  }
  write_png_grid(picture, images, static_cast<int>(2 * found.closest.size()), {training.height, training.width, 1},
                 2 * pairs_in_a_row,
                 {{"title", "samples, each with the training image that is nearest to it; the closest pairs first"}});
}

std::string verdict(const eval::Memorisation& found, double greatest_auc) {
  if (found.ratio() < copying_ratio || found.near_copies > copying_share)
    return "samples copy training images: look at the pairs";
  if (greatest_auc > telling_auc)
    return "samples are no copies, but one can tell from this GAN, to a degree, which images it was trained on";
  return "no sign that training images were learnt by heart";
}

}  // namespace

std::string memorisation_obstacle(const SavedGenerator& saved, const Dataset& data) {
  const std::string& digest = saved.shape.classes > 0 ? data.labelled_digest() : data.digest();
  if (!saved.data_digest.empty() && saved.data_digest != digest)
    return "needs the images that the run was trained on, and these are others: name its --data";
  return {};
}

void measure_memorisation(const SavedGenerator& saved, eval::SampleSource& source, std::uint64_t count,
                          const Dataset& data, const std::filesystem::path& picture, Device& device,
                          Communicator& ranks, EvalReport& report) {
  const eval::Memorisation found =
      eval::memorisation(source, count, data.train(), data.test(), pairs_shown, device, ranks);
  report.add(
      "memorisation, distance ratio", format("%.3f", found.ratio()),
      "1 is ideal, far less is copying; from samples to the nearest training image " +
          format("%.2f, from test images %.2f (medians)", found.samples_to_training, found.held_out_to_training));
  report.add("  near copies", format("%.2f %%", 100 * found.near_copies),
             "of the samples are nearer to a training image than 99 % of the test images");
  report.add("  membership by distance", format("AUC %.3f", found.distance_auc),
             ".5 is ideal: how well nearness to a sample tells training from test images");
  nlohmann::ordered_json& json = report.json["metrics"]["memorisation"];
  json = {{"distance_ratio", found.ratio()},
          {"samples_to_training", found.samples_to_training},
          {"test_to_training", found.held_out_to_training},
          {"near_copies", found.near_copies},
          {"membership_auc_by_distance", found.distance_auc},
          {"membership_auc_by_discriminator", nullptr}};
  double greatest = found.distance_auc;
  if (saved.discriminator) {
    Network d = make_discriminator(saved.options, saved.shape, device);
    together(ranks, [&] { d.load(*saved.discriminator, saved.source); });
    const double auc =
        eval::area_under_curve(scores(d, data.train(), device, ranks), scores(d, data.test(), device, ranks));
    greatest = std::max(greatest, auc);
    report.add("  membership by D", format("AUC %.3f", auc),
               ".5 is ideal: how well D's output tells training from test images");
    json["membership_auc_by_discriminator"] = auc;
  }
  const std::string words = verdict(found, greatest);
  report.add("  in words", "", words);
  json["verdict"] = words;
  on_root(ranks, [&] {
    if (picture.empty()) return;
    draw_pairs(found, source, data.train(), picture);
    report.add("  closest pairs", "", picture.string());
  });
}

}  // namespace ganymede::cli
