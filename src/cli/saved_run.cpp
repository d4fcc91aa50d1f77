// See saved_run.hpp.
#include "cli/saved_run.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "checkpoint/checkpoint.hpp"
#include "core/numbers.hpp"
#include "gan/update_schedule.hpp"
#include "ganymede/error.hpp"
#include "report/run_folder.hpp"
#include "train/run_lock.hpp"

namespace ganymede::cli {
namespace {

namespace fs = std::filesystem;

SavedRun from_checkpoint(const fs::path& folder, Checkpoint checkpoint) {
  SavedRun run;
  run.kind = SavedRun::Kind::checkpoint;
  run.source = folder;
  run.step = checkpoint.step;
  run.images_seen = checkpoint.images_seen;
  run.options = std::move(checkpoint.options);
  run.files = std::move(checkpoint.files);
  WeightsFacts::Entries facts = {{"arithmetic", checkpoint.arithmetic}, {"written-by", checkpoint.program}};
  if (const auto generator = run.files.find("generator"); generator != run.files.end())
    facts.insert(generator->second.metadata.begin(), generator->second.metadata.end());
  run.facts = WeightsFacts(std::move(facts), folder.string());
  run.facts.set_data_digest(checkpoint.data_digest);
  return run;
}

// Takes options, step and facts from a weights file's metadata.
void describe(SavedRun& run, const WeightsFacts& file) {
  run.step = file.steps().value_or(0);
  WeightsFacts::Entries facts = file.of_training();
  for (const OptionSpec& spec : train_option_specs())
    if (auto option = facts.extract(spec.name)) run.options.insert(std::move(option));
  run.facts = WeightsFacts(std::move(facts), run.source.string());
  if (run.options.empty()) return;
  const TrainOptions options = saved_options(run);
  // Files of earlier versions do not say it; these are right where the batch was never changed.
  run.images_seen = file.images_seen().value_or(images_seen(options, {}, run.step));
}

// The final weights of a run that has ended. They are two files, written one after the other: where one is missing or
// they are not of one step and one training, there are none, and `refused` is told.
std::optional<SavedRun> final_weights(const fs::path& place, std::vector<std::string>& refused) {
  const RunFolder folder(place);
  std::error_code error;
  const bool has_generator = fs::exists(folder.generator(), error);
  const bool has_discriminator = fs::exists(folder.discriminator(), error);
  if (!has_generator && !has_discriminator) return std::nullopt;
  if (!has_generator || !has_discriminator) {
    const fs::path& missing = has_generator ? folder.discriminator() : folder.generator();
    const fs::path& there = has_generator ? folder.generator() : folder.discriminator();
    refused.push_back("the run's final weights are not complete: there is " + there.string() + ", but no " +
                      missing.filename().string());
    return std::nullopt;
  }
  SavedRun run;
  run.kind = SavedRun::Kind::finished_run;
  run.source = place;
  const auto read = [&](const char* network, const fs::path& file) {
    TensorFile& weights = run.files[network] = TensorFile::read(file);
    return WeightsFacts(weights.metadata, file.string());
  };
  const WeightsFacts generator = read("generator", folder.generator());
  const WeightsFacts discriminator = read("discriminator", folder.discriminator());
  const auto of_both = [](WeightsFacts facts) {
    facts.set_network({});
    return facts.entries();
  };
  if (of_both(generator) != of_both(discriminator)) {
    const auto step = [](const WeightsFacts& facts) {
      return facts.steps() ? "step " + std::to_string(*facts.steps()) : std::string("an unknown step");
    };
    refused.push_back("the run's final weights do not belong together: " + folder.generator().string() + " is of " +
                      step(generator) + ", " + folder.discriminator().filename().string() + " of " +
                      step(discriminator) + (step(generator) == step(discriminator) ? " of another training" : ""));
    return std::nullopt;
  }
  describe(run, generator);
  return run;
}

// Of the square images that a fully connected generator's last layer makes.
int side_of_last_layer(const SavedRun& run) {
  const TensorFile& generator = picture_weights(run);
  // The last layer by its number, not its place: other writers sort names, and "10.weight" is before "2.weight".
  const auto layer = [](const Tensor& tensor) { return leading_number(tensor.name); };
  const auto last = std::max_element(generator.tensors.begin(), generator.tensors.end(),
                                     [&](const Tensor& a, const Tensor& b) { return layer(a) < layer(b); });
  const std::int64_t pixels = last == generator.tensors.end() || last->shape.empty() ? 0 : last->shape.front();
  const auto side = static_cast<int>(std::lround(std::sqrt(static_cast<double>(pixels))));
  if (side < 1 || std::int64_t{side} * side != pixels)
    throw Error(ExitCode::data, run.source.string() + ": the last layer gives " + std::to_string(pixels) +
                                    " outputs, which is no square image");
  return side;
}

}  // namespace

const char* kind_text(SavedRun::Kind kind) {
  switch (kind) {
    case SavedRun::Kind::finished_run:
      return "finished run";
    case SavedRun::Kind::checkpoint:
      return "checkpoint";
    case SavedRun::Kind::weights_file:
      break;
  }
  return "weights file";
}

SavedRun read_saved_run(const fs::path& place) {
  std::error_code error;
  if (!fs::exists(place, error))
    throw Error(ExitCode::data,
                place.string() + " does not exist: name a run's folder, a checkpoint or a .safetensors file");
  if (!fs::is_directory(place)) {
    SavedRun run;
    run.source = place;
    TensorFile file = TensorFile::read(place);
    const WeightsFacts facts(file.metadata, place.string());
    const std::string network = facts.network();
    if (network == "judge")
      throw Error(ExitCode::data,
                  place.string() + " holds a judge of digits and no network of a GAN: `ganymede judge --check --out " +
                      place.string() + "` looks at it, and `ganymede eval --judge` uses it");
    describe(run, facts);
    run.files[network.empty() ? place.stem().string() : network] = std::move(file);
    return run;
  }
  if (is_checkpoint(place)) return from_checkpoint(place, read_checkpoint(place));
  std::vector<std::string> refused;
  std::optional<SavedRun> run = final_weights(place, refused);
  std::optional<FoundCheckpoint> found;
  try {
    found = newest_checkpoint(place, refused);
  } catch (const Error& failure) {
    refused.emplace_back(failure.what());
  }
  // A run that was resumed for more steps has checkpoints beyond its final weights.
  if (found && (!run || found->checkpoint.step > run->step))
    run = from_checkpoint(found->folder, std::move(found->checkpoint));
  if (!run && refused.empty()) {
    const RunFolder folder(place);
    const bool begun = fs::exists(folder.config(), error) || fs::exists(folder.metrics(), error);
    if (!begun)
      throw Error(ExitCode::data,
                  place.string() + " holds neither final weights nor a checkpoint: is it a run's folder?");
    if (!is_in_use(folder))
      throw Error(ExitCode::data,
                  place.string() + " is the folder of a training that has ended without a checkpoint" +
                      (fs::exists(folder.log(0), error) ? "; " + folder.log(0).string() + " says why" : std::string()));
    throw Error(ExitCode::data, place.string() +
                                    " is a run's folder without a checkpoint yet: wait for the first, which "
                                    "--checkpoint-every N has a training write after N steps");
  }
  if (!run) {
    std::string reasons;
    for (const std::string& why : refused) reasons += (reasons.empty() ? " " : "; ") + why;
    throw Error(ExitCode::data, place.string() + " holds nothing that can be used:" + reasons);
  }
  run->refused = std::move(refused);
  return std::move(*run);
}

std::optional<SavedRun> newest_saved_checkpoint(const fs::path& run) {
  std::vector<std::string> refused;
  std::optional<FoundCheckpoint> found = newest_checkpoint(run, refused);
  if (!found) return std::nullopt;
  return from_checkpoint(found->folder, std::move(found->checkpoint));
}

void warn_of_refused(const SavedRun& run) {
  for (const std::string& why : run.refused) std::fprintf(stderr, "ganymede: warning: %s\n", why.c_str());
}

TrainOptions saved_options(const SavedRun& run) {
  if (run.options.empty() && is_checkpoint(run.source.parent_path()))
    throw Error(ExitCode::data, run.source.string() +
                                    " is one file of a checkpoint, whose manifest says with which options it was "
                                    "trained: name the checkpoint's folder");
  if (run.options.empty())
    throw Error(
        ExitCode::data,
        run.source.string() + " does not say with which options it was trained: only weights written by ganymede do");
  TrainOptions options;
  try {
    for (const auto& [name, value] : run.options) set_train_option(options, name, value);
  } catch (const Error& failure) {
    throw Error(ExitCode::data, run.source.string() + ": " + failure.what());
  }
  return options;
}

const TensorFile& picture_weights(const SavedRun& run) {
  for (const char* name : {"generator-average", "generator"}) {
    const auto found = run.files.find(name);
    if (found != run.files.end()) return found->second;
  }
  throw Error(ExitCode::data, run.source.string() + " holds no generator");
}

DataShape saved_shape(const SavedRun& run) {
  std::optional<int> side = run.facts.image_side();
  // Files of before, whose networks were all fully connected.
  if (!side) side = side_of_last_layer(run);
  return {{*side, *side, run.facts.image_channels().value_or(1)}, run.facts.classes().value_or(0)};
}

}  // namespace ganymede::cli
