// Reads a checkpoint for all ranks and compares it with what is asked for.
#include "train/resume.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "core/names.hpp"
#include "ganymede/error.hpp"
#include "train/shared_tensor_file.hpp"
#include "train/without_effect.hpp"

namespace ganymede {
namespace {

// The checkpoint's options as this program has them: those that it did not have when the run began are at their
// defaults, which do as it did then, as are those that did nothing. Those that it no longer has stay as they are.
std::map<std::string, std::string> options_then(const Checkpoint& checkpoint) {
  TrainOptions before;
  std::map<std::string, std::string> unknown;
  for (const auto& [name, value] : checkpoint.options)
    if (find_train_option(name) != nullptr)
      set_train_option(before, name, value);
    else
      unknown.emplace(name, value);
  reset_options_without_effect(before, {});
  std::map<std::string, std::string> then = trajectory_options(before);
  then.merge(unknown);
  return then;
}

// "r1 5 → 1" by name.
std::map<std::string, std::string> differences(const std::map<std::string, std::string>& then,
                                               const std::map<std::string, std::string>& now) {
  std::map<std::string, std::string> result;
  std::set<std::string> names;
  for (const auto* options : {&then, &now})
    for (const auto& [name, value] : *options) names.insert(name);
  const auto value = [](const std::map<std::string, std::string>& options, const std::string& name) {
    const auto found = options.find(name);
    return found == options.end() ? "(unset)" : found->second;
  };
  for (const std::string& name : names)
    if (value(then, name) != value(now, name)) result[name] = name + " " + value(then, name) + " → " + value(now, name);
  return result;
}

}  // namespace

WeightsFacts generator_facts(const FoundCheckpoint& found) {
  const auto file = found.checkpoint.files.find("generator");
  if (file == found.checkpoint.files.end()) return {};
  return WeightsFacts(file->second.metadata, (found.folder / "generator.safetensors").string());
}

std::optional<FoundCheckpoint> find_checkpoint(Communicator& ranks,
                                               const std::function<std::optional<FoundCheckpoint>()>& find) {
  std::optional<FoundCheckpoint> found;
  on_root(ranks, [&] { found = find(); });
  std::uint64_t any = found ? 1 : 0;
  ranks.broadcast(&any, sizeof any, 0);
  if (any == 0) return std::nullopt;
  if (ranks.size() == 1) return found;
  if (!found) found.emplace();
  Checkpoint& c = found->checkpoint;
  ranks.broadcast(&c.step, sizeof c.step, 0);
  ranks.broadcast(&c.images_seen, sizeof c.images_seen, 0);
  found->folder = shared_text(ranks, found->folder.string());
  c.data_digest = shared_text(ranks, c.data_digest);
  c.arithmetic = shared_text(ranks, c.arithmetic);
  c.options = shared_map(ranks, c.options);
  // One file's bytes at a time: all of them would be the networks and their moments once more.
  std::map<std::string, std::string> names;
  for (const auto& [name, file] : c.files) names[name];
  for (const auto& [name, nothing] : shared_map(ranks, names)) {
    TensorFile& file = c.files[name];
    file = shared_tensor_file(ranks, std::move(file), found->folder.string() + "/" + name);
  }
  return found;
}

TrajectoryChanges check_same_trajectory(const FoundCheckpoint& found, const TrainOptions& options,
                                        const std::string& data_digest, const std::string& data,
                                        const DataShape& shape) {
  const Checkpoint& checkpoint = found.checkpoint;
  const std::string cannot = "cannot resume " + found.folder.string() + ": ";
  const auto allowed = [&](const std::string& name) {
    return std::find(options.allow_change.begin(), options.allow_change.end(), name) != options.allow_change.end();
  };
  TrajectoryChanges changes;
  std::vector<std::string> refused;
  std::vector<std::string> could_be;
  std::vector<std::string> fixed;
  const auto different = differences(options_then(checkpoint), trajectory_options(options));
  for (const auto& [name, difference] : different) {
    (allowed(name) ? changes.made : refused).push_back(difference);
    if (!allowed(name)) (why_not_changeable(name).empty() ? could_be : fixed).push_back(name);
  }
  if (!refused.empty())
    throw Error(
        ExitCode::usage,
        cannot + "these options would change its trajectory: " + joined(refused) +
            ". Give the checkpoint's values, before the arrows" +
            (could_be.empty() ? "" : ", or where the change is meant add --allow-change " + joined(could_be, ",")) +
            (fixed.empty() ? "" : "; with another " + either(fixed) + " train anew, into another --out"));
  if (checkpoint.data_digest != data_digest) {
    // Leave to differ would lead to tensors that do not fit.
    if (const auto other = generator_facts(found).difference_from(shape))
      throw Error(ExitCode::data, cannot + "it was trained on images with " + other->name + " " +
                                      std::to_string(other->stated) + ", and those of " + data + " have " +
                                      std::to_string(other->needed) +
                                      ": give the run's own --data, or train anew, into another --out");
    if (!allowed("data"))
      throw Error(ExitCode::data, cannot + "it was trained on other images than those of " + data + " (digest " +
                                      checkpoint.data_digest + ", here " + data_digest +
                                      "); give the run's own --data, or where the change is meant add --allow-change "
                                      "data");
    changes.made.emplace_back("other images");
  }
  // No error: a job that is queued again comes with the same words when what they changed has been saved.
  for (const std::string& name : options.allow_change)
    if (!different.contains(name) && (name != "data" || checkpoint.data_digest == data_digest))
      changes.warnings.push_back("--allow-change " + name + " changes nothing: " + found.folder.filename().string() +
                                 " was trained with the same");
  return changes;
}

}  // namespace ganymede
