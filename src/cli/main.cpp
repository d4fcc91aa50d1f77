// The program: finds the command, runs it on every rank, and turns what goes wrong into one sentence on one
// rank and the same exit code on all.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "core/build_info.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/device.hpp"
#include "ganymede/error.hpp"
#include "ganymede/options.hpp"
#include "ganymede/version.hpp"

namespace ganymede::cli {

std::vector<Command> commands() {
  return {train_command(),   sample_command(), export_command(),
          inspect_command(), recipes_command(), bench_command()};
}

namespace {

std::string general_help() {
  std::string text =
      "ganymede COMMAND [OPTIONS]\n"
      "  Trains generative adversarial networks on MNIST-like image sets, data-parallel over ranks.\n\nCommands:\n";
  for (const Command& c : commands()) {
    const std::string left = c.syntax.name + (c.syntax.positional.empty() ? "" : " " + c.syntax.positional);
    text += "  " + left + std::string(left.size() < 14 ? 14 - left.size() : 1, ' ') + c.syntax.summary + "\n";
  }
  return text +
         "\n  ganymede COMMAND --help   the command's options\n"
         "  ganymede --version        what this program was built with\n";
}

std::string version_text() {
  std::string sets;
  for (const std::string& set : cpu_instruction_sets()) sets += (sets.empty() ? "" : ", ") + set;
  return std::string("ganymede ") + version + "\n  compiler    " + build_compiler + ", " + build_type +
         "\n  libraries   " + build_libraries + "\n  device cpu  runs here with " + sets + "\n";
}

const Command& find_command(const std::vector<Command>& all, const std::string& name) {
  std::vector<std::string> names;
  for (const Command& c : all) {
    if (c.syntax.name == name) return c;
    names.push_back(c.syntax.name);
  }
  const std::string near = nearest_name(name, names);
  throw Error(ExitCode::usage, "there is no command '" + name + "'" +
                                   (near.empty() ? "" : "; did you mean '" + near + "'?") + " (see: ganymede --help)");
}

int run(const std::vector<std::string>& words, Communicator& ranks) {
  const auto print = [&](const std::string& text) {
    if (ranks.is_root()) std::fputs(text.c_str(), stdout);
    return 0;
  };
  if (words.empty()) {
    if (ranks.is_root()) std::fputs(general_help().c_str(), stderr);
    return static_cast<int>(ExitCode::usage);
  }
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") return print(general_help());
  if (words[0] == "--version") return print(version_text());
  const std::vector<Command> all = commands();
  const Command* command = nullptr;
  Parsed parsed;
  together(ranks, [&] {
    command = &find_command(all, words[0]);
    parsed = parse_command_line(command->syntax, {words.begin() + 1, words.end()});
  });
  if (parsed.help) return print(help_text(command->syntax));
  return command->run(parsed, ranks);
}

// Of several processes that a launcher failed to bring together, one speaks.
bool first_task() {
  const char* task = std::getenv("SLURM_PROCID");
  return task == nullptr || std::string(task) == "0";
}

}  // namespace
}  // namespace ganymede::cli

int main(int argc, char** argv) {
  using namespace ganymede;
  std::unique_ptr<Communicator> ranks;
  try {
    ranks = make_communicator();
  } catch (const Error& failure) {
    if (cli::first_task()) std::fprintf(stderr, "ganymede: %s\n", failure.what());
    return static_cast<int>(failure.code());
  }
  // Errors are caught while the communicator lives, so that it is taken down in good order.
  try {
    return cli::run({argv + 1, argv + argc}, *ranks);
  } catch (const AgreedError& failure) {
    if (ranks->is_root()) {
      std::fflush(stdout);
      std::fprintf(stderr, "ganymede: %s\n", failure.what());
    }
    return static_cast<int>(failure.code());
  } catch (const std::exception& failure) {
    const auto* error = dynamic_cast<const Error*>(&failure);
    const ExitCode code = error != nullptr ? error->code() : ExitCode::launch;
    const std::string who =
        ranks->size() == 1 ? std::string()
                           : "rank " + std::to_string(ranks->rank()) + " on " + host_name() + ": ";
    std::fflush(stdout);
    std::fprintf(stderr, "ganymede: %s%s\n", who.c_str(), failure.what());
    if (ranks->size() == 1) return static_cast<int>(code);
    ranks->abort(code);
  }
}
