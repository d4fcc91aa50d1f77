// The hard end of a process that is stuck.
#include "comm/end_process.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <csignal>

namespace ganymede::comm {
namespace {

TEST(EndProcessDeathTest, EndsAProcessThatWaitsForEver) {
  EXPECT_EXIT(
      {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, nullptr);
        end_process_after(1, ExitCode::rank_lost);
        while (true) pause();
      },
      ::testing::ExitedWithCode(6), "");
}

}  // namespace
}  // namespace ganymede::comm
