// What the benchmarks beside oneDNN share.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>

namespace ganymede::bench {

/// Of this thread, which does all the work: what other processes take on a busy machine does not count.
inline double seconds(const std::function<void()>& work) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = now();
  work();
  return now() - start;
}

/// Starts the program again with one thread for oneDNN, which counts them as it is loaded: a later setenv would leave
/// it all of them. Returns false where that cannot be done.
inline bool with_one_thread(char** argv) {
  if (const char* given = std::getenv("OMP_NUM_THREADS"); given != nullptr && std::string(given) == "1") return true;
  setenv("OMP_NUM_THREADS", "1", 1);
  execv("/proc/self/exe", argv);
  std::perror("cannot start again with OMP_NUM_THREADS=1");
  return false;
}

}  // namespace ganymede::bench
