// A thread beside the one that works, for which alone signals are.
#pragma once

#include <signal.h>

#include <thread>
#include <utility>

namespace ganymede {

/// Throws std::system_error where the system gives no thread.
template <class Work>
std::thread thread_without_signals(Work work) {
  // A thread begins with the mask of the one that starts it.
  struct Blocked {
    Blocked() {
      sigset_t all;
      sigfillset(&all);
      pthread_sigmask(SIG_BLOCK, &all, &before);
    }
    Blocked(const Blocked&) = delete;
    Blocked& operator=(const Blocked&) = delete;
    ~Blocked() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
    sigset_t before;
  };
  const Blocked blocked;
  return std::thread(std::move(work));
}

}  // namespace ganymede
