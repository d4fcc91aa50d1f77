// How arrays lie, as libraries ask for it.
#pragma once

#include <cstdint>

namespace ganymede::cuda {

/// The largest power of two, up to `most`, that three addresses are multiples of.
inline int alignment_of(const void* a, const void* b, const void* c, int most) {
  const auto all = reinterpret_cast<std::uintptr_t>(a) | reinterpret_cast<std::uintptr_t>(b) |
                   reinterpret_cast<std::uintptr_t>(c) | static_cast<std::uintptr_t>(most);
  return static_cast<int>(all & (~all + 1));
}

}  // namespace ganymede::cuda
