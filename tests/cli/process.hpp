// Programs run by a test: started, signalled, waited for, with what they print kept.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "support/temporary_folder.hpp"

namespace ganymede::test {

using Words = std::vector<std::string>;

struct Ending {
  int code = -1;   ///< exit code; -1 when a signal ended it
  int signal = 0;  ///< the signal that ended it
  std::string out;
  std::string err;
};

/// A running program, killed when it is still running at the end of its scope.
class Process {
 public:
  /// Starts words[0] with the others as arguments in `folder`, its output kept aside.
  Process(const Words& words, const std::filesystem::path& folder);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  [[nodiscard]] pid_t id() const { return pid_; }
  void send(int signal) const;
  Ending wait();
  /// Kills it and every process that it has started, directly or not, and returns when all are gone. The test's only
  /// process.
  void kill_tree();

 private:
  TemporaryFolder output_;
  pid_t pid_ = -1;
};

/// Runs a program to its end.
Ending run(const Words& words, const std::filesystem::path& folder);

/// A program that runs on a terminal of 100 columns, killed at the end of its scope.
class TerminalProcess {
 public:
  TerminalProcess(const Words& words, const std::filesystem::path& folder);
  TerminalProcess(const TerminalProcess&) = delete;
  TerminalProcess& operator=(const TerminalProcess&) = delete;
  ~TerminalProcess();

  void send(int signal) const;
  /// Presses keys.
  void type(const std::string& keys) const;
  /// Something of what it prints; empty when nothing comes in that time, or at its end.
  std::string read_within(std::chrono::milliseconds time) const;
  /// Its end, whether or not what it prints is read. `out` is empty.
  Ending wait();

 private:
  int terminal_ = -1;
  pid_t pid_ = -1;
};

/// Runs a program on such a terminal to its end; all that it prints is in `out`.
Ending run_on_terminal(const Words& words, const std::filesystem::path& folder);

/// The program itself, one process.
Words ganymede(const Words& words);
/// Under mpirun with these options ("-n", "2", …).
Words mpirun(const Words& options, const Words& program);

/// The options of a training that takes milliseconds, then `more`.
Words tiny_training(const std::string& out, const Words& more);

/// A training whose numbers are no longer finite after a few steps.
Words diverging_training(const std::string& out);

Words operator+(Words a, const Words& b);

/// Waits until `condition` holds; false when that takes longer than half a minute.
bool eventually(const std::function<bool()>& condition);

std::string content(const std::filesystem::path& file);
void write(const std::filesystem::path& file, const std::string& text);
/// Turns over a bit in the middle of a file.
void damage(const std::filesystem::path& file);
std::vector<std::string> lines(const std::string& text);

/// Everything in a folder but the locks of runs: path, size, time of the last change.
using Snapshot = std::map<std::string, std::tuple<std::uintmax_t, std::filesystem::file_time_type>>;
Snapshot snapshot(const std::filesystem::path& folder);

}  // namespace ganymede::test
