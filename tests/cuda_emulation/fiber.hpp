// Stacks that take turns: each of a block's threads runs on one. AddressSanitizer is told of every switch.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define GANYMEDE_ASAN_FIBERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GANYMEDE_ASAN_FIBERS 1
#endif
#endif

namespace ganymede::emulation {

/// `count` stacks in one mapping, a page without access below each.
class Stacks {
 public:
  static constexpr std::size_t bytes = std::size_t{64} * 1024;
  explicit Stacks(std::size_t count);
  ~Stacks();
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  [[nodiscard]] std::byte* operator[](std::size_t i) const;
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  std::size_t count_;
  std::byte* memory_;
};

/// A place where execution can go on: a host thread's own stack, or one of Stacks.
class Fiber {
 public:
  /// The stack that runs now.
  Fiber() = default;
  /// `start` is called on `stack` at the first switch to it. It never returns: its last act is finish().
  void reset(std::byte* stack, void (*start)());
  /// Goes on at `to`; returns when something switches back.
  void switch_to(Fiber& to);
  /// Goes on at `to` for good.
  void finish(Fiber& to);
  /// The first thing `start` does.
  void started(Fiber& from);
  [[nodiscard]] bool holds(const void* address) const { return address >= stack_ && address < stack_ + Stacks::bytes; }

 private:
  std::byte* stack_ = nullptr;
#if defined(__x86_64__)
  void* context_ = nullptr;
#else
  ucontext_t context_ = {};
#endif
#if defined(GANYMEDE_ASAN_FIBERS)
  const void* bottom_ = nullptr;
  std::size_t size_ = 0;
  void* fake_stack_ = nullptr;
#endif
};

}  // namespace ganymede::emulation
