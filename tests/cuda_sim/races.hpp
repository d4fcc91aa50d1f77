// Happens-before and the races that it leaves, for one allocation. Lanes are sequences of operations that are ordered
// among themselves (a stream; a chain of a graph's nodes); a Clock says how far along each lane one has seen. A
// Shadow remembers, per range of bytes, the last writer and the readers since. This is FastTrack (Flanagan and Freund
// 2009) over ranges: what it finds does not depend on the order in which operations happened to run, as long as
// that order is one that happens-before allows, and it holds no history: only the last accesses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cuda_sim {

using Tick = std::uint32_t;

/// Who an operation is: what clocks compare and messages name.
struct Stamp {
  std::string name;
  unsigned stream = 0;
  unsigned graph = 0;  ///< 0: none
  std::size_t node = 0;
  std::uint64_t serial = 0;
  unsigned lane = 0;
  Tick tick = 0;
  /// "'adam' (operation 17, stream 2)".
  [[nodiscard]] std::string text() const;
};
using StampPtr = std::shared_ptr<const Stamp>;

class Clock {
 public:
  void join(const Clock& other);
  void see(unsigned lane, Tick tick);
  [[nodiscard]] bool knows(const Stamp& stamp) const {
    return stamp.lane < ticks_.size() && ticks_[stamp.lane] >= stamp.tick;
  }
  [[nodiscard]] Tick at(unsigned lane) const { return lane < ticks_.size() ? ticks_[lane] : 0; }

 private:
  std::vector<Tick> ticks_;
};

/// An access that is ordered neither before nor after another.
struct Conflict {
  StampPtr other;
  bool other_writes;
  std::size_t begin, end;  ///< bytes, from the start of the allocation
};

class Shadow {
 public:
  /// Records an access to bytes begin … end-1 by `who`, whose clock `clock` includes itself; tells each conflict.
  void access(std::size_t begin, std::size_t end, bool write, const StampPtr& who, const Clock& clock,
              const std::function<void(const Conflict&)>& report);
  /// A recorded access to these bytes that `clock` has not seen and that a read (or write) conflicts with; null if
  /// none. A write does not conflict with reads of a single aligned word: a flag.
  [[nodiscard]] StampPtr unseen(std::size_t begin, std::size_t end, bool write, const Clock& clock) const;
  /// A recorded read anywhere that `clock` has not seen.
  [[nodiscard]] StampPtr unseen_reader(const Clock& clock) const;
  void clear() { segments_.clear(); }
  [[nodiscard]] std::size_t segments() const { return segments_.size(); }

 private:
  struct Segment {
    std::size_t end = 0;
    StampPtr writer;
    std::vector<StampPtr> readers;
  };
  using Map = std::map<std::size_t, Segment>;  ///< by first byte; they do not overlap

  void split(std::size_t at);
  void merge(std::size_t begin, std::size_t end);

  Map segments_;
};

/// Lanes in use. A released lane is used again, its ticks going on.
class Lanes {
 public:
  unsigned take();
  void release(unsigned lane) { free_.push_back(lane); }
  Tick next(unsigned lane) { return ++ticks_[lane]; }
  [[nodiscard]] Tick last(unsigned lane) const { return ticks_[lane]; }

 private:
  std::vector<Tick> ticks_;
  std::vector<unsigned> free_;
};

}  // namespace cuda_sim
