// Training options as runs and their weights keep them, and what of them may differ when a run is resumed.
#include "core/names.hpp"
#include "ganymede/options.hpp"
#include "nn/optimizer.hpp"

namespace ganymede {

std::vector<std::string> given_gpu_options(const TrainOptions& o) {
  const TrainOptions defaults;
  std::vector<std::string> given;
  for (const OptionSpec& s : train_option_specs())
    if (s.role == OptionRole::gpu && s.get(o) != s.get(defaults)) given.emplace_back(s.name);
  return given;
}

std::map<std::string, std::string> stored_options(const TrainOptions& options) {
  std::map<std::string, std::string> result;
  for (const OptionSpec& s : train_option_specs())
    if (s.stored()) result[s.name] = s.get(options);
  return result;
}

std::map<std::string, std::string> trajectory_options(const TrainOptions& options) {
  std::map<std::string, std::string> result;
  for (const OptionSpec& s : train_option_specs())
    if (s.trajectory()) result[s.name] = s.get(options);
  // Shards exist with --reproducible alone, and a folder's name says nothing about the images in it: those
  // are compared by their digest.
  if (!options.reproducible) result.erase("shards");
  result.erase("data");
  if (options.init_from.empty()) result.erase("init-from");
  // How long a training is matters where its learning rate or its noise depends on that, and how these fall where they
  // do.
  const bool falling_rate = schedule_falls(options.schedule);
  const bool noise = options.instance_noise > 0;
  if (!falling_rate) {
    result.erase("schedule-start");
    result.erase("schedule-end");
  }
  if (!noise) result.erase("instance-noise-end");
  if (falling_rate || noise) {
    const OptionSpec& length = *find_train_option(options.steps > 0 ? "steps" : "epochs");
    result[length.name] = length.get(options);
  }
  return result;
}

std::string why_not_changeable(const std::string& name) {
  const OptionSpec* spec = find_train_option(name);
  if (spec == nullptr) {
    std::vector<std::string> names;
    for (const OptionSpec& s : train_option_specs())
      if (s.trajectory()) names.emplace_back(s.name);
    const std::string near = nearest_name(name, names);
    return "there is no such option" + (near.empty() ? "" : "; did you mean '" + near + "'?");
  }
  if (spec->role == OptionRole::tensors) return "a checkpoint's tensors would not fit; train anew into another folder";
  if (name == "init-from") return "the run has begun, and goes on from the weights of its checkpoint";
  // How long a training is matters to some trajectories.
  if (!spec->trajectory() && name != "steps" && name != "epochs")
    return "no trajectory depends on it, and it may differ without";
  return {};
}

std::string config_text(const TrainOptions& options, const std::string& recipe) {
  std::string text = "# Every option of this run, resolved" +
                     (recipe.empty() ? std::string() : " (recipe: " + recipe + ")") +
                     ". To repeat it: ganymede train --config THIS_FILE --out OTHER\n";
  const char* group = "";
  for (const OptionSpec& s : train_option_specs()) {
    if (!s.stored()) continue;
    if (std::string(group) != s.group) text += std::string("\n# ") + s.group + "\n";
    group = s.group;
    text += std::string("# ") + s.help + "\n" + s.name + " = " + s.get(options) + "\n";
  }
  return text;
}

}  // namespace ganymede
