// The gate and the slices of a node's sum, with threads in the place of ranks, so that thread sanitizers see
// what processes do to each other.
#include "comm/node_sum.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "comm/node_memory.hpp"

namespace ganymede::comm {
namespace {

void no_progress() {}

template <class Body>
void on_ranks(int ranks, Body body) {
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) threads.emplace_back(body, rank);
  for (auto& thread : threads) thread.join();
}

TEST(Gate, LetsNobodyThroughBeforeAllHaveArrived) {
  constexpr int ranks = 5;
  constexpr int rounds = 300;
  const auto memory = private_memory(Gate::bytes(ranks));
  std::vector<int> entered(ranks * 16);  // plain memory: the gate alone orders what ranks see
  on_ranks(ranks, [&](int rank) {
    Gate gate(memory.get(), rank, ranks, no_progress);
    for (int round = 1; round <= rounds; ++round) {
      if ((round + rank) % 50 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
      entered[static_cast<std::size_t>(rank) * 16] = round;
      gate.meet();
      for (int other = 0; other < ranks; ++other) {
        if (entered[static_cast<std::size_t>(other) * 16] != round) ADD_FAILURE() << "round " << round;
      }
      gate.meet();
    }
  });
}

TEST(Gate, OutlastsALongWait) {
  const auto memory = private_memory(Gate::bytes(2));
  on_ranks(2, [&](int rank) {
    Gate gate(memory.get(), rank, 2, no_progress);
    if (rank == 1) std::this_thread::sleep_for(std::chrono::milliseconds(300));
    gate.meet();
  });
}

TEST(NodeSum, AddsInTheOrderOfRanks) {
  for (const int ranks : {2, 3, 7}) {
    for (const std::size_t count : {1U, 15U, 16U, 17U, 33U, 2048U, 10001U}) {
      const std::size_t bytes = count * sizeof(float);
      const auto memory = private_memory(NodeBuffers::bytes(ranks, bytes));
      const auto part = [](int rank, std::size_t i) {
        return static_cast<float>(rank % 2 == 0 ? 1e8 : -1e8) +
               static_cast<float>(i) * 0.37F * static_cast<float>(rank + 1);
      };
      on_ranks(ranks, [&](int rank) {
        NodeBuffers buffers(memory, rank, ranks, bytes, no_progress);
        auto* mine = reinterpret_cast<float*>(buffers.buffer(rank));
        for (std::size_t i = 0; i < count; ++i) mine[i] = part(rank, i);
        buffers.gate().meet();
        combine_slice<float, Sum>(buffers, count);
        buffers.gate().meet();
        const auto* sum = reinterpret_cast<const float*>(buffers.result());
        for (std::size_t i = 0; i < count; ++i) {
          float expected = part(0, i);
          for (int other = 1; other < ranks; ++other) expected += part(other, i);
          if (sum[i] != expected) {
            ADD_FAILURE() << ranks << " ranks, element " << i << " of " << count;
            break;
          }
        }
      });
    }
  }
}

TEST(NodeSum, BuffersAreAlignedAndApart) {
  const int ranks = 3;
  const std::size_t bytes = 4096;
  const auto memory = private_memory(NodeBuffers::bytes(ranks, bytes));
  const NodeBuffers buffers(memory, 0, ranks, bytes, no_progress);
  const auto* begin = static_cast<const std::byte*>(memory.get());
  for (int rank = 0; rank < ranks; ++rank) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffers.buffer(rank)) % 64, 0U);
    EXPECT_GE(buffers.buffer(rank + 1), buffers.buffer(rank) + bytes);
  }
  EXPECT_GE(buffers.buffer(0), begin + Gate::bytes(ranks));
  EXPECT_EQ(buffers.result(), buffers.buffer(ranks));
  EXPECT_LE(buffers.result() + bytes, begin + NodeBuffers::bytes(ranks, bytes));
  const NodeBuffers alone(private_memory(NodeBuffers::bytes(1, bytes)), 0, 1, bytes, no_progress);
  EXPECT_EQ(alone.result(), alone.buffer(0));
}

}  // namespace
}  // namespace ganymede::comm
