// Requests to stop: a signal handler sets a flag, and the ranks agree on it in the reduction of the step.
#include "train/stop.hpp"

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <ctime>

#include "ganymede/error.hpp"
#include "ganymede/trainer.hpp"

namespace ganymede {
namespace {

std::atomic<bool> stop_asked{false};
// Nanoseconds. An interrupt so soon after another means more than that one.
constexpr std::int64_t soon = 2'000'000'000;
std::atomic<std::int64_t> last_interrupt{-soon - 1};
std::atomic<std::uint64_t> continued{0};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<std::int64_t>::is_always_lock_free);

void on_signal(int signal) {
  if (signal == SIGINT) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const std::int64_t at = std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
    if (at - last_interrupt.exchange(at) <= soon && stop_asked.load()) {
      std::signal(SIGINT, SIG_DFL);
      std::raise(SIGINT);
      return;
    }
  }
  stop_asked.store(true);
}

void on_continue(int /*signal*/) { continued.fetch_add(1); }

}  // namespace

std::uint64_t times_continued() noexcept { return continued.load(std::memory_order_relaxed); }
void request_stop() noexcept { stop_asked.store(true); }
void forget_stop_request() noexcept { stop_asked.store(false); }
bool stop_requested() noexcept { return stop_asked.load(std::memory_order_relaxed); }

void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : std::array{SIGINT, SIGTERM, SIGUSR1}) sigaction(signal, &action, nullptr);
  struct sigaction going_on = action;
  going_on.sa_handler = on_continue;
  sigaction(SIGCONT, &going_on, nullptr);
  // Whoever has it ignored, as nohup has, means to go on without a terminal.
  struct sigaction now {};
  if (sigaction(SIGHUP, nullptr, &now) == 0 && now.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
}

}  // namespace ganymede
