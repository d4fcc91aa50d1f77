// Memory for kernels, in lines of the caches.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <vector>

#include "ganymede/error.hpp"

namespace ganymede::cpu {

/// To be given back with std::free(). Throws Error(launch).
inline void* allocate_aligned(std::size_t bytes) {
  const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + 63) / 64 * 64;
  void* pointer = rounded < bytes ? nullptr : std::aligned_alloc(64, rounded);
  if (pointer == nullptr) {
    throw Error(ExitCode::launch, "no memory for " + std::to_string(bytes) +
                                      " bytes: use a smaller batch or network, or fewer ranks on this host");
  }
  return pointer;
}

struct Free {
  void operator()(void* pointer) const { std::free(pointer); }
};

/// Memory that grows with the largest call and is then kept: a step allocates nothing after the first.
template <class T>
class Workspace {
 public:
  T* get(std::size_t count) {
    if (count > values_.size()) values_.resize(count);
    return values_.data();
  }

 private:
  std::vector<T> values_;
};

}  // namespace ganymede::cpu
