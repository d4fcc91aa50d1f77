// `ganymede recipes`
#include <cstdio>

#include "cli/commands.hpp"
#include "cli/train_arguments.hpp"

namespace ganymede::cli {
namespace {

int run(const Parsed&, Communicator& ranks) {
  if (!ranks.is_root()) return 0;
  for (const Recipe& recipe : all_recipes()) std::printf("%-16s%s\n", recipe.name.c_str(), recipe.summary.c_str());
  return 0;
}

}  // namespace

Command recipes_command() { return {{"recipes", "Lists the recipes, a line each.", "", {}}, run}; }

}  // namespace ganymede::cli
