// The hard end of a process: an alarm, as it needs neither a thread nor a lock that may be taken.
#include "comm/end_process.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <string>

namespace ganymede::comm {
namespace {

std::atomic<int> alarm_code = static_cast<int>(ExitCode::rank_lost);
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler reads it");

extern "C" void end_now(int /*signal*/) { _exit(alarm_code.load()); }

}  // namespace

void end_process_after(unsigned seconds, ExitCode code) noexcept {
  alarm_code = static_cast<int>(code);
  struct sigaction action = {};
  action.sa_handler = end_now;
  sigaction(SIGALRM, &action, nullptr);
  sigset_t alarms;
  sigemptyset(&alarms);
  sigaddset(&alarms, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &alarms, nullptr);
  alarm(seconds);
}

void end_cut_off_daemon_after(unsigned seconds) {
  const pid_t daemon = getppid();
  std::string name;
  std::getline(std::ifstream("/proc/" + std::to_string(daemon) + "/comm"), name);
  if (name != "orted") return;
  const int files = static_cast<int>(std::min(sysconf(_SC_OPEN_MAX), 65536L));
  if (fork() != 0) return;
  // In the child of a process with threads: system calls alone. It must hold nothing of its parent that others wait to
  // see closed, and leave its process group, which the daemon kills.
  setsid();
  for (int file = 0; file < files; ++file) close(file);
  for (unsigned tenths = 0; tenths < 10 * seconds; ++tenths) {
    if (kill(daemon, 0) != 0) _exit(0);
    usleep(100'000);
  }
  kill(daemon, SIGKILL);
  _exit(0);
}

void flush_output() noexcept {
  if (ftrylockfile(stdout) != 0) return;
  std::fflush(stdout);  // std::cout holds nothing: it writes through stdio
  funlockfile(stdout);
}

}  // namespace ganymede::comm
