// Any text as a config.ini: refused with an Error(usage), or options that are the same after they have been
// written and read once more.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "cli/arguments.hpp"
#include "ganymede/error.hpp"
#include "ganymede/options.hpp"

namespace {

ganymede::TrainOptions read(const std::string& text) {
  ganymede::TrainOptions options;
  for (const auto& setting : ganymede::cli::parse_ini(text, "input")) {
    ganymede::set_train_option(options, setting.name, setting.value);
  }
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
    if (spec.stored && spec.get(options) != spec.get(again)) std::abort();
  }
  return 0;
}
