// A small checkpoint for tests of the store.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <string>

#include "checkpoint/checkpoint.hpp"

namespace ganymede::test {

/// Its content follows from `step` and `variant`.
inline Checkpoint example(std::uint64_t step, int variant = 0, int values = 5) {
  Checkpoint checkpoint;
  checkpoint.step = step;
  checkpoint.images_seen = step * 100;
  checkpoint.options = {{"batch", "100"}, {"seed", std::to_string(variant)}};
  checkpoint.data_digest = std::string(32, 'd');
  checkpoint.arithmetic = "x86-64-v3";
  checkpoint.program = "ganymede test";
  for (const auto* name : {"generator", "discriminator"}) {
    Tensor tensor{"0.weight", {values}, {}};
    for (int i = 0; i < values; ++i) tensor.values.push_back(static_cast<float>(step) + 0.25F * static_cast<float>(i));
    tensor.values[0] = std::bit_cast<float>(0xFFC12345U);  // a NaN with a payload
    checkpoint.files[name].tensors.push_back(tensor);
  }
  return checkpoint;
}

inline void expect_same(const Checkpoint& a, const Checkpoint& b) {
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.images_seen, b.images_seen);
  EXPECT_EQ(a.options, b.options);
  EXPECT_EQ(a.data_digest, b.data_digest);
  EXPECT_EQ(a.arithmetic, b.arithmetic);
  EXPECT_EQ(a.program, b.program);
  ASSERT_EQ(a.files.size(), b.files.size());
  for (const auto& [name, file] : a.files) {
    ASSERT_TRUE(b.files.contains(name)) << name;
    EXPECT_EQ(file.serialize(), b.files.at(name).serialize()) << name;
  }
}

}  // namespace ganymede::test
