// Any text as a config.ini: refused with an Error(usage), or options that are the same after they have been
// written and read once more.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>

#include "cli/arguments.hpp"
#include "ganymede/error.hpp"
#include "ganymede/options.hpp"

namespace {

bool has_outer_blank(const std::string& text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  return !text.empty() && (blank(text.front()) || blank(text.back()));
}

ganymede::TrainOptions read(const std::string& text) {
  ganymede::TrainOptions options;
  const auto settings = ganymede::cli::parse_ini(text, "input");
  // Whatever the text: each name once, in the order of its lines, and nothing that an INI file cannot say.
  std::set<std::string> names;
  int line = 0;
  for (const auto& setting : settings) {
    if (setting.name.empty() || !names.insert(setting.name).second || setting.line <= line) std::abort();
    if (has_outer_blank(setting.name) || has_outer_blank(setting.value)) std::abort();
    if (setting.value.find_first_of(std::string("#\n\0", 3)) != std::string::npos) std::abort();
    line = setting.line;
  }
  for (const auto& setting : settings) ganymede::set_train_option(options, setting.name, setting.value);
  ganymede::check_train_options(options);
  return options;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ganymede::TrainOptions options;
  try {
    options = read(std::string(reinterpret_cast<const char*>(data), size));
  } catch (const ganymede::Error& error) {
    if (error.code() != ganymede::ExitCode::usage) std::abort();
    return 0;
  }
  // What was accepted can be written, and written it says the same: an exception here is a finding.
  const ganymede::TrainOptions again = read(ganymede::config_text(options, ""));
  for (const auto& spec : ganymede::train_option_specs()) {
    if (spec.stored() && spec.get(options) != spec.get(again)) std::abort();
  }
  return 0;
}
