// See train_arguments.hpp.
#include "cli/train_arguments.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "core/files.hpp"
#include "core/names.hpp"
#include "ganymede/error.hpp"
#include "report/run_folder.hpp"
#include "train/without_effect.hpp"

namespace ganymede::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_ini = 1 << 20;

// A configuration that cannot be read is wrong usage: the name on the command line is at fault.
std::string read_ini_file(const fs::path& file) {
  try {
    return read_file(file, largest_ini);
  } catch (const Error& failure) {
    throw Error(ExitCode::usage, failure.what());
  }
}

Recipe parse_recipe(const std::string& name, const fs::path& file) {
  const std::string text = read_ini_file(file);
  Recipe recipe{name, file, {}, {}, parse_ini(text, file.string())};
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line) && line.starts_with("#");) {
    std::string comment = line.substr(std::min(line.size(), line.find_first_not_of("# ")));
    if (comment.starts_with("note: "))
      recipe.notes.push_back(comment.substr(6));
    else if (recipe.summary.empty())
      recipe.summary = comment;
  }
  return recipe;
}

// Where --steps says how long to train it hides --epochs; but who names epochs alone means them, whatever an
// earlier layer said of steps.
template <class Names>
void let_epochs_count(TrainOptions& options, const Names& names) {
  if (names("epochs") && !names("steps")) options.steps = 0;
}

// What a layer says although it does nothing beside what that layer and those beneath say is meant, and a mistake; what
// a later layer leaves without effect is neither.
class Meant {
 public:
  /// `place(name)`: where a layer says it, to begin a sentence with. Null where it does not.
  template <class Place>
  void judge(const TrainOptions& options, const Place& place) {
    const std::map<std::string, std::string> idle = options_without_effect(options);
    for (const OptionSpec& spec : train_option_specs()) {
      const std::optional<std::string> said = place(spec.name);
      if (!said) continue;
      if (idle.contains(spec.name))
        places_[spec.name] = *said;
      else
        places_.erase(spec.name);
    }
  }
  void forget() { places_.clear(); }
  /// Leaves in `options` no others that do nothing. Throws Error(usage) for the first that is there.
  void settle(TrainOptions& options) const {
    std::set<std::string> names;
    for (const auto& [name, place] : places_) names.insert(name);
    reset_options_without_effect(options, names);
    for (const auto& [name, why] : options_without_effect(options))
      if (const auto place = places_.find(name); place != places_.end())
        throw Error(ExitCode::usage, place->second + why);
  }

 private:
  std::map<std::string, std::string> places_;
};

// Options of `train` that are none of a training's.
void refuse_of_command_line(const std::string& name) {
  if (name == "recipe")
    throw Error(ExitCode::usage,
                "a recipe builds on no other: give --recipe on the command line, or 'recipe' in the "
                "file that --config names");
  if (name == "config" || name == "dry-run" || name == "memory-report")
    throw Error(ExitCode::usage, "'" + name + "' is an option of the command line alone: give --" + name + " there");
}

void apply(TrainOptions& options, Meant& meant, const std::vector<Setting>& settings, const std::string& source) {
  const auto place = [&](const Setting& s) { return source + ", line " + std::to_string(s.line) + ": "; };
  const auto setting = [&](const char* name) {
    return std::find_if(settings.begin(), settings.end(), [&](const Setting& s) { return s.name == name; });
  };
  const auto names = [&](const char* name) { return setting(name) != settings.end(); };
  let_epochs_count(options, names);
  for (const Setting& s : settings) {
    try {
      refuse_of_command_line(s.name);
      // Files of earlier runs have the switch that --precision has taken the place of.
      if (s.name == "tf32")
        set_train_option(options, "precision", s.value == "true" ? "tf32" : "fp32");
      else
        set_train_option(options, s.name, s.value);
    } catch (const Error& failure) {
      throw Error(failure.code(), place(s) + failure.what());
    }
  }
  meant.judge(options,
              [&](const char* name) { return names(name) ? std::optional(place(*setting(name))) : std::nullopt; });
}

// The recipe that the first line of a run's config.ini names (see config_text); empty where there is none.
std::string recipe_of(const std::string& config) {
  const std::string begin = "(recipe: ";
  const std::string line = config.substr(0, config.find('\n'));
  const std::size_t at = line.find(begin);
  const std::size_t end = line.rfind("). To repeat it");
  if (at == std::string::npos || end == std::string::npos || end < at) return {};
  return line.substr(at + begin.size(), end - at - begin.size());
}

}  // namespace

std::vector<Argument> train_arguments() {
  const TrainOptions defaults;
  std::vector<Argument> arguments = {
      {"recipe", "NAME|FILE", "options to start from: a name that `ganymede recipes` lists, or an INI file",
       "Configuration", "gan"},
      {"config", "FILE", "options in an INI file (name = value); they override the recipe's", "Configuration"},
  };
  for (const OptionSpec& s : train_option_specs())
    arguments.push_back({s.name, s.value, s.help, s.group, s.value[0] == '\0' ? "" : s.get(defaults)});
  return arguments;
}

std::vector<Recipe> all_recipes() {
  std::vector<Recipe> recipes;
  for (const auto& entry : fs::directory_iterator(share_folder() / "recipes"))
    if (entry.path().extension() == ".ini") recipes.push_back(parse_recipe(entry.path().stem().string(), entry.path()));
  std::sort(recipes.begin(), recipes.end(), [](const Recipe& a, const Recipe& b) { return a.name < b.name; });
  return recipes;
}

StoredConfiguration read_stored_configuration(const fs::path& config) {
  const std::string text = read_file(config, largest_ini);
  StoredConfiguration stored;
  stored.recipe = recipe_of(text);
  try {
    for (const Setting& s : parse_ini(text, config.string())) stored.options[s.name] = s.value;
  } catch (const Error& failure) {
    // Not what was typed is wrong, but what lies there.
    throw Error(ExitCode::data, failure.what());
  }
  return stored;
}

Argument seed_argument(const std::string& help) {
  return {"seed", "N", help, "Options", std::to_string(TrainOptions().seed)};
}

std::uint64_t parse_seed(const Parsed& parsed) {
  TrainOptions seeded;
  if (parsed.has("seed")) set_train_option(seeded, "seed", parsed.values.at("seed"));
  return seeded.seed;
}

Recipe read_recipe(const std::string& name) {
  if (name.find('/') != std::string::npos || name.ends_with(".ini")) return parse_recipe(name, name);
  const fs::path file = share_folder() / "recipes" / (name + ".ini");
  if (fs::exists(file)) return parse_recipe(name, file);
  std::vector<std::string> names;
  for (const Recipe& recipe : all_recipes()) names.push_back(recipe.name);
  const std::string near = nearest_name(name, names);
  throw Error(ExitCode::usage, "there is no recipe '" + name + "'" +
                                   (near.empty() ? "." : "; did you mean '" + near + "'?") +
                                   " There are: " + joined(names) + "; a file is given with its path or as NAME.ini");
}

ResolvedOptions resolve_train_options(const Parsed& parsed) {
  ResolvedOptions resolved;
  std::string config = parsed.get("config", {});
  // A resumed run goes on with its own options unless told otherwise: beneath them a recipe would do nothing.
  std::string first_recipe;
  bool own = false;  // what the program wrote into it, nobody gave
  if (config.empty() && !parsed.has("recipe") && parsed.on("resume") && parsed.has("out")) {
    const fs::path file = RunFolder(parsed.values.at("out")).config();
    std::error_code error;
    if (fs::exists(file, error)) {
      config = file.string();
      first_recipe = recipe_of(read_ini_file(file));
      own = true;
    }
  }
  std::vector<Setting> settings;
  if (!config.empty()) settings = parse_ini(read_ini_file(config), config);
  const auto own_recipe =
      std::find_if(settings.begin(), settings.end(), [](const Setting& s) { return s.name == "recipe"; });
  std::string recipe = parsed.get("recipe", {});
  if (own_recipe != settings.end()) {
    if (recipe.empty()) recipe = own_recipe->value;
    settings.erase(own_recipe);
  }
  resolved.recipe = !recipe.empty() ? recipe : !first_recipe.empty() ? first_recipe : !config.empty() ? config : "gan";
  Meant meant;
  if (!recipe.empty()) {
    const Recipe found = read_recipe(recipe);
    apply(resolved.options, meant, found.settings, found.file.string());
    resolved.notes = found.notes;
  }
  apply(resolved.options, meant, settings, config);
  if (own) meant.forget();
  const auto names = [&](const char* name) { return parsed.has(name); };
  let_epochs_count(resolved.options, names);
  for (const auto& [name, value] : parsed.values)
    if (find_train_option(name) != nullptr) set_train_option(resolved.options, name, value);
  if (names("steps") && names("epochs") && resolved.options.steps > 0)
    throw Error(ExitCode::usage, "--steps " + parsed.values.at("steps") + " and --epochs " +
                                     parsed.values.at("epochs") + " both say how long to train: give one of them");
  meant.judge(resolved.options,
              [&](const char* name) { return names(name) ? std::optional<std::string>("") : std::nullopt; });
  meant.settle(resolved.options);
  return resolved;
}

ResolvedOptions resolve_train_options(const Parsed& parsed, Communicator& ranks) {
  ResolvedOptions resolved;
  on_root(ranks, [&] { resolved = resolve_train_options(parsed); });
  share_train_options(resolved.options, ranks);
  return resolved;
}

void share_train_options(TrainOptions& options, Communicator& ranks) {
  for (const OptionSpec& spec : train_option_specs()) {
    const std::string value = shared_text(ranks, spec.get(options));
    // An empty one was never set, and could not be.
    if (!ranks.is_root() && !value.empty()) set_train_option(options, spec.name, value);
  }
}

}  // namespace ganymede::cli
