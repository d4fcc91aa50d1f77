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

bool is_checkpoint(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / "manifest.json", error);
}

constexpr std::uint64_t most_side = 1024;
constexpr std::uint64_t most_classes = 256;

SavedRun from_checkpoint(const fs::path& folder, Checkpoint checkpoint) {
  SavedRun run;
  run.kind = "checkpoint";
  run.source = folder;
  run.step = checkpoint.step;
  run.images_seen = checkpoint.images_seen;
  run.options = std::move(checkpoint.options);
  run.facts = {{"data-digest", checkpoint.data_digest},
               {"arithmetic", checkpoint.arithmetic},
               {"written-by", checkpoint.program}};
  run.files = std::move(checkpoint.files);
  if (const auto generator = run.files.find("generator"); generator != run.files.end())
    for (const auto& fact : generator->second.metadata) run.facts.insert(fact);
  return run;
}

// Takes options, step and facts from a weights file's metadata.
void describe(SavedRun& run, const TensorFile& file) {
  std::optional<std::uint64_t> seen;
  for (const auto& [name, value] : file.metadata) {
    // `steps` in a weights file says how many were made; as an option it determines no trajectory.
    if (name == "steps")
      run.step = leading_number(value);
    else if (name == "images-seen")
      seen = leading_number(value);
    else if (find_train_option(name) != nullptr)
      run.options[name] = value;
    else if (name != "network" && name != "format")
      run.facts[name] = value;
  }
  if (run.options.empty()) return;
  const TrainOptions options = saved_options(run);
  // Files of earlier versions do not say it; these are right where the batch was never changed.
  run.images_seen = seen.value_or(images_seen(options, {}, run.step));
}

// What the final weights of both networks have to say alike.
std::map<std::string, std::string> of_both(const TensorFile& file) {
  std::map<std::string, std::string> metadata = file.metadata;
  metadata.erase("network");
  return metadata;
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
  run.kind = "finished run";
  run.source = place;
  TensorFile& generator = run.files["generator"] = TensorFile::read(folder.generator());
  TensorFile& discriminator = run.files["discriminator"] = TensorFile::read(folder.discriminator());
  if (of_both(generator) != of_both(discriminator)) {
    const auto step = [](const TensorFile& file) {
      const auto found = file.metadata.find("steps");
      return found == file.metadata.end() ? std::string("an unknown step") : "step " + found->second;
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

SavedRun read_saved_run(const fs::path& place) {
  std::error_code error;
  if (!fs::exists(place, error))
    throw Error(ExitCode::data,
                place.string() + " does not exist: name a run's folder, a checkpoint or a .safetensors file");
  if (!fs::is_directory(place)) {
    SavedRun run;
    run.kind = "weights file";
    run.source = place;
    TensorFile file = TensorFile::read(place);
    const auto network = file.metadata.find("network");
    if (network != file.metadata.end() && network->second == "judge")
      throw Error(ExitCode::data,
                  place.string() + " holds a judge of digits and no network of a GAN: `ganymede judge --check --out " +
                      place.string() + "` looks at it, and `ganymede eval --judge` uses it");
    describe(run, file);
    run.files[network == file.metadata.end() ? place.stem().string() : network->second] = std::move(file);
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
  const std::string source = run.source.string();
  const auto stated = [&](const char* name, std::uint64_t least, std::uint64_t most) -> std::optional<int> {
    const auto found = run.facts.find(name);
    if (found == run.facts.end()) return std::nullopt;
    const std::uint64_t value = leading_number(found->second);
    if (value < least || value > most)
      throw Error(ExitCode::data, source + ": " + name + " is '" + found->second + "', not a whole number from " +
                                      std::to_string(least) + " to " + std::to_string(most));
    return static_cast<int>(value);
  };
  const int classes = stated("classes", 0, most_classes).value_or(0);
  std::optional<int> side = stated("image-side", 1, most_side);
  // Files of before, whose networks were all fully connected.
  if (!side) side = side_of_last_layer(run);
  const int channels = stated("image-channels", 1, 3).value_or(1);
  return {{*side, *side, channels}, classes};
}

}  // namespace ganymede::cli
