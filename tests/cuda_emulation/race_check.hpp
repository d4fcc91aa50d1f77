// Who touched which byte of memory during one launch, and whether two threads did so with nothing between them
// that orders them. Told of every load and store by the compiler's instrumentation (instrumentation.cpp).
//
// Two accesses to a byte, one of them a write and not both atomic, are a race unless the first comes before the
// second by one of these rules:
//   - same thread;
//   - same block, and a __syncthreads between them;
//   - same warp, and a __syncwarp between them (a shuffle does not order memory);
//   - different blocks: __threadfence and then an atomic operation by the first block, and by the second an atomic
//     operation on the same word, after it, and then __threadfence. Each block's half covers the thread that did it,
//     and the others of the block across a __syncthreads.
// Within a block this is exact for accesses of whole words: of a byte's history it keeps the last write and as many
// reads as a later write can collide with. Of reads by three and more blocks it keeps two.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "cuda_emulation/emulation.hpp"

namespace ganymede::emulation {

/// The thread that runs, and how many barriers it has passed.
struct Place {
  std::uint32_t block = 0;
  std::uint32_t barriers = 0;
  std::uint32_t warp_barriers = 0;
  std::uint16_t thread = 0;
};

enum class Access { read, write, atomic };

class RaceCheck {
 public:
  RaceCheck();
  ~RaceCheck();
  RaceCheck(const RaceCheck&) = delete;
  RaceCheck& operator=(const RaceCheck&) = delete;

  void begin();
  void touch(std::uintptr_t address, std::size_t bytes, Access kind, const Place& place);
  void fence(const Place& place);
  /// Shared memory of a block that ended.
  void forget(std::uintptr_t address, std::size_t bytes);
  /// The first race of this launch: empty when there was none.
  [[nodiscard]] const std::string& race() const { return race_; }
  [[nodiscard]] std::vector<AccessRange> ranges() const;

 private:
  struct Record;
  struct Cell;
  struct Page;
  struct Release {
    std::uint32_t block, barriers;
    std::uint16_t thread;
  };
  // An atomic operation by the block that runs: after the fence that follows, it has seen the first `count` releases
  // through that word.
  struct Acquire {
    std::uintptr_t word;
    std::size_t count;
    std::uint16_t thread;
    std::uint32_t barriers;
    bool fenced;
  };
  Page& page(std::uintptr_t number);
  Cell& cell(std::uintptr_t word);
  void touch_word(std::uintptr_t word, unsigned mask, Access kind, const Place& place);
  [[nodiscard]] bool ordered(const Record& earlier, const Place& now) const;
  void report(std::uintptr_t address, const Record& earlier, Access did, Access does, const Place& place);

  std::unordered_map<std::uintptr_t, std::unique_ptr<Page>> pages_;
  std::array<Page*, 64> recent_{};
  std::uint32_t launch_ = 0;
  std::unordered_map<std::uintptr_t, std::vector<Release>> releases_;
  std::vector<Acquire> acquires_;
  std::uint32_t acquiring_block_ = 0;
  std::vector<Place> fences_;  // of the block that runs: the last of each thread that fenced
  std::string race_;
};

}  // namespace ganymede::emulation
