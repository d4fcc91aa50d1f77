// Which rows of the global batch a rank has, and which of these go through the networks at a time.
#pragma once

#include <array>
#include <vector>

#include "ganymede/device.hpp"

namespace ganymede {

/// This rank's rows of the global batch, cut into its virtual shards.
struct BatchShare {
  int first_row = 0;
  std::vector<int> shard_begin;  ///< relative to first_row
  [[nodiscard]] int rows() const { return shard_begin.back(); }
};

/// By default each rank takes ⌊rB/R⌋ … ⌊(r+1)B/R⌋-1 as one shard; exact: of V shards, shard s holding
/// samples ⌊sB/V⌋ … ⌊(s+1)B/V⌋-1, rank r takes shards ⌊rV/R⌋ … ⌊(r+1)V/R⌋-1. Throws Error(usage) when a
/// rank would get nothing.
BatchShare share_of_batch(int batch, int rank, int size, bool exact, int shards);

/// Rows of a rank's share that go through the networks at a time.
class Slice {
 public:
  explicit Slice(const BatchShare& rows);
  /// Of its first row in the global batch.
  [[nodiscard]] int first_row() const { return first_row_; }
  [[nodiscard]] int rows() const { return layouts_[0].rows; }
  /// The layout of so many stacked batches of these rows.
  [[nodiscard]] const BatchLayout& parts(int count) const { return layouts_[static_cast<std::size_t>(count - 1)]; }

 private:
  int first_row_;
  std::array<BatchLayout, 3> layouts_;
};

/// A share in slices of at most `most` rows (0: in one): by default as few as that takes, of nearly the same size;
/// exact: of whole shards, as many as fit. No shard has more than `most` rows then (check_train_options()).
std::vector<Slice> slices_of(const BatchShare& share, int most, bool exact);

}  // namespace ganymede
