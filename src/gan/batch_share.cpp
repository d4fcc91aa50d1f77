// See batch_share.hpp.
#include "gan/batch_share.hpp"

#include <cstdint>
#include <string>

#include "core/numbers.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

// Where part number `part` begins, of `parts` nearly equal ones.
int cut(std::int64_t total, int part, int parts) { return static_cast<int>(total * part / parts); }

}  // namespace

BatchShare share_of_batch(int batch, int rank, int size, bool exact, int shards) {
  if (size > batch)
    throw Error(ExitCode::usage, std::to_string(size) + " ranks cannot share a batch of " + std::to_string(batch) +
                                     ": start at most " + counted(batch, "rank") + " or raise --batch");
  if (exact && size > shards)
    throw Error(ExitCode::usage, std::to_string(size) + " ranks cannot share " + counted(shards, "virtual shard") +
                                     ": start at most " + counted(shards, "rank") +
                                     " or raise --shards (which changes the trajectory)");
  BatchShare share;
  if (exact) {
    const int first = cut(shards, rank, size);
    const int last = cut(shards, rank + 1, size);
    share.first_row = cut(batch, first, shards);
    for (int s = first; s <= last; ++s) share.shard_begin.push_back(cut(batch, s, shards) - share.first_row);
  } else {
    share.first_row = cut(batch, rank, size);
    share.shard_begin = {0, cut(batch, rank + 1, size) - share.first_row};
  }
  return share;
}

Slice::Slice(const BatchShare& rows) : first_row_(rows.first_row) {
  for (int parts = 1; parts <= static_cast<int>(layouts_.size()); ++parts)
    layouts_[static_cast<std::size_t>(parts - 1)] = {parts, rows.rows(), rows.shard_begin};
}

std::vector<Slice> slices_of(const BatchShare& share, int most, bool exact) {
  if (most <= 0 || share.rows() <= most) return {Slice(share)};
  std::vector<Slice> slices;
  if (!exact) {
    const int count = (share.rows() + most - 1) / most;
    for (int i = 0; i < count; ++i) {
      const int begin = cut(share.rows(), i, count);
      slices.emplace_back(BatchShare{share.first_row + begin, {0, cut(share.rows(), i + 1, count) - begin}});
    }
    return slices;
  }
  BatchShare next{share.first_row, {0}};
  for (std::size_t s = 1; s < share.shard_begin.size(); ++s) {
    const int rows = share.shard_begin[s] - share.shard_begin[s - 1];
    if (next.rows() > 0 && next.rows() + rows > most) {
      slices.emplace_back(next);
      next = {next.first_row + next.rows(), {0}};
    }
    next.shard_begin.push_back(next.rows() + rows);
  }
  slices.emplace_back(next);
  return slices;
}

}  // namespace ganymede
