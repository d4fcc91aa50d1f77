// A thread for what may hang: writes to a disk or a terminal that takes nothing. Whoever hands it work goes on at once.
#pragma once

#include <functional>
#include <memory>
#include <thread>

namespace ganymede {

class SerialExecutor {
 public:
  SerialExecutor();
  SerialExecutor(const SerialExecutor&) = delete;
  SerialExecutor& operator=(const SerialExecutor&) = delete;
  /// Leaves behind, with its thread, what is not done within a moment.
  ~SerialExecutor();

  /// Does `work` after all that was added before. It must not throw, nor refer to what may be gone by then. Nothing is
  /// done where the system gives no thread. For one thread at a time, as idle_within() is.
  void add(std::function<void()> work);
  /// Whether all is done after at most so many seconds.
  bool idle_within(double seconds);

 private:
  struct Queue;
  static void run(const std::shared_ptr<Queue>& queue);  // the thread

  std::shared_ptr<Queue> queue_;  // also the thread's, which may outlive this
  std::thread thread_;            // begun with the first work: most have none
};

}  // namespace ganymede
