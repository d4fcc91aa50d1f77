// Which rows of the batch a rank has, and in which slices.
#include "gan/batch_share.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "ganymede/error.hpp"

namespace ganymede::testing {
namespace {

TEST(BatchShare, CoversEveryRowOnce) {
  for (const bool exact : {false, true})
    for (const int batch : {1, 7, 8, 100, 101})
      for (int shards = 1; shards <= std::min(batch, 9); ++shards)
        for (int size = 1; size <= (exact ? shards : batch) && size <= 13; ++size) {
          int next = 0;
          int cuts = 0;
          int least = batch;
          int most = 0;
          for (int rank = 0; rank < size; ++rank) {
            const BatchShare share = share_of_batch(batch, rank, size, exact, shards);
            ASSERT_EQ(share.first_row, next);
            ASSERT_EQ(share.shard_begin.front(), 0);
            for (std::size_t s = 0; s + 1 < share.shard_begin.size(); ++s) {
              // Shards are where the batch and V alone put them, whichever rank has them.
              if (exact) {
                ASSERT_EQ(share.first_row + share.shard_begin[s], batch * cuts / shards);
              }
              ASSERT_LT(share.shard_begin[s], share.shard_begin[s + 1]);
              ++cuts;
            }
            least = std::min(least, share.rows());
            most = std::max(most, share.rows());
            next += share.rows();
          }
          ASSERT_EQ(next, batch);
          ASSERT_EQ(cuts, exact ? shards : size);
          if (!exact) {
            ASSERT_LE(most - least, 1);
          }
        }
}

TEST(BatchShare, RefusesMoreRanksThanThereIsWork) {
  const auto failure = [](int batch, int size, bool exact) -> std::string {
    try {
      share_of_batch(batch, 0, size, exact, 8);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(failure(3, 4, false), ::testing::AllOf(::testing::HasSubstr("4 ranks"), ::testing::HasSubstr("--batch")));
  EXPECT_THAT(failure(100, 9, true),
              ::testing::AllOf(::testing::HasSubstr("9 ranks"), ::testing::HasSubstr("--shards")));
  EXPECT_EQ(failure(3, 3, false), "no error");
  EXPECT_EQ(failure(100, 8, true), "no error");
}

TEST(Slices, CoverAShareInOrder) {
  for (const bool exact : {false, true})
    for (const int batch : {1, 7, 100, 101})
      for (int shards = 1; shards <= std::min(batch, 9); ++shards)
        for (int size = 1; size <= (exact ? shards : batch) && size <= 3; ++size)
          for (int most = exact ? (batch + shards - 1) / shards : 1; most <= batch + 1; ++most)
            for (int rank = 0; rank < size; ++rank) {
              const BatchShare share = share_of_batch(batch, rank, size, exact, shards);
              const std::vector<Slice> slices = slices_of(share, most, exact);
              int row = share.first_row;
              std::size_t shard = 0;
              int least = batch;
              int largest = 0;
              for (const Slice& slice : slices) {
                ASSERT_EQ(slice.first_row(), row);
                ASSERT_GE(slice.rows(), 1);
                ASSERT_LE(slice.rows(), most);
                for (const int parts : {1, 2, 3}) {
                  ASSERT_EQ(slice.parts(parts).parts, parts);
                  ASSERT_EQ(slice.parts(parts).rows, slice.rows());
                  ASSERT_EQ(slice.parts(parts).shard_begin, slice.parts(1).shard_begin);
                }
                const std::vector<int>& begin = slice.parts(1).shard_begin;
                ASSERT_EQ(begin.front(), 0);
                ASSERT_EQ(begin.back(), slice.rows());
                if (exact) {
                  for (const int at : begin) ASSERT_EQ(row + at, share.first_row + share.shard_begin[shard++]);
                  --shard;  // the next slice begins where this one ends
                }
                least = std::min(least, slice.rows());
                largest = std::max(largest, slice.rows());
                row += slice.rows();
              }
              ASSERT_EQ(row, share.first_row + share.rows());
              if (exact) {
                ASSERT_EQ(shard + 1, share.shard_begin.size());
              } else {
                ASSERT_EQ(static_cast<int>(slices.size()), (share.rows() + most - 1) / most);
                ASSERT_LE(largest - least, 1);
              }
            }
}

TEST(Slices, AreOneWithoutALimit) {
  const BatchShare share = share_of_batch(100, 1, 2, true, 8);
  const std::vector<Slice> slices = slices_of(share, 0, true);
  ASSERT_EQ(slices.size(), 1U);
  EXPECT_EQ(slices[0].first_row(), 50);
  EXPECT_EQ(slices[0].parts(2).shard_begin, share.shard_begin);
}

}  // namespace
}  // namespace ganymede::testing
