// A file of tensors that rank 0 has read: the others get it, and learn of what keeps it from them.
#include "train/shared_tensor_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <vector>

#include "support/refusal.hpp"
#include "support/thread_ranks.hpp"

namespace ganymede {
namespace {

TEST(SharedTensorFile, IsRankZerosOnAll) {
  const TensorFile whole{{{"0.weight", {2, 1}, {1.5F, -2.F}}, {"0.bias", {1}, {3.F}}}, {{"activation", "relu"}}};
  test::ThreadRanks({0, 0, 1}).run([&](Communicator& rank) {
    const TensorFile own = rank.is_root() ? whole : TensorFile{};
    const TensorFile shared = shared_tensor_file(rank, own, "w.safetensors");
    EXPECT_EQ(shared.metadata, whole.metadata);
    ASSERT_EQ(shared.tensors.size(), 2U);
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(shared.tensors[i].name, whole.tensors[i].name);
      EXPECT_EQ(shared.tensors[i].shape, whole.tensors[i].shape);
      EXPECT_EQ(shared.tensors[i].values, whole.tensors[i].values);
    }
  });
}

TEST(SharedTensorFile, WhatRankZeroCannotSendIsRefusedOnAll) {
  const TensorFile broken{{{"", {1}, {1.F}}}, {}};
  std::mutex mutex;
  std::vector<std::string> messages;
  test::ThreadRanks({0, 0, 1}).run([&](Communicator& rank) {
    const std::string said = testing::refusal<AgreedError>(
        ExitCode::data, [&] { shared_tensor_file(rank, rank.is_root() ? broken : TensorFile{}, "w.safetensors"); });
    const std::lock_guard lock(mutex);
    messages.push_back(said);
  });
  EXPECT_THAT(messages, ::testing::Each(::testing::AllOf(messages[0], ::testing::StartsWith("rank 0 on "))));
}

}  // namespace
}  // namespace ganymede
