// The hard end of a process: an alarm, as it needs neither a thread nor a lock that may be taken.
#include "comm/end_process.hpp"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>

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

void flush_output() noexcept {
  std::fflush(nullptr);
}  // std::cout and std::cerr hold nothing: they write through stdio

}  // namespace ganymede::comm
