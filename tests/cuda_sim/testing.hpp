// What the simulator's own tests share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "cuda_sim/cuda_sim.hpp"

namespace cuda_sim::testing {

#define CUDA_OK(call) ASSERT_STREQ(cudaGetErrorName(call), "cudaSuccess")

/// A fresh simulation for each test, which must leave nothing behind.
class Simulation : public ::testing::Test {
 protected:
  void SetUp() override { reset(); }
  void TearDown() override { EXPECT_THAT(reset(), ::testing::IsEmpty()); }
};

struct Range {
  const void* begin;
  std::size_t bytes;
};

template <class T>
Range range(const T* begin, std::size_t count) {
  return {begin, count * sizeof(T)};
}

/// Launches a "kernel" that says what it touches.
inline void launch(cudaStream_t stream, const char* name, const std::vector<Range>& reads,
                   const std::vector<Range>& writes, const std::function<void()>& body) {
  submit(stream, name, [=] {
    for (const Range& read : reads) note_access(read.begin, read.bytes, false);
    for (const Range& write : writes) note_access(write.begin, write.bytes, true);
    body();
  });
}

/// to[i] = value.
inline void launch_set(cudaStream_t stream, float* to, std::size_t count, float value) {
  launch(stream, "set", {}, {range(to, count)}, [=] {
    for (std::size_t i = 0; i < count; ++i) to[i] = value;
  });
}

/// to[i] = 2 · from[i].
inline void launch_double(cudaStream_t stream, const float* from, float* to, std::size_t count) {
  launch(stream, "double", {range(from, count)}, {range(to, count)}, [=] {
    for (std::size_t i = 0; i < count; ++i) to[i] = 2 * from[i];
  });
}

inline cudaStream_t make_stream() {
  cudaStream_t stream = nullptr;
  EXPECT_EQ(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, 0), cudaSuccess);
  return stream;
}

inline cudaEvent_t make_event() {
  cudaEvent_t event = nullptr;
  EXPECT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  return event;
}

template <class T = float>
T* make_array(std::size_t count) {
  void* result = nullptr;
  EXPECT_EQ(cudaMalloc(&result, count * sizeof(T)), cudaSuccess);
  return static_cast<T*>(result);
}

template <class T>
std::vector<T> fetch(const T* from, std::size_t count) {
  std::vector<T> result(count);
  EXPECT_EQ(cudaMemcpy(result.data(), from, count * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
  return result;
}

template <class T>
T* upload(const std::vector<T>& from) {
  T* const to = make_array<T>(from.size());
  EXPECT_EQ(cudaMemcpy(to, from.data(), from.size() * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  return to;
}

constexpr int seeds = 20;

}  // namespace cuda_sim::testing
