// `ganymede export`
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "cli/commands.hpp"
#include "cli/saved_run.hpp"
#include "ganymede/error.hpp"

namespace ganymede::cli {
namespace {

int run(const Parsed& parsed, Communicator& ranks) {
  on_root(ranks, [&] {
    const std::string format = parsed.get("format", "safetensors");
    if (format != "safetensors") throw Error(ExitCode::usage, "--format takes safetensors, not '" + format + "'");
    const std::string network = parsed.get("network", "generator");
    if (network != "generator" && network != "discriminator")
      throw Error(ExitCode::usage, "--network takes generator or discriminator, not '" + network + "'");
    const std::string weights = parsed.get("weights", "average");
    if (weights != "average" && weights != "raw")
      throw Error(ExitCode::usage, "--weights takes average or raw, not '" + weights + "'");
    SavedRun saved = read_saved_run(parsed.positional[0]);
    warn_of_refused(saved);
    const auto averaged_alone = [&] { return saved.kind != "checkpoint" && saved_options(saved).ema > 0; };
    if (network == "generator" && weights == "raw" && averaged_alone()) {
      // A finished run's last checkpoint has the same step and G as it was trained.
      std::optional<SavedRun> last = newest_saved_checkpoint(saved.source);
      if (last && last->step == saved.step) saved = std::move(*last);
    }
    if (network == "generator" && weights == "raw" && averaged_alone())
      throw Error(ExitCode::data,
                  saved.source.string() +
                      " holds G's average alone: name one of the run's checkpoints to export the raw weights");
    const auto found = saved.files.find(network);
    if (found == saved.files.end() && (network == "discriminator" || weights == "raw"))
      throw Error(ExitCode::data, saved.source.string() + " holds no " + network);
    TensorFile file = network == "generator" && weights == "average" ? picture_weights(saved) : found->second;
    file.metadata = saved.options;
    for (const char* name : {"data-digest"})
      if (saved.facts.contains(name)) file.metadata[name] = saved.facts.at(name);
    file.metadata["format"] = "pt";
    file.metadata["network"] = network;
    file.metadata["steps"] = std::to_string(saved.step);
    const std::string out = parsed.get("out", network + ".safetensors");
    file.write(out);
    // Not into the file itself, should that be the standard output.
    std::fprintf(std::filesystem::is_regular_file(out) ? stdout : stderr, "%s of %s (step %llu) in %s\n",
                 network.c_str(), saved.source.c_str(), static_cast<unsigned long long>(saved.step), out.c_str());
  });
  return 0;
}

}  // namespace

Command export_command() {
  return {{"export",
           "Writes the weights of a run or checkpoint to a file that other tools read.",
           "RUN",
           {{"format", "safetensors", "the file's format; PyTorch's names and layouts", "Options", "safetensors"},
            {"network", "NAME", "generator or discriminator", "Options", "generator"},
            {"weights", "NAME", "of G: average (what pictures are drawn from) or raw", "Options", "average"},
            {"out", "FILE", "the file", "Options", "NETWORK.safetensors"}}},
          run};
}

}  // namespace ganymede::cli
