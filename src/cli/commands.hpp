// The commands, one file each.
#pragma once

#include <string>
#include <vector>

#include "cli/arguments.hpp"
#include "ganymede/communicator.hpp"

namespace ganymede::cli {

struct Command {
  CommandSyntax syntax;
  /// Runs on every rank; returns the exit code. Throws Error.
  int (*run)(const Parsed& parsed, Communicator& ranks) = nullptr;
  /// Says of itself which stage it is in.
  bool has_stages = false;
  /// What it prints may be lost: what it is for is in a file.
  bool prints_aside = false;
  /// What the watchdog adds to its diagnosis; by its ending launch/mpirun knows whose sentence it is.
  const char* consolation = "Its last file may be missing, or in a pipe cut short: start it again";
};

Command train_command();
Command sample_command();
Command eval_command();
Command latent_command();
Command report_command();
Command metrics_command();
Command judge_command();
Command export_command();
Command inspect_command();
Command recipes_command();
Command doctor_command();
Command bench_command();

/// All of them, in the order of the help.
std::vector<Command> commands();

/// What `ganymede --help` prints.
std::string general_help();

}  // namespace ganymede::cli
