// What GCC's and Clang's -fsanitize=thread calls for every load and store of the code that it instruments. The
// kernels are compiled with it, this is compiled without and linked in place of the sanitizer's own library: the
// calls go to the emulation. Of its atomic functions it has the one that the launches' std::shared_ptr needs: a
// kernel uses CUDA's.
#include <cstddef>
#include <cstdint>

#include "cuda_emulation/thread.hpp"

using ganymede::emulation::Access;
using ganymede::emulation::touch;

extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier, readability-identifier-naming)
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit(void*) {}

#define GANYMEDE_SIZE(bytes)                                                                  \
  void __tsan_read##bytes(void* address) { touch(address, bytes, Access::read); }             \
  void __tsan_write##bytes(void* address) { touch(address, bytes, Access::write); }           \
  void __tsan_unaligned_read##bytes(void* address) { touch(address, bytes, Access::read); }   \
  void __tsan_unaligned_write##bytes(void* address) { touch(address, bytes, Access::write); } \
  void __tsan_volatile_read##bytes(void* address) { touch(address, bytes, Access::read); }    \
  void __tsan_volatile_write##bytes(void* address) { touch(address, bytes, Access::write); }
GANYMEDE_SIZE(1)
GANYMEDE_SIZE(2)
GANYMEDE_SIZE(4)
GANYMEDE_SIZE(8)
GANYMEDE_SIZE(16)
#undef GANYMEDE_SIZE

void __tsan_read_range(void* address, std::size_t bytes) { touch(address, bytes, Access::read); }
void __tsan_write_range(void* address, std::size_t bytes) { touch(address, bytes, Access::write); }
int __tsan_atomic32_fetch_add(volatile int* at, int value, int /*order*/) {
  return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

// How Clang instruments copies of whole objects.
void* __tsan_memcpy(void* to, const void* from, std::size_t bytes) {
  touch(from, bytes, Access::read);
  touch(to, bytes, Access::write);
  return __builtin_memcpy(to, from, bytes);
}
void* __tsan_memset(void* to, int value, std::size_t bytes) {
  touch(to, bytes, Access::write);
  return __builtin_memset(to, value, bytes);
}
void* __tsan_memmove(void* to, const void* from, std::size_t bytes) {
  touch(from, bytes, Access::read);
  touch(to, bytes, Access::write);
  return __builtin_memmove(to, from, bytes);
}
// NOLINTEND(bugprone-reserved-identifier, readability-identifier-naming)

}  // extern "C"
