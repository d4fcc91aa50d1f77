// Counts every allocation of the process, whoever makes it: malloc and its kin are replaced in the executable that
// includes this file, and so in all its libraries. Include it in one file of an executable.
//
// Counted are allocations between counting(true) and counting(false), by any thread. Each is put down to a library:
// the innermost caller that is neither the C or C++ library nor a loader. Our own code is linked into the executable
// itself, so it can be told from MPI's libraries and plug-ins.
#pragma once

#include <dlfcn.h>
#include <execinfo.h>
#include <xmmintrin.h>  // Clang's declares posix_memalign without noexcept, which it accepts before the definition only

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <map>
#include <string>

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace ganymede::testing::allocations {

inline std::atomic<bool> on{false};

/// What was seen, by call site: filled without allocating, read when counting is off.
struct Site {
  std::array<void*, 24> frames;
  int depth;
};
inline std::array<Site, 4096> sites;
inline std::atomic<std::size_t> seen{0};

inline thread_local bool inside = false;

__attribute__((noinline)) inline void note() {
  if (!on.load(std::memory_order_relaxed) || inside) return;
  inside = true;  // backtrace may allocate
  const std::size_t place = seen.fetch_add(1);
  if (place < sites.size())
    sites[place].depth = backtrace(sites[place].frames.data(), static_cast<int>(sites[place].frames.size()));
  inside = false;
}

inline void counting(bool now) {
  if (now) {
    void* frames[4];
    backtrace(frames, 4);  // loads what it needs the first time
    seen = 0;
  }
  on = now;
}

/// The file name of the object that holds an address.
inline std::string object_of(void* address) {
  Dl_info info{};
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return "?";
  const char* slash = std::strrchr(info.dli_fname, '/');
  return slash == nullptr ? info.dli_fname : slash + 1;
}

/// Whose an allocation is: "" for the executable's own code.
inline std::string owner_of(const Site& site) {
  const std::string self = object_of(reinterpret_cast<void*>(&note));
  // The first two frames are note() and the replacement that called it.
  for (int i = 2; i < site.depth; ++i) {
    const std::string object = object_of(site.frames[static_cast<std::size_t>(i)]);
    if (object.starts_with("libc.so") || object.starts_with("libstdc++") || object.starts_with("ld-linux")) continue;
    return object == self ? "" : object;
  }
  return "?";
}

/// Allocations by owner since counting(true).
inline std::map<std::string, std::size_t> by_owner() {
  std::map<std::string, std::size_t> result;
  const std::size_t count = seen.load();
  for (std::size_t i = 0; i < count && i < sites.size(); ++i) ++result[owner_of(sites[i])];
  if (count > sites.size()) result["?"] += count - sites.size();
  return result;
}

}  // namespace ganymede::testing::allocations

extern "C" {
__attribute__((noinline)) void* malloc(std::size_t size) noexcept {
  ganymede::testing::allocations::note();
  return __libc_malloc(size);
}
__attribute__((noinline)) void* calloc(std::size_t count, std::size_t size) noexcept {
  ganymede::testing::allocations::note();
  return __libc_calloc(count, size);
}
__attribute__((noinline)) void* realloc(void* pointer, std::size_t size) noexcept {
  ganymede::testing::allocations::note();
  return __libc_realloc(pointer, size);
}
__attribute__((noinline)) void* memalign(std::size_t alignment, std::size_t size) noexcept {
  ganymede::testing::allocations::note();
  return __libc_memalign(alignment, size);
}
__attribute__((noinline)) void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  ganymede::testing::allocations::note();
  return __libc_memalign(alignment, size);
}
__attribute__((noinline)) int posix_memalign(void** to, std::size_t alignment, std::size_t size) noexcept {
  ganymede::testing::allocations::note();
  void* memory = __libc_memalign(alignment, size);
  if (memory == nullptr) return ENOMEM;
  *to = memory;
  return 0;
}
}
