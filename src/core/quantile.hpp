// What is usual of several numbers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace ganymede {

/// The value that a `share`, less than 1, of the values (at least one) is below.
template <class Value>
Value quantile(std::vector<Value> values, double share) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size()));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

/// Of an even number the greater of the two in the middle.
template <class Value>
Value median(std::vector<Value> values) {
  return quantile(std::move(values), 0.5);
}

}  // namespace ganymede
