// The command line of one command and INI files, through Boost.Program_options with its traps closed:
// no abbreviations, no key given twice, no '#' that cuts a value short, and every mistyped name is answered
// with the nearest known one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ganymede::cli {

/// One option of a command: "--name VALUE  help"; an empty value makes it a switch.
struct Argument {
  std::string name;
  std::string value;
  std::string help;
  std::string group = "Options";
  std::string shown_default = {};  ///< printed in the help; empty: none
};

/// What a command takes.
struct CommandSyntax {
  std::string name;
  std::string summary;     ///< one line
  std::string positional;  ///< "RUN", "RUN..." for one or more, or empty
  std::vector<Argument> arguments;
};

struct Parsed {
  bool help = false;
  std::map<std::string, std::string> values;  ///< a switch's are "true" and "false"
  std::vector<std::string> positional;

  [[nodiscard]] bool has(const std::string& name) const { return values.contains(name); }
  /// Whether a switch is on: given, and not as --NAME=false.
  [[nodiscard]] bool on(const std::string& name) const { return get(name, "false") == "true"; }
  [[nodiscard]] std::string get(const std::string& name, const std::string& otherwise) const {
    const auto found = values.find(name);
    return found == values.end() ? otherwise : found->second;
  }
};

/// Parses the words after the command's name: --NAME VALUE or --NAME=VALUE, switches as --NAME, --NAME=true or
/// --NAME=false. Throws Error(usage).
Parsed parse_command_line(const CommandSyntax& syntax, const std::vector<std::string>& words);

/// The command's help, as --help prints it.
std::string help_text(const CommandSyntax& syntax);

/// A whole number from least to most; throws Error(usage) naming the option.
long parse_count(const Parsed& parsed, const std::string& name, long otherwise, long least, long most);

/// An option that is a whole number: what the help says of it and what is parsed follow from the same default.
struct CountOption {
  const char* name;
  long otherwise;  ///< the default
  long least;
  long most;
  [[nodiscard]] Argument argument(const std::string& help, const std::string& group = "Options") const {
    return {name, "N", help, group, std::to_string(otherwise)};
  }
  /// Throws Error(usage).
  [[nodiscard]] long of(const Parsed& parsed) const { return parse_count(parsed, name, otherwise, least, most); }
};

/// --threads of a command, by default so many as the rank's share of its node has cores.
inline constexpr CountOption threads_option{"threads", 0, 0, 1024};

/// --timeout, with its default.
Argument timeout_argument(int seconds);

/// One `name = value` of an INI file.
struct Setting {
  std::string name;
  std::string value;
  int line;
};

/// Reads INI text: comment lines, blank lines and `name = value`, whatever the line ends. Sections, a name given twice,
/// a '#' inside a value and lines of any other form are an Error(usage) that names source and line.
std::vector<Setting> parse_ini(const std::string& text, const std::string& source);

}  // namespace ganymede::cli
