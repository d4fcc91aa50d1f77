// The communicator of an MPI job: collectives, shared memory, failures that all ranks learn of.
#include <gtest/gtest.h>

#include "distributed/distributed.hpp"

namespace ganymede {
namespace {

TEST(Reduction, Sums) {
  Communicator& ranks = testing::world();
  auto reduction = ranks.make_reduction<float>(1000);
  for (int round = 1; round < 4; ++round) {
    for (std::size_t i = 0; i < 1000; ++i) reduction->data()[i] = static_cast<float>(round * (ranks.rank() + 1)) + i;
    reduction->start();
    reduction->finish();
    const int n = ranks.size();
    for (std::size_t i = 0; i < 1000; ++i) ASSERT_EQ(reduction->sum()[i], round * n * (n + 1) / 2 + n * i);
  }
}

TEST(Together, NamesTheFailingRank) {
  Communicator& ranks = testing::world();
  const int last = ranks.size() - 1;
  try {
    together(ranks, [&] { if (ranks.rank() == last) throw Error(ExitCode::data, "broken"); });
    FAIL();
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_EQ(error.what(), last == 0 ? "broken" : "rank " + std::to_string(last) + " on " + host_name() + ": broken");
  }
}

}  // namespace
}  // namespace ganymede
