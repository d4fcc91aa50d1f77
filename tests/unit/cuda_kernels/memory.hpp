// What the kernels' tests share: device memory that knows its bounds, and sums in either form.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "cuda_emulation/emulation.hpp"
#include "device/cuda/kernels.hpp"
#include "support/values.hpp"

namespace ganymede::testing {

/// Which memory exists, and whether a kernel went beyond it.
class Bounds {
 public:
  static Bounds& instance() {
    static Bounds bounds;
    return bounds;
  }
  void add(const void* begin, std::size_t bytes) { known_.push_back({static_cast<const std::byte*>(begin), bytes}); }
  void remove(const void* begin) {
    known_.erase(std::find_if(known_.begin(), known_.end(), [&](const Block& b) { return b.begin == begin; }));
  }
  /// The kernels that touched other memory since the last call.
  std::string strays() { return std::exchange(strays_, {}); }
  void check(const char* kernel, const std::vector<emulation::AccessRange>& ranges) {
    for (const emulation::AccessRange& range : ranges) {
      const bool inside = std::any_of(known_.begin(), known_.end(), [&](const Block& b) {
        return range.begin >= b.begin && range.begin + range.bytes <= b.begin + b.bytes;
      });
      if (inside) continue;
      std::ostringstream text;
      text << kernel << (range.written ? " wrote " : " read ") << range.bytes << " bytes at "
           << static_cast<const void*>(range.begin) << "\n";
      strays_ += text.str();
    }
  }

 private:
  struct Block {
    const std::byte* begin;
    std::size_t bytes;
  };
  std::vector<Block> known_;
  std::string strays_;
};

/// `count` elements of device memory, `shift` elements beyond a 64-byte boundary.
template <class T>
class Memory {
 public:
  explicit Memory(std::size_t count, T value = {}, std::size_t shift = 0)
      : count_(count), whole_(new (std::align_val_t{64}) T[count + shift]), data_(whole_.get() + shift) {
    std::fill(data_, data_ + count, value);
    if (count > 0) Bounds::instance().add(data_, count * sizeof(T));
  }
  explicit Memory(const std::vector<T>& values, std::size_t shift = 0) : Memory(values.size(), T{}, shift) {
    std::copy(values.begin(), values.end(), data_);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() {
    if (count_ > 0) Bounds::instance().remove(data_);
  }
  [[nodiscard]] T* data() { return data_; }
  [[nodiscard]] T& operator[](std::size_t i) { return data_[i]; }
  [[nodiscard]] std::vector<T> host() const { return {data_, data_ + count_}; }

 private:
  struct Free {
    void operator()(T* pointer) const { ::operator delete[](pointer, std::align_val_t{64}); }
  };
  std::size_t count_;
  std::unique_ptr<T[], Free> whole_;
  T* data_;
};

/// A test of kernels: all memory that they touch must be some Memory.
class Kernels : public ::testing::Test {
 protected:
  void SetUp() override {
    emulation::set_seed(1);
    emulation::set_access_hook([](const char* kernel, const std::vector<emulation::AccessRange>& ranges) {
      Bounds::instance().check(kernel, ranges);
    });
  }
  void TearDown() override {
    EXPECT_EQ(Bounds::instance().strays(), "");
    emulation::set_access_hook({});
  }
};

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

inline cuda::Shards shards_of(int parts, const std::vector<int>& begin) {
  cuda::Shards shards;
  shards.parts = parts;
  shards.rows = begin.back();
  shards.count = static_cast<int>(begin.size()) - 1;
  std::copy(begin.begin(), begin.end(), shards.begin);
  return shards;
}

/// A sum's target of `count` elements in either form, and what it holds as double.
class Target {
 public:
  /// `initial`: what is there before; 0 for sums that are added to.
  Target(std::size_t count, bool exact, std::size_t shift = 0, int initial = 7)
      : exact_(exact),
        values_(exact ? 0 : count, static_cast<float>(initial), shift),
        fixed_(exact ? count : 0, initial, shift),
        overflow_(1, 0) {}
  cuda::Sum sum() {
    cuda::Sum sum;
    if (exact_) {
      sum.fixed = fixed_.data();
      sum.overflow = overflow_.data();
    } else {
      sum.values = values_.data();
    }
    return sum;
  }
  [[nodiscard]] std::int64_t overflow() const { return overflow_.host()[0]; }
  [[nodiscard]] std::vector<std::int64_t> fixed() const { return fixed_.host(); }
  [[nodiscard]] Values values() const { return values_.host(); }
  [[nodiscard]] Values as_values() const {
    if (!exact_) return values_.host();
    Values result;
    for (std::int64_t value : fixed_.host()) result.push_back(static_cast<float>(static_cast<double>(value) * 0x1p-40));
    return result;
  }

 private:
  bool exact_;
  Memory<float> values_;
  Memory<std::int64_t> fixed_;
  Memory<std::int64_t> overflow_;
};

/// Partial sums for kernels that add over blocks; checks that the tickets are back at 0.
class Partials {
 public:
  Partials()
      : partial_(cuda::Scratch::partial_count, std::numeric_limits<double>::quiet_NaN()),
        tickets_(cuda::Scratch::ticket_count, 0U) {}
  ~Partials() {
    for (std::size_t i = 0; i < cuda::Scratch::ticket_count; ++i) EXPECT_EQ(tickets_[i], 0U);
  }
  Partials(const Partials&) = delete;
  Partials& operator=(const Partials&) = delete;
  cuda::Scratch scratch() { return {partial_.data(), tickets_.data()}; }

 private:
  Memory<double> partial_;
  Memory<unsigned> tickets_;
};

}  // namespace ganymede::testing
