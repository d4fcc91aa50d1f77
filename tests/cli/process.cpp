// See process.hpp.
#include "cli/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace ganymede::test {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void become(const Words& words, const fs::path& folder) {
  if (::chdir(folder.c_str()) != 0) ::_exit(126);
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  ::_exit(127);
}

void take_status(Ending& ending, int status) {
  if (WIFSIGNALED(status))
    ending.signal = WTERMSIG(status);
  else
    ending.code = WEXITSTATUS(status);
}

// The processes that descend from this one, as /proc has it: "PID (NAME) STATE PARENT …".
std::vector<pid_t> descendants() {
  std::map<pid_t, std::vector<pid_t>> children;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string status = content(entry.path() / "stat");  // empty when it has just gone
    const std::size_t end = status.rfind(") ");
    if (end != std::string::npos)
      children[static_cast<pid_t>(std::stol(status.substr(end + 4)))].push_back(static_cast<pid_t>(std::stol(name)));
  }
  std::vector<pid_t> found = {::getpid()};
  for (std::size_t at = 0; at < found.size(); ++at)
    for (const pid_t child : children[found[at]]) found.push_back(child);
  found.erase(found.begin());
  return found;
}

}  // namespace

Process::Process(const Words& words, const fs::path& folder) {
  const std::string out = output_ / "out";
  const std::string err = output_ / "err";
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) {
    const int null = ::open("/dev/null", O_RDONLY);
    const int to_out = ::open(out.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    const int to_err = ::open(err.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (null < 0 || to_out < 0 || to_err < 0) ::_exit(125);
    ::dup2(null, 0);
    ::dup2(to_out, 1);
    ::dup2(to_err, 2);
    become(words, folder);
  }
}

Process::~Process() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Process::send(int signal) const { ::kill(pid_, signal); }

Ending Process::wait() {
  int status = 0;
  if (::waitpid(pid_, &status, 0) != pid_) throw std::system_error(errno, std::generic_category(), "waitpid");
  pid_ = -1;
  Ending ending;
  take_status(ending, status);
  ending.out = content(output_ / "out");
  ending.err = content(output_ / "err");
  return ending;
}

void Process::kill_tree() {
  // mpirun puts its ranks into groups of their own, and they stay a while without it: as this process's children then.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) throw std::system_error(errno, std::generic_category(), "prctl");
  for (std::vector<pid_t> left = descendants(); !left.empty(); left = descendants()) {
    for (const pid_t pid : left) ::kill(pid, SIGKILL);
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  pid_ = -1;
}

Ending run(const Words& words, const fs::path& folder) { return Process(words, folder).wait(); }

TerminalProcess::TerminalProcess(const Words& words, const fs::path& folder) {
  const winsize size{24, 100, 0, 0};
  pid_ = ::forkpty(&terminal_, nullptr, nullptr, &size);
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "forkpty");
  if (pid_ == 0) {
    ::setenv("TERM", "xterm", 1);
    become(words, folder);
  }
}

TerminalProcess::~TerminalProcess() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ::close(terminal_);
}

void TerminalProcess::send(int signal) const { ::kill(pid_, signal); }

void TerminalProcess::type(const std::string& keys) const {
  if (::write(terminal_, keys.data(), keys.size()) != static_cast<ssize_t>(keys.size()))
    throw std::system_error(errno, std::generic_category(), "write to a terminal");
}

std::string TerminalProcess::read_within(std::chrono::milliseconds time) const {
  pollfd output{terminal_, POLLIN, 0};
  if (::poll(&output, 1, static_cast<int>(time.count())) != 1) return {};
  std::array<char, 4096> buffer{};
  // At the program's end reading fails with EIO.
  const ssize_t count = ::read(terminal_, buffer.data(), buffer.size());
  return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0))};
}

Ending TerminalProcess::wait() {
  int status = 0;
  if (::waitpid(pid_, &status, 0) != pid_) throw std::system_error(errno, std::generic_category(), "waitpid");
  pid_ = -1;
  Ending ending;
  take_status(ending, status);
  return ending;
}

Ending run_on_terminal(const Words& words, const fs::path& folder) {
  TerminalProcess process(words, folder);
  std::string out;
  constexpr std::chrono::milliseconds for_ever(-1);
  for (std::string part = process.read_within(for_ever); !part.empty(); part = process.read_within(for_ever))
    out += part;
  Ending ending = process.wait();
  ending.out = out;
  return ending;
}

Words operator+(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Words ganymede(const Words& words) { return Words{GANYMEDE_PROGRAM} + words; }

Words mpirun(const Words& options, const Words& program) {
  return Words{GANYMEDE_MPIRUN, "-q", "--oversubscribe", "--bind-to", "none"} + options + program;
}

Words tiny_training(const std::string& out, const Words& more) {
  return ganymede({"train", "--out", out, "--latent", "4", "--generator-hidden", "8", "--discriminator-hidden", "8",
                   "--batch", "24", "--threads", "1", "--sample-count", "4"}) +
         more;
}

Words diverging_training(const std::string& out) {
  // The product of nine layers' weights, all of about 1000 after one step.
  return ganymede({"train",
                   "--out",
                   out,
                   "--latent",
                   "4",
                   "--generator-hidden",
                   "8",
                   "--discriminator-hidden",
                   "8,8,8,8,8,8,8,8",
                   "--discriminator-activation",
                   "leaky-relu",
                   "--learning-rate",
                   "1000",
                   "--on-nan",
                   "stop",
                   "--batch",
                   "24",
                   "--threads",
                   "1",
                   "--sample-count",
                   "4",
                   "--steps",
                   "2000",
                   "--log-every",
                   "1"});
}

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

std::string content(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

void damage(const fs::path& file) {
  std::string bytes = content(file);
  if (bytes.empty()) throw std::runtime_error(file.string() + " is empty or not there");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x40);
  write(file, bytes);
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    result.push_back(text.substr(begin, end - begin));
  if (begin < text.size()) result.push_back(text.substr(begin));
  return result;
}

Snapshot snapshot(const fs::path& folder) {
  Snapshot result;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.path().filename() != ".lock")
      result[entry.path().string()] = {entry.is_regular_file() ? entry.file_size() : 0, entry.last_write_time()};
  return result;
}

}  // namespace ganymede::test
