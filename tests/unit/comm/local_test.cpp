// One process alone.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <new>

#include "ganymede/communicator.hpp"
#include "support/refusal.hpp"

namespace ganymede {
namespace {

TEST(Local, IsTheOnlyRank) {
  const auto ranks = make_local_communicator();
  EXPECT_EQ(ranks->rank(), 0);
  EXPECT_EQ(ranks->size(), 1);
  EXPECT_EQ(ranks->node_rank(), 0);
  EXPECT_EQ(ranks->node_size(), 1);
  EXPECT_TRUE(ranks->is_root());
  EXPECT_EQ(ranks->description(), "one process");
}

TEST(Local, CollectivesLeaveValuesAsTheyAre) {
  const auto ranks = make_local_communicator();
  std::array<float, 3> floats = {1.5F, -0.0F, 3e38F};
  std::array<double, 2> doubles = {0.1, -7};
  std::array<std::int64_t, 2> integers = {-1, std::int64_t{1} << 62U};
  ranks->all_sum(floats);
  ranks->all_sum(doubles);
  ranks->all_sum(integers);
  ranks->all_min(integers);
  ranks->all_max(integers);
  ranks->barrier();
  ranks->node_barrier();
  ranks->broadcast(floats.data(), sizeof floats, 0);
  ranks->node_broadcast(floats.data(), sizeof floats);
  EXPECT_EQ(floats, (std::array<float, 3>{1.5F, -0.0F, 3e38F}));
  EXPECT_EQ(doubles, (std::array<double, 2>{0.1, -7}));
  EXPECT_EQ(integers, (std::array<std::int64_t, 2>{-1, std::int64_t{1} << 62U}));
  EXPECT_EQ(ranks->all_gather("mine"), std::vector<std::string>{"mine"});
}

TEST(Local, ReductionsKeepTheOnlyPart) {
  const auto ranks = make_local_communicator();
  const auto reduction = ranks->make_reduction<float>(1001);
  ASSERT_EQ(reduction->size(), 1001U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(reduction->data()) % 64, 0U);
  for (std::size_t i = 0; i < 1001; ++i) {
    ASSERT_EQ(reduction->data()[i], 0.0F);
    reduction->data()[i] = static_cast<float>(i);
  }
  reduction->start();
  reduction->finish();
  for (std::size_t i = 0; i < 1001; ++i) ASSERT_EQ(reduction->sum()[i], static_cast<float>(i));
  EXPECT_EQ(ranks->make_reduction<std::int64_t>(0)->size(), 0U);
}

TEST(Local, SharedMemoryIsZeroed) {
  const auto memory = make_local_communicator()->node_shared(5000);
  ASSERT_NE(memory, nullptr);
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(static_cast<char*>(memory.get())[i], 0);
}

TEST(Local, FailuresCarryNoRank) {
  const auto ranks = make_local_communicator();
  const auto fail = [] { throw Error(ExitCode::data, "disk full"); };
  EXPECT_EQ(testing::refusal<AgreedError>(ExitCode::data, [&] { on_root(*ranks, fail); }), "disk full");
  EXPECT_NO_THROW(together(*ranks, [] {}));
}

TEST(LocalDeathTest, AbortWritesWhatIsBufferedAndEndsWithTheCode) {
  EXPECT_EXIT(
      {
        std::fputs("last words", stderr);
        make_local_communicator()->abort(ExitCode::training_failed);
      },
      ::testing::ExitedWithCode(5), "last words");
}

TEST(Host, HasAName) { EXPECT_FALSE(host_name().empty()); }

}  // namespace
}  // namespace ganymede
