// A few threads that run one function together, over and over: what a training step needs. A call costs
// no allocation and no lock; waiting threads spin briefly, then sleep, so that several ranks may share a
// machine with fewer cores than threads. Where others keep a core busy, its thread comes late; the caller
// does not wait for one that has not begun, but does its part as well.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace ganymede {

class ThreadPool {
 public:
  /// `threads` ≥ 1 counts the caller: one thread starts no others. Throws Error(launch) when the system
  /// gives no more threads.
  explicit ThreadPool(int threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  [[nodiscard]] int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls function(part, parts) once for every part in 0 … parts-1, parts = threads(), at the same time,
  /// and returns when all have returned. `function` must not throw; one call at a time.
  template <class Function>
  void run(Function&& function) {
    if (workers_.empty()) {
      function(0, 1);
      return;
    }
    using Body = std::remove_reference_t<Function>;
    dispatch([](void* body, int part, int parts) { (*static_cast<Body*>(body))(part, parts); },
             const_cast<void*>(static_cast<const void*>(&function)));
  }

 private:
  using Task = void (*)(void* body, int part, int parts);

  void dispatch(Task task, void* body);
  void work(int part, int parts);
  [[nodiscard]] bool claim(int part, std::uint32_t round);
  void stop() noexcept;

  // The last round in which a part has been taken, by its thread or by the caller.
  struct alignas(64) Taken {
    std::atomic<std::uint32_t> round{0};
  };

  std::vector<std::thread> workers_;
  std::unique_ptr<Taken[]> taken_;  // by part
  Task task_ = nullptr;             // null: the workers end
  void* body_ = nullptr;
  // Each on a cache line of its own: the one is polled by the workers, the other by the caller.
  alignas(64) std::atomic<std::uint32_t> round_{0};
  alignas(64) std::atomic<std::uint32_t> running_{0};
};

}  // namespace ganymede
