// Requests to stop: a signal handler sets a flag, and the ranks agree on it in the reduction of the step.
#include "train/stop.hpp"

#include <array>
#include <atomic>
#include <csignal>
#include <ctime>

#include "ganymede/error.hpp"
#include "ganymede/trainer.hpp"

namespace ganymede {
namespace {

std::atomic<bool> stop_asked{false};
std::atomic<long> last_interrupt{-1'000'000};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<long>::is_always_lock_free);

void on_signal(int signal) {
  if (signal == SIGINT) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - last_interrupt.exchange(now.tv_sec) <= 2 && stop_asked.load()) {
      std::signal(SIGINT, SIG_DFL);
      std::raise(SIGINT);
      return;
    }
  }
  stop_asked.store(true);
}

}  // namespace

void request_stop() noexcept { stop_asked.store(true); }
void forget_stop_request() noexcept { stop_asked.store(false); }
bool stop_requested() noexcept { return stop_asked.load(std::memory_order_relaxed); }

void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : std::array{SIGINT, SIGTERM, SIGUSR1}) sigaction(signal, &action, nullptr);
  // Whoever has it ignored, as nohup has, means to go on without a terminal.
  struct sigaction now {};
  if (sigaction(SIGHUP, nullptr, &now) == 0 && now.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
}

}  // namespace ganymede
