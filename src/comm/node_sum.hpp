// Sums (and extremes) over the ranks of one node through memory that they share: every rank writes its part
// into its own buffer there, then each combines one slice of all buffers, in the order of the ranks, so that
// the result is the same in every run. Much faster than messages: nothing is copied, and ranks wait for each
// other by watching a counter instead of exchanging messages.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace ganymede::comm {

/// A place where ranks wait for each other. Each has a counter of its arrivals, which only it writes.
class Gate {
 public:
  /// Called now and then while waiting, so that messages on their way get on.
  using Progress = void (*)();

  static std::size_t bytes(int ranks);
  /// `counters` is zeroed memory of bytes(ranks), shared by the ranks.
  Gate(void* counters, int rank, int ranks, Progress progress);

  void arrive() noexcept;
  /// Waits until every rank has arrived as often as this one.
  void wait() noexcept;
  void meet() noexcept {
    arrive();
    wait();
  }

 private:
  std::uint64_t* counters_;
  int rank_;
  int ranks_;
  std::uint64_t arrivals_ = 0;
  Progress progress_;
};

/// One buffer per rank and one for the result, with a gate.
class NodeBuffers {
 public:
  /// The shared memory that `ranks` buffers of `buffer_bytes` take.
  static std::size_t bytes(int ranks, std::size_t buffer_bytes);
  /// `memory` is zeroed, of the size that bytes() gives, and the same for all ranks.
  NodeBuffers(std::shared_ptr<void> memory, int rank, int ranks, std::size_t buffer_bytes, Gate::Progress progress);

  [[nodiscard]] Gate& gate() { return gate_; }
  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int ranks() const { return ranks_; }
  [[nodiscard]] std::byte* buffer(int rank) const { return buffers_ + static_cast<std::size_t>(rank) * stride_; }
  /// One rank alone has its result where its buffer is.
  [[nodiscard]] std::byte* result() const { return ranks_ == 1 ? buffers_ : buffer(ranks_); }

 private:
  std::shared_ptr<void> memory_;
  int rank_;
  int ranks_;
  std::size_t stride_;
  std::byte* buffers_;
  Gate gate_;
};

/// This rank's share of the work: combines its slice of the first `count` elements of all buffers into the
/// result, where combine(T, T) → T.
template <class T, class Combine>
void combine_slice(const NodeBuffers& buffers, std::size_t count, Combine combine) {
  const auto ranks = static_cast<std::size_t>(buffers.ranks());
  if (ranks == 1) return;
  constexpr std::size_t line = 64 / sizeof(T);  // no two ranks write to one cache line
  const std::size_t lines = (count + line - 1) / line;
  const auto rank = static_cast<std::size_t>(buffers.rank());
  const std::size_t begin = std::min(lines * rank / ranks * line, count);
  const std::size_t end = std::min(lines * (rank + 1) / ranks * line, count);

  // Blocks that stay in the first-level cache while the third and later buffers are added to them.
  constexpr std::size_t block = 8192 / sizeof(T);
  for (std::size_t from = begin; from < end; from += block) {
    const std::size_t length = std::min(block, end - from);
    T* __restrict result = reinterpret_cast<T*>(buffers.result()) + from;
    const T* __restrict first = reinterpret_cast<const T*>(buffers.buffer(0)) + from;
    const T* __restrict second = reinterpret_cast<const T*>(buffers.buffer(1)) + from;
    for (std::size_t i = 0; i < length; ++i) result[i] = combine(first[i], second[i]);
    for (int other = 2; other < buffers.ranks(); ++other) {
      const T* __restrict next = reinterpret_cast<const T*>(buffers.buffer(other)) + from;
      for (std::size_t i = 0; i < length; ++i) result[i] = combine(result[i], next[i]);
    }
  }
}

}  // namespace ganymede::comm
