// The program: finds the command, runs it on every rank, and turns what goes wrong into one sentence on one
// rank and the same exit code on all.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cli/commands.hpp"
#include "comm/failure.hpp"
#include "comm/siblings.hpp"
#include "comm/watchdog.hpp"
#include "core/build_info.hpp"
#include "core/heartbeat.hpp"
#include "core/names.hpp"
#include "core/numbers.hpp"
#include "doctor/probe.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/device.hpp"
#include "ganymede/error.hpp"
#include "ganymede/options.hpp"
#include "ganymede/version.hpp"
#include "train/stop.hpp"

namespace ganymede::cli {

namespace {

std::string version_text() {
  return std::string("ganymede ") + version + "\n  compiler    " + build_compiler + ", " + build_type +
         "\n  libraries   " + build_libraries + "\n  device cpu  runs here with " + joined(cpu_instruction_sets()) +
         "\n";
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

// A command line by options: "train", "--batch 20", "--resume".
std::vector<std::string> by_options(const std::vector<std::string>& words) {
  std::vector<std::string> parts;
  for (const std::string& word : words)
    if (parts.empty() || word.starts_with("--"))
      parts.push_back(word);
    else
      parts.back() += " " + word;
  return parts;
}

// What of `a` is not in `b`, as one text.
std::string only_in(const std::vector<std::string>& a, std::vector<std::string> b) {
  std::vector<std::string> only;
  for (const std::string& part : a)
    if (const auto found = std::find(b.begin(), b.end(), part); found != b.end())
      b.erase(found);
    else
      only.push_back(part);
  return joined(only, " ");
}

// Ranks that were told different things would wait for each other in different places.
void check_same_words(const std::vector<std::string>& words, Communicator& ranks) {
  const char end = '\0';  // no word holds it
  std::string line;
  for (const std::string& word : words) line += word + end;
  const std::vector<std::string> all = ranks.all_gather(line);
  const auto other = std::find_if(all.begin(), all.end(), [&](const std::string& each) { return each != all[0]; });
  if (other == all.end()) return;
  const auto words_of = [&](const std::string& text) {
    std::vector<std::string> parts;
    for (std::size_t at = 0; at < text.size(); at = text.find(end, at) + 1)
      parts.push_back(text.substr(at, text.find(end, at) - at));
    return parts;
  };
  const auto rank = static_cast<int>(other - all.begin());
  const std::vector<std::string> hosts = ranks.all_gather(host_name());
  std::string first = only_in(by_options(words_of(all[0])), by_options(words_of(*other)));
  std::string second = only_in(by_options(words_of(*other)), by_options(words_of(all[0])));
  if (first.empty() && second.empty()) {  // the same in another order
    first = joined(words_of(all[0]), " ");
    second = joined(words_of(*other), " ");
  }
  throw AgreedError(ExitCode::usage, "rank 0 on " + hosts[0] + " was started with" +
                                         (first.empty() ? "out '" + second : " '" + first) + "', rank " +
                                         std::to_string(rank) + " on " + hosts[static_cast<std::size_t>(rank)] +
                                         (second.empty()  ? " without it"
                                          : first.empty() ? " with it"
                                                          : " with '" + second + "'") +
                                         ": start all ranks with the same command line");
}

// What was printed has arrived; a reader that has read enough (`| head`) is none to complain about.
void check_output(Communicator& ranks) {
  on_root(ranks, [] {
    const bool lost_before = std::ferror(stdout) != 0;
    errno = 0;
    if (std::fflush(stdout) == 0 && !lost_before) return;
    // Why an earlier write failed is forgotten: one more, after what is lost, fails for the same reason.
    if (errno == 0 && std::fputc('\n', stdout) != EOF) std::fflush(stdout);
    const int reason = errno;
    // Of a pipe without a reader the system still knows.
    pollfd output{STDOUT_FILENO, 0, 0};
    if (poll(&output, 1, 0) != 1 || (output.revents & POLLERR) == 0)
      throw Error(ExitCode::data, std::string("the output could not be written") +
                                      (reason == 0 ? "" : std::string(": ") + std::strerror(reason)) +
                                      "; make room where it goes, or send it elsewhere");
  });
}

void watch_over(const CommandSyntax& syntax, const Parsed& parsed) {
  const auto timeout = std::find_if(syntax.arguments.begin(), syntax.arguments.end(),
                                    [](const Argument& a) { return a.name == "timeout"; });
  const long otherwise = std::stol(timeout->shown_default);
  const long seconds = parse_count(parsed, "timeout", otherwise, std::min(otherwise, 1L), 1'000'000);
  comm::Watchdog::current()->expect(static_cast<double>(seconds), {});
}

int run(const std::vector<std::string>& words, Communicator& ranks) {
  check_same_words(words, ranks);
  const auto print = [&](const std::string& text) {
    if (ranks.is_root()) std::fputs(text.c_str(), stdout);
    check_output(ranks);
    return 0;
  };
  if (words.empty()) {
    if (ranks.is_root()) std::fputs(general_help().c_str(), stderr);
    return static_cast<int>(ExitCode::usage);
  }
  const bool asks_for_help = words[0] == "--help" || words[0] == "-h" || words[0] == "help";
  if (asks_for_help && words.size() == 1) return print(general_help());
  // `help train` is `train --help`.
  std::vector<std::string> own(words.begin() + (asks_for_help ? 1 : 0), words.end());
  if (asks_for_help) own.insert(own.begin() + 1, "--help");
  if (words[0] == "--version") return print(version_text());
  const std::vector<Command> all = commands();
  const Command* command = nullptr;
  Parsed parsed;
  together(ranks, [&] {
    command = &find_command(all, own[0]);
    parsed = parse_command_line(command->syntax, {own.begin() + 1, own.end()});
  });
  if (parsed.help) return print(help_text(command->syntax));
  together(ranks, [&] { watch_over(command->syntax, parsed); });
  // Before the first of a command's own it is set-up still.
  if (!command->has_stages) heartbeat::stage(command->syntax.name.c_str());
  const int code = command->run(parsed, ranks);
  if (!command->prints_aside || parsed.on("dry-run")) check_output(ranks);
  return code;
}

// --timeout, before the ranks have met and the command line can be judged; 0 where there is none that could be it.
double timeout_among(const std::vector<std::string>& words) {
  const std::string option = "--timeout";
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string value;
    if (words[i] == option && i + 1 < words.size()) value = words[i + 1];
    if (words[i].starts_with(option + "=")) value = words[i].substr(option.size() + 1);
    if (const double seconds = number_from<double>(value).value_or(0); seconds > 0) return seconds;
  }
  return 0;
}

std::string consolation(const std::vector<std::string>& words) {
  const std::vector<Command> all = commands();
  const auto named = std::find_if(all.begin(), all.end(),
                                  [&](const Command& c) { return !words.empty() && c.syntax.name == words[0]; });
  return named == all.end() ? Command().consolation : named->consolation;
}

// One line, whatever was quoted in it.
void say(const std::string& message) {
  std::string line = "ganymede: ";
  for (const char c : message) {
    if (c == ' ' && line.back() == ' ') continue;
    line += c == '\n' ? ' ' : static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  }
  std::fflush(stdout);
  std::fprintf(stderr, "%s\n", line.c_str());
}

bool first_to_speak(void* spoken) {
  return spoken == nullptr || std::atomic_ref(*static_cast<std::uint32_t*>(spoken)).exchange(1) == 0;
}

// The whole of it, from the start of MPI to its end.
int program(const std::vector<std::string>& words) {
  heartbeat::stage("start-up");
  comm::Watchdog watchdog(timeout_among(words), stop_requested, consolation(words));
  const bool first = comm::is_first_task();
  std::unique_ptr<Communicator> ranks;
  // The watchdogs part before the ranks do.
  const struct Parting {
    explicit Parting(comm::Watchdog& from) : watchdog(from) {}
    Parting(const Parting&) = delete;
    Parting& operator=(const Parting&) = delete;
    ~Parting() { watchdog.detach(); }
    comm::Watchdog& watchdog;
  } parting(watchdog);
  try {
    ranks = make_communicator();
  } catch (...) {
    const Error failure = comm::as_error(std::current_exception());
    if (first) say(failure.what());
    return static_cast<int>(failure.code());
  }
  // Errors are caught while the communicator lives, so that it is taken down in good order.
  std::shared_ptr<void> spoken;  // a flag of the host's ranks; null where they share no memory
  try {
    watchdog.attach(*ranks);
    heartbeat::stage("set-up");
    spoken = ranks->node_shared(sizeof(std::uint32_t));
    return run(words, *ranks);
  } catch (const AgreedError& failure) {
    if (ranks->is_root()) say(failure.what());
    return static_cast<int>(failure.code());
  } catch (...) {
    const Error failure = comm::as_error(std::current_exception());
    const std::string who =
        ranks->size() == 1 ? std::string() : "rank " + std::to_string(ranks->rank()) + " on " + host_name() + ": ";
    // Where nothing can be agreed on any more, ranks may still fail alike and at once, as when their host has too
    // little memory for them: the first to come says so and ends the job.
    if (first_to_speak(spoken.get()))
      say(who + failure.what());
    else
      std::this_thread::sleep_for(std::chrono::seconds(5));
    if (ranks->size() > 1) ranks->abort(failure.code());
    return static_cast<int>(failure.code());
  }
}

}  // namespace
}  // namespace ganymede::cli

int main(int argc, char** argv) {
  // A pipe that nobody reads any more is an error of the write, not the end of a training.
  std::signal(SIGPIPE, SIG_IGN);
  // So is a file that grows beyond a limit on its size.
  std::signal(SIGXFSZ, SIG_IGN);
  // What the caller has closed must not become one of the run's files, into which its words would go.
  for (int standard = STDIN_FILENO; standard <= STDERR_FILENO; ++standard)
    if (::fcntl(standard, F_GETFD) == -1 && ::open("/dev/null", O_RDWR) == -1) return 1;
  const int code = ganymede::cli::program({argv + 1, argv + argc});
  // What holds a question up may hold the loader's lock, too, for which an end in good order would wait.
  if (ganymede::doctor::unanswered > 0) {
    std::fflush(stdout);
    ::_exit(code);
  }
  return code;
}
