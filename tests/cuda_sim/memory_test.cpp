// Memory: who may touch it when, poison, bounds, freeing, copies and their synchronisation, running out.
#include <cmath>
#include <cstring>

#include "cuda_sim/testing.hpp"

namespace cuda_sim::testing {
namespace {

using Memory = Simulation;
using MemoryDeathTest = Memory;

/// Pinned, mapped memory: both its addresses.
struct Pinned {
  float* host = nullptr;
  float* device = nullptr;
  explicit Pinned(std::size_t count) {
    EXPECT_EQ(cudaHostAlloc(reinterpret_cast<void**>(&host), count * sizeof(float), cudaHostAllocMapped), cudaSuccess);
    EXPECT_EQ(cudaHostGetDevicePointer(reinterpret_cast<void**>(&device), host, 0), cudaSuccess);
  }
  void free() const { EXPECT_EQ(cudaFreeHost(host), cudaSuccess); }
};

TEST_F(Memory, NewMemoryIsNotANumber) {
  float* const x = make_array(100);
  for (const float value : fetch(x, 100)) EXPECT_TRUE(std::isnan(value));
  CUDA_OK(cudaFree(x));
  const Pinned pinned(10);
  EXPECT_TRUE(std::isnan(pinned.host[9]));
  pinned.free();
}

TEST_F(Memory, CopiesAndFills) {
  float* const x = upload(std::vector<float>{1, 2, 3, 4});
  float* const y = make_array(4);
  CUDA_OK(cudaMemset(y, 0, 4 * sizeof(float)));
  CUDA_OK(cudaMemcpy(y + 1, x, 2 * sizeof(float), cudaMemcpyDeviceToDevice));
  EXPECT_THAT(fetch(y, 4), ::testing::ElementsAre(0, 1, 2, 0));
  EXPECT_EQ(cudaMemcpy(y, x, 5 * sizeof(float), cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(y, x, sizeof(float), cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  CUDA_OK(cudaFree(x));
  CUDA_OK(cudaFree(y));
}

TEST_F(Memory, PageableMemoryIsReadAtOnceAndWrittenWhenTheCallReturns) {
  cudaStream_t stream = make_stream();
  float* const x = make_array(4);
  std::vector<float> host{1, 2, 3, 4};
  CUDA_OK(cudaMemcpyAsync(x, host.data(), 16, cudaMemcpyHostToDevice, stream));
  host.assign(4, 0);
  CUDA_OK(cudaMemcpyAsync(host.data(), x, 16, cudaMemcpyDeviceToHost, stream));
  EXPECT_THAT(host, ::testing::ElementsAre(1, 2, 3, 4));
  CUDA_OK(cudaFree(x));
  CUDA_OK(cudaStreamDestroy(stream));
}

TEST_F(Memory, PinnedMemoryIsReadWhenTheCopyRuns) {
  cudaStream_t stream = make_stream();
  float* const x = make_array(4);
  const Pinned pinned(4);
  std::fill_n(pinned.host, 4, 5.0F);
  CUDA_OK(cudaMemcpyAsync(x, pinned.host, 16, cudaMemcpyHostToDevice, stream));
  launch_double(stream, x, pinned.device, 4);
  CUDA_OK(cudaStreamSynchronize(stream));
  EXPECT_EQ(pinned.host[3], 10);
  CUDA_OK(cudaFree(x));
  pinned.free();
  CUDA_OK(cudaStreamDestroy(stream));
}

TEST_F(Memory, CopiesThatMayWaitAreFoundWhereTheyAreForbidden) {
  cudaStream_t stream = make_stream();
  float* const x = make_array(4);
  std::vector<float> pageable(4, 1);
  const Pinned pinned(4);
  std::fill_n(pinned.host, 4, 1.0F);
  const auto texts_of = [&](const std::function<cudaError_t()>& copy) {
    const Violations violations;
    EXPECT_EQ(copy(), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    return violations.texts();
  };
  const auto to_device = [&](const float* from) {
    return texts_of([&, from] { return cudaMemcpyAsync(x, from, 16, cudaMemcpyHostToDevice, stream); });
  };
  const auto to_host = [&](float* to) {
    return texts_of([&, to] { return cudaMemcpyAsync(to, x, 16, cudaMemcpyDeviceToHost, stream); });
  };
  const auto pageable_is_told = ::testing::ElementsAre(::testing::HasSubstr("pageable memory"));
  for (const bool forbidden : {false, true, false}) {
    forbid_waiting_copies(forbidden);
    EXPECT_THAT(to_device(pinned.host), ::testing::IsEmpty());
    EXPECT_THAT(to_host(pinned.host), ::testing::IsEmpty());
    if (forbidden) {
      EXPECT_THAT(to_device(pageable.data()), pageable_is_told);
      EXPECT_THAT(to_host(pageable.data()), pageable_is_told);
      EXPECT_THAT(texts_of([&] { return cudaMemcpy(pinned.host, x, 16, cudaMemcpyDeviceToHost); }),
                  ::testing::ElementsAre(::testing::HasSubstr("the host waits")));
    } else {
      EXPECT_THAT(to_device(pageable.data()), ::testing::IsEmpty());
      EXPECT_THAT(to_host(pageable.data()), ::testing::IsEmpty());
    }
  }
  CUDA_OK(cudaFree(x));
  pinned.free();
  CUDA_OK(cudaStreamDestroy(stream));
}

TEST_F(Memory, MutantCudaMemcpyOrdersNothingInNonBlockingStreams) {
  // From pageable memory it may return before the data is there; streams that do not block do not wait for it.
  cudaStream_t stream = make_stream();
  float* const x = make_array(4);
  float* const y = make_array(4);
  const std::vector<float> host(4, 1);
  Violations violations;
  CUDA_OK(cudaMemcpy(x, host.data(), 16, cudaMemcpyHostToDevice));
  launch_double(stream, x, y, 4);
  CUDA_OK(cudaDeviceSynchronize());
  EXPECT_TRUE(violations.contain("race: "));
  CUDA_OK(cudaFree(x));
  CUDA_OK(cudaFree(y));
  CUDA_OK(cudaStreamDestroy(stream));
}

TEST_F(MemoryDeathTest, TheHostCannotTouchDeviceMemory) {
  float* const x = make_array(100);
  EXPECT_DEATH(x[3] = 1, "host touched device memory: it writes byte 12 of allocation 1 \\(400 bytes, device 0\\)");
  EXPECT_DEATH(std::printf("%f", static_cast<double>(x[3])), "host touched device memory: it reads byte 12");
  CUDA_OK(cudaDeviceSynchronize());
  EXPECT_DEATH(x[3] = 1, "host touched device memory");
  const Pinned pinned(4);
  EXPECT_DEATH(pinned.device[0] = 1, "host touched device memory: it writes byte 0 of pinned allocation 2");
  pinned.free();
  CUDA_OK(cudaFree(x));
}

TEST_F(MemoryDeathTest, MutantTheHostReadsWithoutSynchronising) {
  cudaStream_t stream = make_stream();
  cudaEvent_t event = make_event();
  for (int seed = 1; seed <= seeds; ++seed) {
    set_seed(static_cast<std::uint64_t>(seed));
    const Pinned pinned(4);
    float* const x = make_array(4);
    launch_set(stream, x, 4, 1);
    CUDA_OK(cudaMemcpyAsync(pinned.host, x, 8, cudaMemcpyDeviceToHost, stream));
    CUDA_OK(cudaEventRecord(event, stream));
    launch_set(stream, pinned.device + 2, 1, 2);
    if (seed <= 3) {
      EXPECT_DEATH(std::printf("%f", static_cast<double>(pinned.host[1])),
                   "the host reads byte 4 of pinned allocation .*, which 'memcpy device to host'");
    }
    CUDA_OK(cudaEventSynchronize(event));
    EXPECT_EQ(pinned.host[1], 1);
    if (seed <= 3) {
      // Whether it has run or not: it has been waited for only after the next line.
      EXPECT_DEATH(
          {
            do (void)cudaEventQuery(event);
            while (pending() > 0);
            std::printf("%f", static_cast<double>(pinned.host[2]));
          },
          "the host reads byte 8 of pinned allocation .*, which 'set'");
    }
    CUDA_OK(cudaStreamSynchronize(stream));
    EXPECT_EQ(pinned.host[2], 2);
    CUDA_OK(cudaFree(x));
    pinned.free();
  }
  CUDA_OK(cudaEventDestroy(event));
  CUDA_OK(cudaStreamDestroy(stream));
}

TEST_F(MemoryDeathTest, TheHostMayWriteFlagsButNotInputs) {
  cudaStream_t stream = make_stream();
  const Pinned flag(1);
  const Pinned input(4);
  const Pinned polled(1);
  float* const x = make_array(8);
  *flag.host = 0;
  std::fill_n(input.host, 4, 1.0F);
  *polled.host = 0;
  host_may_race(polled.host, sizeof(float));
  launch_double(stream, flag.device, x, 1);
  launch_double(stream, input.device, x + 1, 4);
  launch_set(stream, polled.device, 1, 9);
  cudaEvent_t event = make_event();
  CUDA_OK(cudaEventRecord(event, stream));
  cudaStream_t other = make_stream();
  while (pending() > 0) (void)cudaStreamQuery(other);  // runs all, orders nothing
  *flag.host = 1;
  EXPECT_EQ(*polled.host, 9);
  EXPECT_EQ(input.host[1], 1);   // both read
  (void)cudaStreamQuery(other);  // checks are renewed by any call
  EXPECT_DEATH(input.host[1] = 2, "the host writes byte 4 of pinned allocation .*, which 'double'");
  CUDA_OK(cudaEventSynchronize(event));
  input.host[1] = 2;
  for (const Pinned& pinned : {flag, input, polled}) pinned.free();
  CUDA_OK(cudaFree(x));
  CUDA_OK(cudaEventDestroy(event));
  CUDA_OK(cudaStreamDestroy(stream));
  CUDA_OK(cudaStreamDestroy(other));
}

TEST_F(MemoryDeathTest, MutantTheHostOverwritesWhatACopyHasYetToRead) {
  cudaStream_t stream = make_stream();
  const Pinned pinned(4);
  float* const x = make_array(4);
  std::fill_n(pinned.host, 4, 1.0F);
  CUDA_OK(cudaMemcpyAsync(x, pinned.host, 16, cudaMemcpyHostToDevice, stream));
  EXPECT_DEATH(pinned.host[0] = 2, "the host writes byte 0 of pinned allocation .*, which 'memcpy host to device'");
  CUDA_OK(cudaStreamSynchronize(stream));
  pinned.host[0] = 2;
  CUDA_OK(cudaFree(x));
  pinned.free();
  CUDA_OK(cudaStreamDestroy(stream));
}

TEST_F(Memory, MutantABufferFreedEarlyIsFoundWhetherItsUserHasRunOrNot) {
  for (int seed = 1; seed <= seeds; ++seed) {
    set_seed(static_cast<std::uint64_t>(seed));
    for (const bool run_first : {false, true}) {
      cudaStream_t stream = make_stream();
      cudaStream_t other = make_stream();
      float* const x = make_array(4);
      float* const y = make_array(4);
      Violations violations;
      CUDA_OK(cudaMemsetAsync(x, 0, 16, stream));
      CUDA_OK(cudaMemcpyAsync(y, x, 16, cudaMemcpyDeviceToDevice, stream));
      while (run_first && pending() > 0) (void)cudaStreamQuery(other);
      CUDA_OK(cudaFree(x));
      CUDA_OK(cudaStreamSynchronize(stream));
      EXPECT_TRUE(
          violations.contain(run_first ? "is freed, but nothing synchronised the host with 'mem" : "use after free"))
          << seed;
      CUDA_OK(cudaFree(y));
      CUDA_OK(cudaStreamDestroy(stream));
      CUDA_OK(cudaStreamDestroy(other));
    }
  }
}

TEST_F(MemoryDeathTest, AKernelThatTouchesFreedOrForeignMemoryIsNamed) {
  cudaStream_t stream = make_stream();
  float* const x = make_array(4);
  const auto touch = [&](std::ptrdiff_t at) {
    submit(stream, "careless", [=] { x[at] = 1; });
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  };
  EXPECT_DEATH(touch(1000),
               "'careless' \\(operation [0-9]*, stream 1\\) writes byte 4000 of allocation 1 .*out of its bounds");
  EXPECT_DEATH(touch(-2000), "'careless' .*writes byte -8000 of allocation 1 .*out of its bounds");
  CUDA_OK(cudaFree(x));
  EXPECT_DEATH(touch(1), "'careless' .* writes byte 4 of freed allocation 1");
  CUDA_OK(cudaStreamDestroy(stream));
}

TEST_F(Memory, WritingJustBesideAnAllocationIsFound) {
  cudaStream_t stream = make_stream();
  float* const x = make_array(5);
  for (const std::ptrdiff_t at : {-1, 5}) {
    Violations violations;
    submit(stream, "off by one", [=] { x[at] = 1; });
    CUDA_OK(cudaStreamSynchronize(stream));
    EXPECT_TRUE(violations.contain("wrote beyond the bounds of allocation 1"));
  }
  {
    Violations violations;
    launch(stream, "off by one", {range(x + 1, 5)}, {}, [] {});
    CUDA_OK(cudaStreamSynchronize(stream));
    EXPECT_TRUE(violations.contain("reads 20 bytes at byte 4 of allocation 1 (20 bytes, device 0), out of its bounds"));
  }
  CUDA_OK(cudaFree(x));
  CUDA_OK(cudaStreamDestroy(stream));
}

TEST_F(Memory, RunsOut) {
  reset();
  DeviceSpec small;
  small.memory = 1000;
  set_devices({small});
  std::size_t free = 0;
  std::size_t total = 0;
  float* const x = make_array(200);
  CUDA_OK(cudaMemGetInfo(&free, &total));
  EXPECT_EQ(total, 1000U);
  EXPECT_EQ(free, 200U);
  void* y = nullptr;
  EXPECT_EQ(cudaMalloc(&y, 201), cudaErrorMemoryAllocation);
  EXPECT_EQ(y, nullptr);
  CUDA_OK(cudaFree(x));
  CUDA_OK(cudaMalloc(&y, 1000));
  CUDA_OK(cudaFree(y));
}

TEST_F(Memory, PretendedMemoryTakesLittleOfTheReal) {
  void* x = nullptr;
  CUDA_OK(cudaMalloc(&x, std::size_t{70} << 30));
  CUDA_OK(cudaFree(x));
}

TEST_F(Memory, FreedTwice) {
  float* const x = make_array(5);
  CUDA_OK(cudaFree(x));
  Violations violations;
  EXPECT_EQ(cudaFree(x), cudaErrorInvalidValue);
  EXPECT_TRUE(violations.contain("freed twice"));
  EXPECT_EQ(cudaFree(&violations), cudaErrorInvalidValue);
  CUDA_OK(cudaFree(nullptr));
}

TEST_F(Memory, OneDeviceCannotReachAnothersMemory) {
  reset();
  set_devices({DeviceSpec{}, DeviceSpec{}});
  float* const x = make_array(5);
  CUDA_OK(cudaSetDevice(1));
  cudaStream_t stream = make_stream();
  Violations violations;
  launch_set(stream, x, 5, 1);
  CUDA_OK(cudaStreamSynchronize(stream));
  EXPECT_TRUE(violations.contain("on device 1 writes memory of device 0"));
  CUDA_OK(cudaSetDevice(0));
  CUDA_OK(cudaDeviceSynchronize());
  CUDA_OK(cudaFree(x));
  CUDA_OK(cudaStreamDestroy(stream));
}

TEST(Leaks, AreNamed) {
  reset();
  make_array(5);
  make_stream();
  make_event();
  const Pinned pinned(2);
  EXPECT_THAT(reset(), ::testing::ElementsAre("allocation 1 (20 bytes, device 0) was not freed",
                                              "pinned allocation 2 (8 bytes) was not freed",
                                              "stream 1 was not destroyed", "1 event(s) were not destroyed"));
  EXPECT_THAT(reset(), ::testing::IsEmpty());
}

}  // namespace
}  // namespace cuda_sim::testing
