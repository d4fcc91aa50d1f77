// Threads that run one function together, more of them than there are cores.
#include "core/thread_pool.hpp"

#include <gtest/gtest.h>
#include <sched.h>

#include <array>
#include <thread>

namespace ganymede {
namespace {

TEST(ThreadPool, EachPartIsDoneOnceARound) {
  constexpr int threads = 7;
  ThreadPool pool(threads);
  std::array<int, threads> done = {};  // of a part by whoever does it: ThreadSanitizer sees two at a time
  for (int round = 1; round <= 3000; ++round) {
    pool.run([&](int part, int parts) {
      ASSERT_EQ(parts, threads);
      ++done.at(static_cast<std::size_t>(part));
    });
    for (const int times : done) ASSERT_EQ(times, round);
  }
}

// On one core the caller goes on while the thread that it has woken has not begun.
TEST(ThreadPool, TheCallerDoesThePartOfAThreadThatHasNotBegun) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (std::size_t cpu = 0; CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  int by_caller = 0;
  {
    ThreadPool pool(2);
    const std::thread::id caller = std::this_thread::get_id();
    for (int round = 0; round < 1000; ++round)
      pool.run([&](int part, int) {
        if (part == 1 && std::this_thread::get_id() == caller) ++by_caller;
      });
  }
  EXPECT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
  EXPECT_GT(by_caller, 0);
}

}  // namespace
}  // namespace ganymede
