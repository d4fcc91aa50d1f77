// Switching stacks: on x86-64 in a dozen instructions, elsewhere by ucontext.
#include "cuda_emulation/fiber.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <new>

#if defined(GANYMEDE_ASAN_FIBERS)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Saves what a function must preserve on the stack that it leaves, and takes it back from the one that it enters.
extern "C" void ganymede_emulation_switch(void** from, void* to);
asm(R"(
.text
.p2align 4
.globl ganymede_emulation_switch
.type ganymede_emulation_switch, @function
ganymede_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size ganymede_emulation_switch, .-ganymede_emulation_switch
)");
#endif

namespace ganymede::emulation {
namespace {

std::size_t guard_bytes() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

Stacks::Stacks(std::size_t count) : count_(count) {
  const std::size_t stride = bytes + guard_bytes();
  void* memory =
      mmap(nullptr, count * stride, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<std::byte*>(memory);
  for (std::size_t i = 0; i < count; ++i) mprotect(memory_ + i * stride, guard_bytes(), PROT_NONE);
}

Stacks::~Stacks() { munmap(memory_, count_ * (bytes + guard_bytes())); }

std::byte* Stacks::operator[](std::size_t i) const { return memory_ + i * (bytes + guard_bytes()) + guard_bytes(); }

void Fiber::reset(std::byte* stack, void (*start)()) {
  stack_ = stack;
#if defined(GANYMEDE_ASAN_FIBERS)
  // Whoever ran here before may have been left in the middle.
  ASAN_UNPOISON_MEMORY_REGION(stack, Stacks::bytes);
  bottom_ = stack;
  size_ = Stacks::bytes;
  fake_stack_ = nullptr;
#endif
#if defined(__x86_64__)
  // As if `start` had been called, which aligns the stack: a return address, and six registers to restore.
  auto** top = reinterpret_cast<void**>(stack + Stacks::bytes);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(start);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context_ = top;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack;
  context_.uc_stack.ss_size = Stacks::bytes;
  context_.uc_link = nullptr;
  makecontext(&context_, start, 0);
#endif
}

void Fiber::switch_to(Fiber& to) {
#if defined(GANYMEDE_ASAN_FIBERS)
  __sanitizer_start_switch_fiber(&fake_stack_, to.bottom_, to.size_);
#endif
#if defined(__x86_64__)
  ganymede_emulation_switch(&context_, to.context_);
#else
  swapcontext(&context_, &to.context_);
#endif
#if defined(GANYMEDE_ASAN_FIBERS)
  __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::finish(Fiber& to) {
#if defined(GANYMEDE_ASAN_FIBERS)
  __sanitizer_start_switch_fiber(nullptr, to.bottom_, to.size_);
#endif
#if defined(__x86_64__)
  ganymede_emulation_switch(&context_, to.context_);
#else
  setcontext(&to.context_);
#endif
  __builtin_unreachable();
}

// The instance is used by AddressSanitizer alone.
// NOLINTNEXTLINE(readability-convert-member-functions-to-static)
void Fiber::started([[maybe_unused]] Fiber& from) {
#if defined(GANYMEDE_ASAN_FIBERS)
  __sanitizer_finish_switch_fiber(nullptr, &from.bottom_, &from.size_);
#endif
}

}  // namespace ganymede::emulation
