// Streams and events: what runs when, in which orders, and the races that an order by luck does not hide.
#include <algorithm>
#include <set>
#include <string>

#include "cuda_sim/testing.hpp"

namespace cuda_sim::testing {
namespace {

using Streams = Simulation;

TEST_F(Streams, NothingRunsWhenItIsEnqueued) {
  cudaStream_t stream = make_stream();
  int runs = 0;
  launch(stream, "count", {}, {}, [&] { ++runs; });
  EXPECT_EQ(runs, 0);
  EXPECT_EQ(pending(), 1U);
  CUDA_OK(cudaStreamSynchronize(stream));
  EXPECT_EQ(runs, 1);
  CUDA_OK(cudaStreamDestroy(stream));
}

TEST_F(Streams, AStreamRunsInOrder) {
  cudaStream_t stream = make_stream();
  std::vector<int> order;
  for (int i = 0; i < 50; ++i) launch(stream, "append", {}, {}, [&, i] { order.push_back(i); });
  CUDA_OK(cudaStreamSynchronize(stream));
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(order.size(), 50U);
  CUDA_OK(cudaStreamDestroy(stream));
}

TEST_F(Streams, UnorderedStreamsRunInManyOrdersAndASeedRepeatsOne) {
  const auto order_of = [](int seed) {
    set_seed(static_cast<std::uint64_t>(seed));
    std::string order;
    cudaStream_t a = make_stream();
    cudaStream_t b = make_stream();
    for (int i = 0; i < 3; ++i) {
      launch(a, "a", {}, {}, [&] { order += 'a'; });
      launch(b, "b", {}, {}, [&] { order += 'b'; });
    }
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(a), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(b), cudaSuccess);
    return order;
  };
  std::set<std::string> orders;
  for (int seed = 1; seed <= 40; ++seed) {
    reset();
    const std::string order = order_of(seed);
    reset();
    EXPECT_EQ(order_of(seed), order);
    orders.insert(order);
  }
  EXPECT_EQ(orders.count("aaabbb"), 1U);
  EXPECT_EQ(orders.count("bbbaaa"), 1U);
  EXPECT_GT(orders.size(), 4U);
}

TEST_F(Streams, ASynchronisationRunsLittleElse) {
  int alone = 0;
  for (int seed = 1; seed <= 40; ++seed) {
    set_seed(static_cast<std::uint64_t>(seed));
    cudaStream_t a = make_stream();
    cudaStream_t b = make_stream();
    bool other = false;
    launch(b, "other", {}, {}, [&] { other = true; });
    launch(a, "needed", {}, {}, [] {});
    CUDA_OK(cudaStreamSynchronize(a));
    alone += other ? 0 : 1;
    CUDA_OK(cudaDeviceSynchronize());
    EXPECT_TRUE(other);
    CUDA_OK(cudaStreamDestroy(a));
    CUDA_OK(cudaStreamDestroy(b));
  }
  EXPECT_GT(alone, 5);
  EXPECT_LT(alone, 40);
}

/// One stream writes, another reads behind an event, unless the wait is left out.
void write_and_read(bool wait, bool host_waits = false) {
  cudaStream_t writer = make_stream();
  cudaStream_t reader = make_stream();
  cudaEvent_t written = make_event();
  float* const x = make_array(100);
  float* const y = make_array(100);
  launch_set(writer, x, 100, 3);
  CUDA_OK(cudaEventRecord(written, writer));
  if (host_waits) {
    CUDA_OK(cudaEventSynchronize(written));
  }
  if (wait) {
    CUDA_OK(cudaStreamWaitEvent(reader, written, 0));
  }
  launch_double(reader, x, y, 100);
  CUDA_OK(cudaDeviceSynchronize());
  if (wait || host_waits) {
    EXPECT_THAT(fetch(y, 100), ::testing::Each(6.0F));
  }
  CUDA_OK(cudaFree(x));
  CUDA_OK(cudaFree(y));
  CUDA_OK(cudaEventDestroy(written));
  CUDA_OK(cudaStreamDestroy(writer));
  CUDA_OK(cudaStreamDestroy(reader));
}

TEST_F(Streams, AnEventOrdersStreams) {
  for (int seed = 1; seed <= seeds; ++seed) {
    set_seed(static_cast<std::uint64_t>(seed));
    write_and_read(true);
  }
}

TEST_F(Streams, TheHostsWaitingOrdersWhatItEnqueuesLater) {
  for (int seed = 1; seed <= seeds; ++seed) {
    set_seed(static_cast<std::uint64_t>(seed));
    write_and_read(false, true);
  }
}

TEST_F(Streams, MutantAnEventWaitRemovedIsARaceInEveryOrder) {
  for (int seed = 1; seed <= seeds; ++seed) {
    set_seed(static_cast<std::uint64_t>(seed));
    Violations violations;
    write_and_read(false);
    ASSERT_THAT(violations.texts(), ::testing::SizeIs(1)) << seed;
    EXPECT_THAT(violations.texts()[0],
                ::testing::AllOf(::testing::HasSubstr("race: "), ::testing::HasSubstr("'set'"),
                                 ::testing::HasSubstr("'double'"), ::testing::HasSubstr("allocation "),
                                 ::testing::HasSubstr("bytes 0 to 399")));
  }
}

TEST_F(Streams, ReadersDoNotRaceButALaterWriterDoes) {
  for (const bool join : {true, false}) {
    Violations violations;
    cudaStream_t a = make_stream();
    cudaStream_t b = make_stream();
    cudaEvent_t read = make_event();
    float* const x = upload(std::vector<float>(64, 1));
    float* const y = make_array(64);
    launch_double(a, x, y, 32);
    launch_double(b, x, y + 32, 32);
    CUDA_OK(cudaEventRecord(read, b));
    if (join) {
      CUDA_OK(cudaStreamWaitEvent(a, read, 0));
    }
    launch_set(a, x, 64, 0);
    CUDA_OK(cudaDeviceSynchronize());
    EXPECT_EQ(violations.texts().size(), join ? 0U : 1U);
    CUDA_OK(cudaFree(x));
    CUDA_OK(cudaFree(y));
    CUDA_OK(cudaEventDestroy(read));
    CUDA_OK(cudaStreamDestroy(a));
    CUDA_OK(cudaStreamDestroy(b));
  }
}

TEST_F(Streams, AnEventIsAsItWasWhenItWasWaitedFor) {
  // Recorded again later: the wait is for the first record.
  cudaStream_t a = make_stream();
  cudaStream_t b = make_stream();
  cudaEvent_t event = make_event();
  float* const x = make_array(8);
  Violations violations;
  CUDA_OK(cudaEventRecord(event, a));
  CUDA_OK(cudaStreamWaitEvent(b, event, 0));
  launch_set(a, x, 8, 1);
  CUDA_OK(cudaEventRecord(event, a));
  launch_set(b, x, 8, 2);
  CUDA_OK(cudaDeviceSynchronize());
  EXPECT_TRUE(violations.contain("race: "));
  CUDA_OK(cudaFree(x));
  CUDA_OK(cudaEventDestroy(event));
  CUDA_OK(cudaStreamDestroy(a));
  CUDA_OK(cudaStreamDestroy(b));
}

TEST_F(Streams, QueriesGetThereInTheEnd) {
  cudaStream_t stream = make_stream();
  cudaEvent_t event = make_event();
  for (int i = 0; i < 500; ++i) launch(stream, "nothing", {}, {}, [] {});
  CUDA_OK(cudaEventRecord(event, stream));
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  int queries = 0;
  while (cudaEventQuery(event) == cudaErrorNotReady) ++queries;
  EXPECT_GT(queries, 3);
  EXPECT_LT(queries, 200);
  EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);
  CUDA_OK(cudaEventDestroy(event));
  CUDA_OK(cudaStreamDestroy(stream));
}

TEST_F(Streams, TheLegacyStreamSynchronisesWithBlockingOnesOnly) {
  for (const unsigned flags :
       {static_cast<unsigned>(cudaStreamDefault), static_cast<unsigned>(cudaStreamNonBlocking)}) {
    Violations violations;
    cudaStream_t stream = nullptr;
    CUDA_OK(cudaStreamCreateWithPriority(&stream, flags, -1));
    float* const x = make_array(8);
    float* const y = make_array(8);
    launch_set(nullptr, x, 8, 1);
    launch_double(stream, x, y, 8);
    launch_set(nullptr, y, 8, 3);
    CUDA_OK(cudaDeviceSynchronize());
    EXPECT_EQ(violations.texts().empty(), flags == cudaStreamDefault);
    CUDA_OK(cudaFree(x));
    CUDA_OK(cudaFree(y));
    CUDA_OK(cudaStreamDestroy(stream));
  }
}

TEST_F(Streams, HostFunctionsRunInOrderAndMayNotCallCuda) {
  cudaStream_t stream = make_stream();
  int value = 0;
  launch(stream, "one", {}, {}, [&] { value = 1; });
  CUDA_OK(cudaLaunchHostFunc(
      stream, [](void* at) { *static_cast<int*>(at) *= 7; }, &value));
  CUDA_OK(cudaStreamSynchronize(stream));
  EXPECT_EQ(value, 7);
  Violations violations;
  CUDA_OK(cudaLaunchHostFunc(
      stream, [](void* at) { *static_cast<cudaError_t*>(at) = cudaDeviceSynchronize(); }, &value));
  CUDA_OK(cudaStreamSynchronize(stream));
  EXPECT_EQ(value, cudaErrorNotPermitted);
  EXPECT_TRUE(violations.contain("host function"));
  CUDA_OK(cudaStreamDestroy(stream));
}

TEST_F(Streams, HandlesThatAreNoneAreErrors) {
  cudaStream_t stream = make_stream();
  CUDA_OK(cudaStreamDestroy(stream));
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  launch(stream, "nothing", {}, {}, [] {});
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidResourceHandle);
}

// Whenever an operation happens to run: in any of these orders.
TEST_F(Streams, TheClockShowsWhatWaitsForWhat) {
  constexpr std::uint64_t second = 1'000'000'000;
  for (int seed = 1; seed <= seeds; ++seed) {
    set_seed(static_cast<std::uint64_t>(seed));
    set_kernel_time(std::chrono::seconds(2));
    cudaStream_t a = make_stream();
    cudaStream_t b = make_stream();
    cudaEvent_t event = make_event();
    std::uint64_t began[4] = {};
    const auto kernel = [&](cudaStream_t stream, std::uint64_t& at) {
      launch(stream, "kernel", {}, {}, [&at] { at = device_clock(); });
    };
    kernel(a, began[0]);
    kernel(a, began[1]);
    CUDA_OK(cudaEventRecord(event, a));
    kernel(b, began[2]);
    CUDA_OK(cudaStreamWaitEvent(b, event, 0));
    kernel(b, began[3]);
    CUDA_OK(cudaDeviceSynchronize());
    EXPECT_EQ(began[1], began[0] + 2 * second);
    EXPECT_LT(began[2], began[0] + second);  // at once
    EXPECT_EQ(began[3], began[1] + 2 * second);
    // A host that comes late, after the synchronisation as before it.
    set_kernel_time(std::chrono::nanoseconds(1));
    const std::uint64_t before = device_clock();
    pass(std::chrono::seconds(100));
    cudaStream_t c = make_stream();
    kernel(c, began[0]);
    CUDA_OK(cudaDeviceSynchronize());
    EXPECT_GE(began[0], before + 100 * second);
    CUDA_OK(cudaEventDestroy(event));
    for (cudaStream_t stream : {a, b, c}) CUDA_OK(cudaStreamDestroy(stream));
  }
}

TEST_F(Streams, TimeBetweenEvents) {
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  CUDA_OK(cudaEventCreateWithFlags(&begin, cudaEventDefault));
  CUDA_OK(cudaEventCreateWithFlags(&end, cudaEventDefault));
  cudaEvent_t untimed = make_event();
  cudaStream_t stream = make_stream();
  set_kernel_time(std::chrono::seconds(3));
  CUDA_OK(cudaEventRecord(begin, stream));
  launch(stream, "kernel", {}, {}, [] {});
  CUDA_OK(cudaEventRecord(end, stream));
  CUDA_OK(cudaEventRecord(untimed, stream));
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin, end), cudaErrorNotReady);
  CUDA_OK(cudaStreamSynchronize(stream));
  CUDA_OK(cudaEventElapsedTime(&milliseconds, begin, end));
  EXPECT_NEAR(milliseconds, 3000, 100);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin, untimed), cudaErrorInvalidResourceHandle);
  for (cudaEvent_t event : {begin, end, untimed}) CUDA_OK(cudaEventDestroy(event));
  CUDA_OK(cudaStreamDestroy(stream));
}

}  // namespace
}  // namespace cuda_sim::testing
