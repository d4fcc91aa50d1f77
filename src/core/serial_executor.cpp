// See serial_executor.hpp.
#include "core/serial_executor.hpp"

#include <signal.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <utility>

namespace ganymede {
namespace {

constexpr double last_work_takes = 0.3;  // seconds

}  // namespace

struct SerialExecutor::Queue {
  std::mutex mutex;  // of all below
  std::condition_variable changed;
  std::deque<std::function<void()>> work;  // the first of it is being done
  bool over = false;
};

SerialExecutor::SerialExecutor() : queue_(std::make_shared<Queue>()) {}

SerialExecutor::~SerialExecutor() {
  if (!thread_.joinable()) return;
  const bool idle = idle_within(last_work_takes);
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->over = true;
  }
  queue_->changed.notify_all();
  if (idle)
    thread_.join();
  else
    thread_.detach();
}

void SerialExecutor::add(std::function<void()> work) {
  if (!thread_.joinable()) {
    // Signals are for the thread that works.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    try {
      thread_ = std::thread(run, queue_);
    } catch (const std::system_error&) {
      // What it is for is worth less than what would end with an error here.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!thread_.joinable()) return;
  }
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->work.push_back(std::move(work));
  }
  queue_->changed.notify_all();
}

bool SerialExecutor::idle_within(double seconds) {
  std::unique_lock lock(queue_->mutex);
  return queue_->changed.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return queue_->work.empty(); });
}

void SerialExecutor::run(const std::shared_ptr<Queue>& queue) {
  std::unique_lock lock(queue->mutex);
  while (true) {
    queue->changed.wait(lock, [&] { return queue->over || !queue->work.empty(); });
    if (queue->over) return;
    const std::function<void()> work = queue->work.front();
    lock.unlock();
    work();
    lock.lock();
    queue->work.pop_front();
    queue->changed.notify_all();
  }
}

}  // namespace ganymede
