// See arguments.hpp.
#include "cli/arguments.hpp"

#include <algorithm>
#include <boost/make_shared.hpp>
#include <boost/program_options.hpp>
#include <sstream>

#include "cli/columns.hpp"
#include "core/names.hpp"
#include "core/numbers.hpp"
#include "ganymede/error.hpp"
#include "ganymede/options.hpp"

namespace ganymede::cli {
namespace {

namespace po = boost::program_options;

[[noreturn]] void wrong(const std::string& command, const std::string& what) {
  throw Error(ExitCode::usage, what + " (see: ganymede " + command + " --help)");
}

po::options_description described(const CommandSyntax& syntax) {
  po::options_description all;
  for (const Argument& a : syntax.arguments) {
    auto* value = po::value<std::string>();
    if (a.value.empty()) value->implicit_value("true");
    all.add(boost::make_shared<po::option_description>(a.name.c_str(), value, a.help.c_str()));
  }
  all.add(boost::make_shared<po::option_description>("help,h", po::value<std::string>()->implicit_value("true"), ""));
  return all;
}

std::string unknown(const CommandSyntax& syntax, std::string given) {
  given.erase(0, given.find_first_not_of('-'));
  given = given.substr(0, given.find('='));
  std::vector<std::string> names;
  for (const Argument& a : syntax.arguments) names.push_back(a.name);
  const std::string near = nearest_name(given, names);
  return "there is no option --" + given + (near.empty() ? "" : "; did you mean --" + near + "?");
}

// A switch takes no word after it: Boost would take one, and `inspect --json RUN` would lose its RUN.
std::vector<std::string> with_closed_switches(const CommandSyntax& syntax, std::vector<std::string> words) {
  for (std::string& word : words) {
    if (word == "--") break;
    const bool is_switch = std::any_of(syntax.arguments.begin(), syntax.arguments.end(),
                                       [&](const Argument& a) { return a.value.empty() && word == "--" + a.name; });
    if (is_switch) word += "=true";
  }
  return words;
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

}  // namespace

Parsed parse_command_line(const CommandSyntax& syntax, const std::vector<std::string>& words) {
  // Boost's own message never ends where the name is one of its placeholders.
  for (const std::string& word : words) {
    if (word == "--") break;
    if (!word.starts_with("--") || word.find('=') != word.size() - 1) continue;
    const std::string name = word.substr(2, word.size() - 3);
    const bool is_known = std::any_of(syntax.arguments.begin(), syntax.arguments.end(),
                                      [&](const Argument& a) { return a.name == name; });
    wrong(syntax.name, is_known ? "--" + name + " needs a value" : unknown(syntax, name));
  }
  const po::options_description known = described(syntax);
  Parsed parsed;
  try {
    using style = po::command_line_style::style_t;
    const int exact = style::allow_long | style::allow_short | style::allow_dash_for_short |
                      style::long_allow_adjacent | style::long_allow_next | style::short_allow_next;
    const po::parsed_options found = po::command_line_parser(with_closed_switches(syntax, words))
                                         .options(known)
                                         .style(exact)
                                         .allow_unregistered()
                                         .run();
    for (const auto& option : found.options) {
      if (option.string_key.empty() || option.position_key >= 0) {
        for (const std::string& word : option.original_tokens) parsed.positional.push_back(word);
        continue;
      }
      if (option.unregistered) wrong(syntax.name, unknown(syntax, option.string_key));
      if (option.string_key == "help") {
        parsed.help = true;
        continue;
      }
      const auto argument = std::find_if(syntax.arguments.begin(), syntax.arguments.end(),
                                         [&](const Argument& a) { return a.name == option.string_key; });
      const std::string value = option.value.empty() ? "true" : option.value.front();
      if (argument->value.empty() && value != "true" && value != "false")
        wrong(syntax.name,
              "--" + argument->name + " is a switch and takes no value but true or false, not '" + value + "'");
      // Boost takes an option for the value of the one before it.
      if (value.empty() || (option.original_tokens.size() > 1 && value.starts_with("--")))
        wrong(syntax.name,
              "--" + argument->name + " needs a value" + (value.empty() ? "" : ", but '" + value + "' follows it"));
      if (!parsed.values.emplace(option.string_key, value).second)
        wrong(syntax.name, "--" + option.string_key + " is given twice");
    }
  } catch (const po::error& failure) {
    wrong(syntax.name, failure.what());
  }
  if (parsed.help) return parsed;
  const std::size_t wanted = syntax.positional.empty() ? 0 : 1;
  if (parsed.positional.size() > wanted && !syntax.positional.ends_with("..."))
    wrong(syntax.name, "'" + parsed.positional[wanted] + "' has no place here" +
                           (parsed.positional[wanted] == "true" || parsed.positional[wanted] == "false"
                                ? "; a switch takes it behind an equals sign: --NAME=" + parsed.positional[wanted]
                                : ""));
  if (parsed.positional.size() < wanted) wrong(syntax.name, syntax.positional + " is missing");
  return parsed;
}

std::string help_text(const CommandSyntax& syntax) {
  std::string text = "ganymede " + syntax.name + (syntax.positional.empty() ? "" : " " + syntax.positional) +
                     " [OPTIONS]\n  " + syntax.summary + "\n";
  std::string group;
  for (const Argument& a : syntax.arguments) {
    if (a.group != group) text += "\n" + a.group + ":\n";
    group = a.group;
    std::string left = "  --" + a.name + (a.value.empty() ? "" : " " + a.value);
    const std::size_t width = 34;
    left += columns(left) + 2 > width ? "\n" + std::string(width, ' ') : std::string(width - columns(left), ' ');
    std::string help = a.help;
    if (!a.shown_default.empty()) help += " [" + a.shown_default + "]";
    // Wrapped to 100 columns, continuation lines under the help's first word.
    std::istringstream in(help);
    std::string word;
    std::size_t at = width;
    text += left;
    for (bool first = true; in >> word; first = false) {
      if (!first && at + 1 + columns(word) > 100) {
        text += "\n" + std::string(width, ' ');
        at = width;
        first = true;
      }
      text += (first ? "" : " ") + word;
      at += columns(word) + (first ? 0 : 1);
    }
    text += "\n";
  }
  return text + "\n  -h, --help                      this text\n";
}

Argument timeout_argument(int seconds) {
  return {"timeout", "SECONDS", "when nothing is completed for so long the job ends, and says who holds it up",
          "Options", std::to_string(seconds)};
}

long parse_count(const Parsed& parsed, const std::string& name, long otherwise, long least, long most) {
  if (!parsed.has(name)) return otherwise;
  const std::string text = parsed.values.at(name);
  const auto value = number_from<long>(text);
  if (!value || *value < least || *value > most)
    throw Error(ExitCode::usage, "--" + name + " takes a whole number from " + std::to_string(least) + " to " +
                                     std::to_string(most) + ", not '" + text + "'");
  return *value;
}

std::vector<Setting> parse_ini(const std::string& whole, const std::string& source) {
  // What some editors put before the first character.
  const std::string text = whole.starts_with("\xEF\xBB\xBF") ? whole.substr(3) : whole;
  std::vector<Setting> settings;
  std::map<std::string, int> seen;
  std::istringstream lines(text);
  std::string raw;
  // Boost would silently cut at '#', prefix names with sections and let a later value win.
  for (int number = 1; std::getline(lines, raw); ++number) {
    const std::string where = source + ", line " + std::to_string(number) + ": ";
    const std::string line = trimmed(raw);
    if (line.empty() || line.front() == '#') continue;
    if (line.find('\0') != std::string::npos) throw Error(ExitCode::usage, where + "not a text file");
    if (line.front() == '[')
      throw Error(ExitCode::usage, where + "sections are not used here: write 'name = value' lines alone");
    const std::size_t equals = line.find('=');
    const std::string name = equals == std::string::npos ? std::string() : trimmed(line.substr(0, equals));
    if (name.empty()) throw Error(ExitCode::usage, where + "expected 'name = value', found '" + line + "'");
    if (name.find('#') != std::string::npos)
      throw Error(ExitCode::usage, where + "a name cannot contain '#'; put comments on lines of their own");
    if (line.find('#', equals) != std::string::npos)
      throw Error(ExitCode::usage, where + "a value cannot contain '#'; put comments on lines of their own");
    const auto [before, fresh] = seen.emplace(name, number);
    if (!fresh)
      throw Error(ExitCode::usage,
                  where + "'" + name + "' was already given in line " + std::to_string(before->second));
    settings.push_back({name, {}, number});
  }
  try {
    std::istringstream again(text);
    const po::parsed_options found = po::parse_config_file(again, po::options_description(), true);
    for (const auto& option : found.options) {
      const auto setting =
          std::find_if(settings.begin(), settings.end(), [&](const Setting& s) { return s.name == option.string_key; });
      if (setting != settings.end() && !option.value.empty()) setting->value = option.value.front();
    }
  } catch (const po::error&) {
    // Its message may never end: it fills in placeholders, which may stand in the text.
    throw Error(ExitCode::usage, source + ": not made of 'name = value' lines");
  }
  return settings;
}

}  // namespace ganymede::cli
