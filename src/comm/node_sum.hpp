// Sums (and extremes) over the ranks of one node through memory that they share: every rank writes its part
// into its own buffer there, then each combines one slice of all buffers, in the order of the ranks, so that
// the result is the same in every run. Much faster than messages: nothing is copied, and ranks wait for each
// other by watching a counter instead of exchanging messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace ganymede::comm {

/// Called now and then while waiting, so that messages on their way get on.
using Progress = void (*)();

/// How a rank waits, look by look: for the few microseconds that ranks in step differ by, it watches; then it lets
/// others run, as ranks may outnumber processors; after tens of milliseconds (another rank writes a checkpoint) it
/// sleeps in between.
class Patience {
 public:
  explicit Patience(Progress progress) : progress_(progress) {}
  /// After a look that was in vain.
  void wait() noexcept;

 private:
  Progress progress_;
  int looks_ = 0;
};

/// A place where ranks wait for each other. Each has a counter of its arrivals, which only it writes.
class Gate {
 public:
  static std::size_t bytes(int ranks);
  /// `counters` is zeroed memory of bytes(ranks), shared by the ranks.
  Gate(void* counters, int rank, int ranks, Progress progress);

  void arrive() noexcept;
  /// Whether every rank has arrived as often as this one.
  [[nodiscard]] bool open() noexcept;
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
  int seen_ = 0;  // ranks, from the first on, that have arrived as often
  Progress progress_;
};

/// One buffer per rank and one for the result, with a gate.
class NodeBuffers {
 public:
  /// The shared memory that `ranks` buffers of `buffer_bytes` take.
  static std::size_t bytes(int ranks, std::size_t buffer_bytes);
  /// `memory` is zeroed, of the size that bytes() gives, and the same for all ranks.
  NodeBuffers(std::shared_ptr<void> memory, int rank, int ranks, std::size_t buffer_bytes, Progress progress);

  [[nodiscard]] Gate& gate() { return gate_; }
  [[nodiscard]] const std::shared_ptr<void>& memory() const { return memory_; }
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

struct Sum {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

/// This rank's share of the work: combines its slice of the first `count` elements of all buffers into the
/// result. For sums of float, double and std::int64_t, and extremes of std::int64_t.
template <class T, class Combine>
void combine_slice(const NodeBuffers& buffers, std::size_t count);

}  // namespace ganymede::comm
