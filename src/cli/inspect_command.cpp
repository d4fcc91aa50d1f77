// `ganymede inspect`
#include <cstdio>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.hpp"
#include "cli/commands.hpp"
#include "cli/saved_run.hpp"
#include "ganymede/error.hpp"

namespace ganymede::cli {
namespace {

std::size_t parameters(const TensorFile& file) {
  std::size_t count = 0;
  for (const Tensor& t : file.tensors) count += t.values.size();
  return count;
}

void print_json(const SavedRun& saved, const std::vector<CheckpointState>& checkpoints) {
  nlohmann::ordered_json json;
  json["kind"] = kind_text(saved.kind);
  json["source"] = saved.source.string();
  json["step"] = saved.step;
  json["images_seen"] = saved.images_seen;
  json["options"] = saved.options;
  for (const auto& [name, value] : saved.facts.entries()) json[name] = value;
  for (const auto& [name, file] : saved.files) {
    nlohmann::ordered_json& entry = json["files"][name];
    entry["digest"] = file.weights_digest();
    entry["values"] = parameters(file);
    for (const Tensor& t : file.tensors) entry["tensors"][t.name] = t.shape;
  }
  json["refused"] = saved.refused;
  json["checkpoints"] = nlohmann::ordered_json::array();
  for (const CheckpointState& state : checkpoints) {
    nlohmann::ordered_json entry = {{"folder", state.folder.string()}, {"step", state.step}};
    entry["images_seen"] = state.refused.empty() ? nlohmann::ordered_json(state.images_seen) : nullptr;
    entry["refused"] = state.refused.empty() ? nullptr : nlohmann::ordered_json(state.refused);
    json["checkpoints"].push_back(entry);
  }
  // File names may hold bytes that are no UTF-8, which JSON cannot.
  std::printf("%s\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

void print_table(const SavedRun& saved, const std::vector<CheckpointState>& checkpoints) {
  std::printf("%-30s%s\n", kind_text(saved.kind), saved.source.c_str());
  std::printf("%-30s%llu\n", "step", static_cast<unsigned long long>(saved.step));
  std::printf("%-30s%llu\n", "images seen", static_cast<unsigned long long>(saved.images_seen));
  for (const auto& [name, value] : saved.facts.entries()) std::printf("%-30s%s\n", name.c_str(), value.c_str());
  std::printf("\noptions that determine the trajectory\n");
  for (const auto& [name, value] : saved.options) std::printf("  %-28s%s\n", name.c_str(), value.c_str());
  std::printf("\nweights (digest: XXH3-128 of the values)\n");
  for (const auto& [name, file] : saved.files)
    std::printf("  %-28s%s  %zu values\n", name.c_str(), file.weights_digest().c_str(), parameters(file));
  if (!checkpoints.empty()) std::printf("\ncheckpoints\n");
  for (const CheckpointState& state : checkpoints) {
    const std::string seen = std::to_string(state.images_seen) + " images seen";
    std::printf("  %-28s%s\n", state.folder.filename().c_str(),
                state.refused.empty() ? seen.c_str() : ("cannot be used: " + state.refused).c_str());
  }
}

// A weights file or a checkpoint has none of its own. That a run's cannot be listed was said when it was read.
std::vector<CheckpointState> checkpoints_of(const std::filesystem::path& place) {
  if (!std::filesystem::is_directory(place)) return {};
  try {
    return check_checkpoints(place);
  } catch (const Error&) {
    return {};
  }
}

int run(const Parsed& parsed, Communicator& ranks) {
  on_root(ranks, [&] {
    const std::filesystem::path place = parsed.positional[0];
    const SavedRun saved = read_saved_run(place);
    warn_of_refused(saved);
    const std::vector<CheckpointState> checkpoints = checkpoints_of(place);
    if (parsed.on("json"))
      print_json(saved, checkpoints);
    else
      print_table(saved, checkpoints);
  });
  return 0;
}

}  // namespace

Command inspect_command() {
  return {{"inspect",
           "Says what is in a run, a checkpoint or a weights file, and which of a run's checkpoints are sound.",
           "RUN",
           {{"json", "", "as JSON", "Options"}}},
          run};
}

}  // namespace ganymede::cli
