// See serial_executor.hpp.
#include "core/serial_executor.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <utility>

#include "core/thread_without_signals.hpp"

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
    try {
      thread_ = thread_without_signals([queue = queue_] { run(queue); });
    } catch (const std::system_error&) {
      return;  // what it is for is worth less than what would end with an error here
    }
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
    // A copy would take memory, of which there may be none.
    const std::function<void()> work = std::move(queue->work.front());
    lock.unlock();
    work();
    lock.lock();
    queue->work.pop_front();
    queue->changed.notify_all();
  }
}

}  // namespace ganymede
