// From a command line to TrainOptions: built-in defaults, then the recipe, then --config, then the command
// line itself. Shared by the commands that take a training's options.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "cli/arguments.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/options.hpp"

namespace ganymede::cli {

/// The training options as arguments, with --recipe and --config in front.
std::vector<Argument> train_arguments();

struct ResolvedOptions {
  TrainOptions options;
  std::string recipe;              ///< name or file; where none was given, the configuration's file, else "gan"
  std::vector<std::string> notes;  ///< what the recipe's author wants said at the start
};

ResolvedOptions resolve_train_options(const Parsed& parsed);

/// The same of several ranks: rank 0 reads the files, and the others get its options, so that no other host needs to
/// have them. Recipe and notes are rank 0's alone. Collective; throws AgreedError.
ResolvedOptions resolve_train_options(const Parsed& parsed, Communicator& ranks);

/// Rank 0's options, on every rank. Collective.
void share_train_options(TrainOptions& options, Communicator& ranks);

/// What a run's config.ini says: every option as it stands there, those of another version of the program too.
struct StoredConfiguration {
  std::map<std::string, std::string> options;
  std::string recipe;  ///< empty: none is named
};

/// Throws Error(data).
StoredConfiguration read_stored_configuration(const std::filesystem::path& config);

/// --seed of another command, which takes what a training's does, and without it has the same.
Argument seed_argument(const std::string& help);
std::uint64_t parse_seed(const Parsed& parsed);

struct Recipe {
  std::string name;
  std::filesystem::path file;
  std::string summary;             ///< its first comment line
  std::vector<std::string> notes;  ///< its comment lines that begin with "note:"
  std::vector<Setting> settings;
};

/// A named recipe of the program's share folder, or a file. Throws Error(usage).
Recipe read_recipe(const std::string& name_or_file);

/// The named ones, by name.
std::vector<Recipe> all_recipes();

}  // namespace ganymede::cli
