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

/// The images of a set, for sources that do more than to give them.
class SetSource : public SampleSource {
 public:
  explicit SetSource(const ImageSet& set) : source_(set) {}
  [[nodiscard]] std::uint64_t count() const override { return source_.count(); }
  [[nodiscard]] int image_size() const override { return source_.image_size(); }
  [[nodiscard]] int classes() const override { return source_.classes(); }
  void read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) override {
    source_.read(first, count, images, labels);
  }

 private:
  ImageSetSource source_;
};

/// Counts what is read.
class CountingSource final : public SetSource {
 public:
  using SetSource::SetSource;
  void read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) override {
    ++reads;
    images_read += count;
    SetSource::read(first, count, images, labels);
  }
  void before_blocks() override {
    if (++asked == asked_until) throw 7;
  }
  int reads = 0;
  int images_read = 0;
  int asked = 0;
  int asked_until = 0;
};

}  // namespace ganymede::eval::testing
