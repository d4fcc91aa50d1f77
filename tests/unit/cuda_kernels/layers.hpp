// What the tests of the layers' kernels share: activations in double (tests/support), rows of a batch, shards of it.
#pragma once

#include <algorithm>
#include <vector>

#include "support/activations.hpp"
#include "unit/cuda_kernels/memory.hpp"

namespace ganymede::testing {

/// Rows first … last-1.
inline Values slice(const Values& values, int columns, int first, int last) {
  return {values.begin() + static_cast<std::ptrdiff_t>(area(first, columns)),
          values.begin() + static_cast<std::ptrdiff_t>(area(last, columns))};
}

/// `rows` per part cut into up to `count` uneven shards, some of them empty.
inline std::vector<int> cuts(int rows, int count) {
  std::vector<int> begin = {0};
  for (int s = 1; s < count; ++s) begin.push_back(std::clamp(rows * s / count + s % 3, begin.back(), rows));
  begin.push_back(rows);
  return begin;
}

}  // namespace ganymede::testing
