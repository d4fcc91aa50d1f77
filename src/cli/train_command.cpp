// `ganymede train`
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <iomanip>
#include <map>
#include <optional>
#include <sstream>

#include "cli/commands.hpp"
#include "cli/train_arguments.hpp"
#include "core/numbers.hpp"
#include "ganymede/error.hpp"
#include "ganymede/options.hpp"
#include "ganymede/trainer.hpp"
#include "report/output.hpp"
#include "report/progress.hpp"
#include "report/run_folder.hpp"
#include "train/stop.hpp"

namespace ganymede::cli {
namespace {

std::string plan_text(const TrainPlan& plan, const std::string& recipe, const std::string& changed,
                      const std::string& out) {
  std::ostringstream text;
  const auto row = [&](const std::string& name, const std::string& value) {
    text << std::left << std::setw(14) << name << value << '\n';
  };
  row("recipe", recipe);
  for (const auto& [name, value] : plan.rows) row(name, value);
  if (!changed.empty()) row("changed", changed);
  row("run", out);
  text << '\n';
  return text.str();
}

std::string memory_text(const TrainPlan& plan) {
  std::ostringstream text;
  const auto row = [&](std::size_t bytes, const std::string& what) {
    text << "  " << std::setw(10) << bytes_text(static_cast<double>(bytes)) << "  " << what << '\n';
  };
  text << "memory of rank 0, planned:\n";
  std::size_t total = 0;
  for (const auto& [what, bytes] : plan.memory) {
    total += bytes;
    row(bytes, what);
  }
  row(total, "in all");
  text << '\n';
  return text.str();
}

// "log-every 5 → 2, keep 3 → 1": what differs from the options that the run was started with last, besides those that
// its trajectory depends on, of which the plan says it; empty where nothing does, or the run is new.
std::string changed_options(const TrainOptions& options) {
  const std::filesystem::path config = RunFolder(options.out).config();
  std::error_code error;
  if (!options.resume || !std::filesystem::exists(config, error)) return {};
  std::map<std::string, std::string> before;
  try {
    before = read_stored_configuration(config).options;
  } catch (const Error&) {
    return {};  // it is written anew, and nothing else depends on it
  }
  const std::map<std::string, std::string> compared = trajectory_options(options);
  std::string changed;
  for (const auto& [name, value] : stored_options(options)) {
    const auto then = before.find(name);
    // --data may be named from another folder; the images themselves are compared.
    if (then == before.end() || then->second == value || compared.contains(name) || name == "data") continue;
    changed += (changed.empty() ? "" : ", ") + name + " " + then->second + " → " + value;
  }
  return changed;
}

// `begun` at a step that was the last already: nothing was trained.
std::string end_text(const TrainOutcome& outcome, std::uint64_t begun, const std::string& out, bool with_memory) {
  const std::string steps = std::to_string(outcome.steps);
  std::string text = outcome.interrupted
                         ? "stopped at step " + steps +
                               " with a complete checkpoint; to go on, on any number of ranks: ganymede train --out " +
                               out + " --resume\n"
                         : (begun == outcome.steps ? "there was nothing left to train (give more with --epochs or "
                                                     "--steps): "
                                                   : "done: ") +
                               steps + (outcome.steps == 1 ? " step" : " steps") + "; pictures in " + out +
                               "/samples, the last is " + outcome.picture.string() + "\n";
  if (with_memory)
    text += "memory of the rank with most, measured: " + bytes_text(static_cast<double>(outcome.memory)) + "\n";
  if (!outcome.report.empty()) text += "report in " + outcome.report.string() + "\n";
  return text;
}

int run(const Parsed& parsed, Communicator& ranks) {
  const ResolvedOptions resolved = resolve_train_options(parsed, ranks);
  const std::string& out = resolved.options.out;
  const bool with_memory = parsed.on("memory-report");
  std::string changed;
  on_root(ranks, [&] { changed = changed_options(resolved.options); });
  const auto begin_text = [&](const TrainPlan& plan) {
    return plan_text(plan, resolved.recipe, changed, out) + (with_memory ? memory_text(plan) : "");
  };
  const auto remark = [](const char* kind, const std::string& text) {
    return "ganymede: " + std::string(kind) + ": " + text + "\n";
  };
  if (parsed.on("dry-run")) {
    const TrainPlan plan = plan_training(resolved.options, ranks);
    if (ranks.is_root()) {
      std::fputs(begin_text(plan).c_str(), stdout);
      for (const std::string& note : resolved.notes) std::fputs(remark("note", note).c_str(), stderr);
      for (const std::string& warning : plan.warnings) std::fputs(remark("warning", warning).c_str(), stderr);
      std::printf("dry run: all checks passed, nothing was written\n");
    }
    return 0;
  }

  Output output(STDOUT_FILENO, STDERR_FILENO);
  std::optional<Progress> progress;
  std::uint64_t begun = 0;
  TrainEvents events;
  events.planned = [&](const TrainPlan& plan) {
    output.print(begin_text(plan));
    for (const std::string& note : resolved.notes) output.complain(remark("note", note));
    progress.emplace(output, plan.steps, plan.epochs);
    begun = plan.first_step;
  };
  events.progressed = [&](const MetricsRecord& record, double seconds_left, bool last) {
    progress->show(record, seconds_left, last);
  };
  events.warned = [&](const std::string& message) {
    if (progress) progress->finish();
    output.complain(remark("warning", message));
  };
  events.troubled = [&](bool present) { progress->trouble(present); };
  stop_on_signals();
  // Who was told to stop does not wait for a reader.
  bool interrupted = false;
  const auto finish = [&] {
    if (progress) progress->finish();
    output.finish([&] { return interrupted || stop_requested(); });
  };
  TrainOutcome outcome;
  try {
    outcome = train(resolved.options, ranks, events, resolved.recipe);
  } catch (...) {
    finish();
    throw;
  }
  interrupted = outcome.interrupted;
  if (ranks.is_root()) {
    if (progress) progress->finish();
    output.print(end_text(outcome, begun, out, with_memory));
    finish();
  }
  return static_cast<int>(interrupted ? ExitCode::interrupted : ExitCode::done);
}

}  // namespace

Command train_command() {
  CommandSyntax syntax{"train", "Trains a GAN: the same command line alone, under mpirun and under srun.", "",
                       train_arguments()};
  syntax.arguments.push_back({"dry-run", "", "resolve and check everything, print it, write nothing", "Output"});
  syntax.arguments.push_back({"memory-report", "",
                              "say what the memory is for, before the first step, and how much it was at the end",
                              "Output"});
  return {syntax, run, true, true,
          "Complete checkpoints stand, where there are any, and --resume goes on from the newest"};
}

}  // namespace ganymede::cli
