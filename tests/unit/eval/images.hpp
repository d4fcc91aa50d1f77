// Images for the tests of src/eval/: random bytes, and sets over memory of their own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "eval/sample_source.hpp"

namespace ganymede::eval::testing {

/// Images [count, size] of one row each, with labels where they are given.
struct OwnSet {
  std::vector<std::uint8_t> images;
  std::vector<std::uint8_t> labels;
  int size = 0;

  [[nodiscard]] ImageSet set() const {
    ImageSet set;
    set.images = images;
    set.labels = labels;
    set.count = static_cast<std::uint32_t>(images.size() / static_cast<std::size_t>(size));
    set.height = 1;
    set.width = size;
    return set;
  }
};

/// Values 0 … most, labels 0 … 9.
inline OwnSet random_set(std::uint32_t count, int size, unsigned seed, int most = 255) {
  std::mt19937 random(seed);
  OwnSet set;
  set.size = size;
  set.images.resize(static_cast<std::size_t>(count) * static_cast<std::size_t>(size));
  std::uniform_int_distribution<int> value(0, most);
  std::uniform_int_distribution<int> label(0, 9);
  std::generate(set.images.begin(), set.images.end(), [&] { return static_cast<std::uint8_t>(value(random)); });
  set.labels.resize(count);
  std::generate(set.labels.begin(), set.labels.end(), [&] { return static_cast<std::uint8_t>(label(random)); });
  return set;
}

inline std::int64_t squared_distance(const std::uint8_t* a, const std::uint8_t* b, int size) {
  std::int64_t sum = 0;
  for (int i = 0; i < size; ++i) sum += std::int64_t{a[i] - b[i]} * (a[i] - b[i]);
  return sum;
}

}  // namespace ganymede::eval::testing
