// See engine.hpp.
#include "device/cpu/engine.hpp"

#include <algorithm>
#include <bit>

namespace ganymede::cpu {
namespace {

// A fifth of a millisecond: messages that arrive meanwhile can wait for so long.
constexpr std::size_t work_between_looks = std::size_t{1} << 24U;

}  // namespace

void clear(std::size_t count, bool accumulate, const SumTarget& target) {
  if (accumulate) return;
  if (target.exact()) {
    std::fill(target.fixed, target.fixed + count, 0);
  } else {
    std::fill(target.values, target.values + count, 0.0F);
  }
}

Engine::Engine(int threads, const Kernels& of_machine)
    : kernels(of_machine),
      pool_(threads),
      scratch_(
          static_cast<float*>(allocate_aligned(static_cast<std::size_t>(threads) * scratch_floats * sizeof(float)))) {}

int Engine::cuts(std::size_t work) const {
  if (sums.none()) return 1;
  const std::size_t look = work_between_looks * static_cast<std::size_t>(pool_.threads());
  return static_cast<int>(std::bit_floor(std::clamp<std::size_t>(work / look, 1, 64)));
}

RowOrder Engine::row_order(const BatchLayout& layout, bool exact, int pixels) {
  const int count = layout.total_rows() * pixels;
  const int shards = exact ? layout.shards() : 1;
  int* row = order_.get(static_cast<std::size_t>(count));
  int* shard_end = shard_end_.get(static_cast<std::size_t>(shards));
  if (!exact) {
    for (int i = 0; i < count; ++i) row[i] = i;
    shard_end[0] = count;
    return {count, row, 1, shard_end};
  }
  int k = 0;
  for (int s = 0; s < shards; ++s) {
    for (int part = 0; part < layout.parts; ++part)
      for (int r = layout.shard_begin[static_cast<std::size_t>(s)] * pixels;
           r < layout.shard_begin[static_cast<std::size_t>(s) + 1] * pixels; ++r)
        row[k++] = part * layout.rows * pixels + r;
    shard_end[s] = k;
  }
  return {k, row, shards, shard_end};
}

}  // namespace ganymede::cpu
