// `ganymede train`
#include <cstdio>
#include <optional>

#include "cli/commands.hpp"
#include "cli/train_arguments.hpp"
#include "core/numbers.hpp"
#include "ganymede/trainer.hpp"
#include "report/progress.hpp"

namespace ganymede::cli {
namespace {

void print_plan(const TrainPlan& plan, const std::string& recipe, const std::string& out) {
  std::printf("%-14s%s\n", "recipe", recipe.c_str());
  for (const auto& [name, value] : plan.rows) std::printf("%-14s%s\n", name.c_str(), value.c_str());
  std::printf("%-14s%s\n\n", "run", out.c_str());
}

void print_memory(const TrainPlan& plan) {
  std::size_t total = 0;
  std::printf("memory of rank 0, planned:\n");
  for (const auto& [what, bytes] : plan.memory) {
    total += bytes;
    std::printf("  %10s  %s\n", bytes_text(static_cast<double>(bytes)).c_str(), what.c_str());
  }
  std::printf("  %10s  in all\n\n", bytes_text(static_cast<double>(total)).c_str());
}

int run(const Parsed& parsed, Communicator& ranks) {
  const ResolvedOptions resolved = resolve_train_options(parsed, ranks);
  const std::string& out = resolved.options.out;
  const auto say_notes = [&] {
    for (const std::string& note : resolved.notes) std::fprintf(stderr, "ganymede: note: %s\n", note.c_str());
  };
  if (parsed.on("dry-run")) {
    const TrainPlan plan = plan_training(resolved.options, ranks);
    if (ranks.is_root()) {
      print_plan(plan, resolved.recipe, out);
      if (parsed.on("memory-report")) print_memory(plan);
      say_notes();
      for (const std::string& warning : plan.warnings) std::fprintf(stderr, "ganymede: warning: %s\n", warning.c_str());
      std::printf("dry run: all checks passed, nothing was written\n");
    }
    return 0;
  }

  std::optional<Progress> progress;
  TrainEvents events;
  events.planned = [&](const TrainPlan& plan) {
    print_plan(plan, resolved.recipe, out);
    if (parsed.on("memory-report")) print_memory(plan);
    std::fflush(stdout);
    say_notes();
    progress.emplace(stdout, plan.steps, plan.epochs);
  };
  events.progressed = [&](const MetricsRecord& record, double seconds_left, bool last) {
    progress->show(record, seconds_left, last);
  };
  events.warned = [&](const std::string& message) {
    if (progress) progress->finish();
    std::fprintf(stderr, "ganymede: warning: %s\n", message.c_str());
  };
  events.troubled = [&](bool present) { progress->trouble(present); };
  stop_on_signals();
  TrainOutcome outcome;
  try {
    outcome = train(resolved.options, ranks, events, resolved.recipe);
  } catch (...) {
    if (progress) progress->finish();
    throw;
  }
  if (ranks.is_root()) {
    if (progress) progress->finish();
    if (outcome.interrupted) {
      std::printf("stopped at step %llu with a complete checkpoint; to go on: ganymede train --out %s --resume\n",
                  static_cast<unsigned long long>(outcome.steps), out.c_str());
    } else {
      std::printf("done: %llu %s; pictures in %s/samples, the last is %s\n",
                  static_cast<unsigned long long>(outcome.steps), outcome.steps == 1 ? "step" : "steps", out.c_str(),
                  outcome.picture.c_str());
    }
    if (parsed.on("memory-report"))
      std::printf("memory of the rank with most, measured: %s\n",
                  bytes_text(static_cast<double>(outcome.memory)).c_str());
    if (!outcome.report.empty()) std::printf("report in %s\n", outcome.report.c_str());
    std::fflush(stdout);
  }
  return static_cast<int>(outcome.interrupted ? ExitCode::interrupted : ExitCode::done);
}

}  // namespace

Command train_command() {
  CommandSyntax syntax{"train", "Trains a GAN: the same command line alone, under mpirun and under srun.", "",
                       train_arguments()};
  syntax.arguments.push_back({"dry-run", "", "resolve and check everything, print it, write nothing", "Output"});
  syntax.arguments.push_back({"memory-report", "",
                              "say what the memory is for, before the first step, and how much it was at the end",
                              "Output"});
  return {syntax, run};
}

}  // namespace ganymede::cli
