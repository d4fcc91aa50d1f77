// A list of types that a backend can dispatch on by index: how a new activation or loss reaches every
// kernel by being named once.
#pragma once

#include <type_traits>

#include "math/portable.hpp"

namespace ganymede::math {

template <class... Ts>
struct TypeList {
  static constexpr int size = sizeof...(Ts);

  /// Calls fn(T{}) for the `index`-th type; does nothing when there is none.
  template <class Fn>
  GANYMEDE_MATH static void visit(int index, Fn&& fn) {
    int i = 0;
    ((i++ == index ? static_cast<void>(fn(Ts{})) : static_cast<void>(0)), ...);
  }

  /// The index of a type of the list.
  template <class T>
  static constexpr int index_of() {
    int i = 0;
    int found = -1;
    ((std::is_same_v<T, Ts> ? (found = i, ++i) : ++i), ...);
    return found;
  }

  /// The index of the type called `name`, or -1. `Equal` compares two C strings.
  template <class Equal>
  static constexpr int find(Equal&& equal) {
    int i = 0;
    int found = -1;
    ((equal(Ts::name) && found < 0 ? (found = i, ++i) : ++i), ...);
    return found;
  }
};

}  // namespace ganymede::math
