// What the benchmarks beside oneDNN share.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

namespace ganymede::bench {

inline double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
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
