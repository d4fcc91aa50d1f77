// The list of the commands.
#include "cli/commands.hpp"

#include <algorithm>

#include "comm/watchdog.hpp"

namespace ganymede::cli {

std::vector<Command> commands() {
  std::vector<Command> all = {train_command(),   sample_command(),  eval_command(),   latent_command(),
                              report_command(),  metrics_command(), export_command(), inspect_command(),
                              recipes_command(), judge_command(),   doctor_command(), bench_command()};
  // The watchdog is over each of them; some say themselves what --timeout means there.
  for (Command& command : all) {
    std::vector<Argument>& arguments = command.syntax.arguments;
    if (std::none_of(arguments.begin(), arguments.end(), [](const Argument& a) { return a.name == "timeout"; }))
      arguments.push_back(timeout_argument(static_cast<int>(comm::Watchdog::least_deadline)));
  }
  return all;
}

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

}  // namespace ganymede::cli
