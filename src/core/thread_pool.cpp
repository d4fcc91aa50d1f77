#include "core/thread_pool.hpp"

#include <immintrin.h>

#include <string>
#include <system_error>

#include "ganymede/error.hpp"

namespace ganymede {
namespace {

// Some tens of microseconds: longer than the gaps between the operations of a step, far shorter than a
// scheduler's time slice.
constexpr int spins = 1000;

// Returns once `value` is no longer `old`.
std::uint32_t wait_while(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int i = 0; i < spins; ++i) {
    const std::uint32_t now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    _mm_pause();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads) : taken_(std::make_unique<Taken[]>(static_cast<std::size_t>(threads))) {
  workers_.reserve(static_cast<std::size_t>(threads) - 1);
  try {
    for (int part = 1; part < threads; ++part) workers_.emplace_back([this, part, threads] { work(part, threads); });
  } catch (const std::system_error& error) {
    const std::string started = std::to_string(workers_.size() + 1);
    stop();
    throw Error(ExitCode::launch, "only " + started + " of " + std::to_string(threads) + " threads could be started (" +
                                      error.code().message() + "): ask for fewer with --threads");
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() noexcept {
  task_ = nullptr;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

// Each thread has a part of its own, whose data its core's cache may hold from the last time: the caller takes of the
// others' only what is left when it has done its own.
void ThreadPool::dispatch(Task task, void* body) {
  task_ = task;
  body_ = body;
  running_.store(static_cast<std::uint32_t>(workers_.size()), std::memory_order_relaxed);
  const std::uint32_t round = round_.fetch_add(1, std::memory_order_release) + 1;
  round_.notify_all();
  task(body, 0, threads());
  for (int part = 1; part < threads(); ++part) {
    if (!claim(part, round)) continue;
    task(body, part, threads());
    running_.fetch_sub(1, std::memory_order_relaxed);
  }
  for (std::uint32_t left = running_.load(std::memory_order_acquire); left != 0;) left = wait_while(running_, left);
}

// A thread that comes when the round is over finds its part taken in it, or, later still, in another.
bool ThreadPool::claim(int part, std::uint32_t round) {
  std::uint32_t before = round - 1;
  return taken_[static_cast<std::size_t>(part)].round.compare_exchange_strong(before, round, std::memory_order_acq_rel);
}

void ThreadPool::work(int part, int parts) {
  std::uint32_t round = 0;
  for (;;) {
    round = wait_while(round_, round);
    if (!claim(part, round)) continue;
    if (task_ == nullptr) return;
    task_(body_, part, parts);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace ganymede
