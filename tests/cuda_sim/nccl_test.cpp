// NCCL's all-reduce over the ranks of mpirun: sums, order, captured graphs, non-blocking communicators, ranks that
// come late, and what must not go unnoticed.
#include <mpi.h>
#include <nccl.h>
#include <unistd.h>

#include <random>

#include "cuda_sim/testing.hpp"
#include "distributed/distributed.hpp"

namespace cuda_sim::testing {
namespace {

using ganymede::testing::world;

#define NCCL_OK(call) ASSERT_EQ(call, ncclSuccess)

ncclUniqueId shared_id() {
  ncclUniqueId id{};
  if (world().is_root()) {
    EXPECT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  }
  world().broadcast(&id, sizeof id, 0);
  return id;
}

/// Polls as a program with a deadline does; how often it was in progress.
int wait_for(ncclComm_t communicator, ncclResult_t expected = ncclSuccess) {
  ncclResult_t state = ncclInProgress;
  int polls = -1;
  for (; state == ncclInProgress; ++polls) EXPECT_EQ(ncclCommGetAsyncError(communicator, &state), ncclSuccess);
  EXPECT_EQ(state, expected);
  return polls;
}

class Nccl : public Simulation {
 protected:
  void SetUp() override {
    reset();
    set_devices(std::vector<DeviceSpec>(static_cast<std::size_t>(world().size())));
    set_seed(1 + static_cast<std::uint64_t>(world().rank()));  // other orders on every rank
    ASSERT_EQ(cudaSetDevice(world().rank()), cudaSuccess);
    stream_ = make_stream();
    communicator_ = make_communicator();
  }
  void TearDown() override {
    if (communicator_ != nullptr) destroy(communicator_);
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    world().barrier();
    Simulation::TearDown();
    world().barrier();
  }

  static ncclComm_t make_communicator() {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclComm_t result = nullptr;
    const ncclUniqueId id = shared_id();
    EXPECT_EQ(ncclCommInitRankConfig(&result, world().size(), id, world().rank(), &config), ncclInProgress);
    wait_for(result);
    return result;
  }

  static void destroy(ncclComm_t communicator) {
    const ncclResult_t result = ncclCommFinalize(communicator);
    EXPECT_TRUE(result == ncclSuccess || result == ncclInProgress);
    wait_for(communicator);
    EXPECT_EQ(ncclCommDestroy(communicator), ncclSuccess);
  }

  template <class T>
  void all_reduce(const T* from, T* to, std::size_t count, cudaStream_t stream) {
    const ncclDataType_t type = std::is_same_v<T, float> ? ncclFloat32 : ncclInt64;
    const ncclResult_t result = ncclAllReduce(from, to, count, type, ncclSum, communicator_, stream);
    ASSERT_TRUE(result == ncclSuccess || result == ncclInProgress);
    wait_for(communicator_);
  }

  template <class T>
  std::vector<T> part_of(int rank, std::size_t count) {
    std::mt19937 random(static_cast<unsigned>(100 + rank));
    std::vector<T> result(count);
    for (T& value : result) value = static_cast<T>(random() % 1000) / static_cast<T>(7);
    return result;
  }

  template <class T>
  std::vector<T> sum_of_parts(std::size_t count) {
    std::vector<T> result = part_of<T>(0, count);
    for (int rank = 1; rank < world().size(); ++rank) {
      const std::vector<T> part = part_of<T>(rank, count);
      for (std::size_t i = 0; i < count; ++i) result[i] += part[i];
    }
    return result;
  }

  cudaStream_t stream_ = nullptr;
  ncclComm_t communicator_ = nullptr;
};

TEST_F(Nccl, SumsFloatsAndIntegersInPlaceAndNot) {
  for (const std::size_t count : {1U, 7U, 100000U}) {
    float* const x = upload(part_of<float>(world().rank(), count));
    float* const y = make_array(count);
    auto* const n = upload(part_of<std::int64_t>(world().rank(), count));
    all_reduce(x, y, count, stream_);
    all_reduce(x, x, count, stream_);
    all_reduce(n, n, count, stream_);
    CUDA_OK(cudaStreamSynchronize(stream_));
    EXPECT_EQ(fetch(x, count), sum_of_parts<float>(count));
    EXPECT_EQ(fetch(y, count), sum_of_parts<float>(count));
    EXPECT_EQ(fetch(n, count), sum_of_parts<std::int64_t>(count));
    CUDA_OK(cudaFree(x));
    CUDA_OK(cudaFree(y));
    CUDA_OK(cudaFree(n));
  }
}

TEST_F(Nccl, EndsByTheClockWhenTheLastRankHasBegun) {
  float* const x = upload(std::vector<float>(8, 1));
  set_kernel_time(std::chrono::seconds(1 + world().rank()));
  std::int64_t begun = 0;
  std::int64_t ended = 0;
  launch_set(stream_, x, 8, 1);
  set_kernel_time(std::chrono::seconds(0));
  launch(stream_, "begins", {}, {}, [&] { begun = static_cast<std::int64_t>(device_clock()); });
  all_reduce(x, x, 8, stream_);
  launch(stream_, "ends", {}, {}, [&] { ended = static_cast<std::int64_t>(device_clock()); });
  CUDA_OK(cudaStreamSynchronize(stream_));
  world().all_max(std::span(&begun, 1));
  EXPECT_EQ(ended, begun);
  CUDA_OK(cudaFree(x));
}

TEST_F(Nccl, ManyOnTwoStreamsMatchByTheirOrder) {
  cudaStream_t other = make_stream();
  float* const x = make_array(64);
  const auto rank = static_cast<float>(world().rank());
  for (int i = 0; i < 64; ++i) {
    cudaStream_t stream = i % 3 == 0 ? other : stream_;
    launch_set(stream, x + i, 1, rank + static_cast<float>(i));
    all_reduce(x + i, x + i, 1, stream);
  }
  // Each rank waits in another order.
  CUDA_OK(cudaStreamSynchronize(world().rank() % 2 == 0 ? other : stream_));
  CUDA_OK(cudaDeviceSynchronize());
  const std::vector<float> result = fetch(x, 64);
  const int ranks = world().size();
  const float rank_sum = static_cast<float>(ranks * (ranks - 1)) / 2;
  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(result[static_cast<std::size_t>(i)], static_cast<float>(ranks * i) + rank_sum);
  }
  CUDA_OK(cudaFree(x));
  CUDA_OK(cudaStreamDestroy(other));
}

TEST_F(Nccl, GraphsWithTwoReductionsBesideOtherWork) {
  cudaStream_t side = make_stream();
  cudaEvent_t fork = make_event();
  cudaEvent_t join = make_event();
  float* const d = upload(std::vector<float>(32, 1));
  float* const g = upload(std::vector<float>(32, 1));
  float* const z = make_array(32);
  CUDA_OK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
  CUDA_OK(cudaEventRecord(fork, stream_));
  CUDA_OK(cudaStreamWaitEvent(side, fork, 0));
  all_reduce(d, d, 32, side);
  launch_set(stream_, z, 32, 5);
  CUDA_OK(cudaEventRecord(join, side));
  all_reduce(g, g, 32, stream_);
  CUDA_OK(cudaStreamWaitEvent(stream_, join, 0));
  launch_double(stream_, z, z, 32);
  cudaGraph_t graph = nullptr;
  CUDA_OK(cudaStreamEndCapture(stream_, &graph));
  EXPECT_EQ(nodes(graph).size(), 4U);
  EXPECT_EQ(nodes(graph)[0].name, "ncclAllReduce 32 float32");
  cudaGraphExec_t executable = nullptr;
  CUDA_OK(cudaGraphInstantiate(&executable, graph, 0));
  float expected = 1;
  for (int step = 0; step < 6; ++step) {
    CUDA_OK(cudaGraphLaunch(executable, stream_));
    expected *= static_cast<float>(world().size());
    if (step % 2 == 1) {
      CUDA_OK(cudaStreamSynchronize(stream_));
    }
  }
  EXPECT_THAT(fetch(d, 32), ::testing::Each(expected));
  EXPECT_THAT(fetch(g, 32), ::testing::Each(expected));
  CUDA_OK(cudaGraphExecDestroy(executable));
  CUDA_OK(cudaGraphDestroy(graph));
  for (float* const x : {d, g, z}) CUDA_OK(cudaFree(x));
  for (cudaEvent_t event : {fork, join}) CUDA_OK(cudaEventDestroy(event));
  CUDA_OK(cudaStreamDestroy(side));
}

TEST_F(Nccl, AHostThatWaitsInMpiDoesNotHoldUpItsDevice) {
  float* const x = upload(std::vector<float>(200000, 1));
  all_reduce(x, x, 200000, stream_);
  // Rank 0 waits for the sum before it meets the others, who wait for it first.
  if (world().rank() == 0) {
    CUDA_OK(cudaStreamSynchronize(stream_));
  }
  world().barrier();
  MPI_Barrier(MPI_COMM_WORLD);
  CUDA_OK(cudaStreamSynchronize(stream_));
  EXPECT_THAT(fetch(x, 3), ::testing::Each(static_cast<float>(world().size())));
  CUDA_OK(cudaFree(x));
}

TEST_F(Nccl, ARankMayBeLate) {
  float* const x = upload(std::vector<float>(10, 1));
  usleep(static_cast<unsigned>(world().rank()) * 30000);
  all_reduce(x, x, 10, stream_);
  CUDA_OK(cudaStreamSynchronize(stream_));
  EXPECT_THAT(fetch(x, 10), ::testing::Each(static_cast<float>(world().size())));
  CUDA_OK(cudaFree(x));
}

TEST_F(Nccl, NonBlockingCallsTakeAWhile) {
  int polls = 0;
  for (int i = 0; i < 10; ++i) {
    ncclComm_t communicator = nullptr;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    const ncclUniqueId id = shared_id();
    ASSERT_EQ(ncclCommInitRankConfig(&communicator, world().size(), id, world().rank(), &config), ncclInProgress);
    polls += wait_for(communicator);
    destroy(communicator);
  }
  EXPECT_GT(polls, 3);
}

TEST_F(Nccl, MutantAnOperationBeforeTheLastHasSucceededIsRefused) {
  float* const x = make_array(4);
  int in_progress = 0;
  for (int i = 0; i < 40; ++i) {
    const ncclResult_t result = ncclAllReduce(x, x, 4, ncclFloat32, ncclSum, communicator_, stream_);
    if (result == ncclInProgress) {
      ++in_progress;
      EXPECT_EQ(ncclAllReduce(x, x, 4, ncclFloat32, ncclSum, communicator_, stream_), ncclInvalidArgument);
    }
    wait_for(communicator_);
  }
  EXPECT_GT(in_progress, 0);
  CUDA_OK(cudaStreamSynchronize(stream_));
  CUDA_OK(cudaFree(x));
}

TEST_F(Nccl, MutantAReadBesideTheReductionIsARace) {
  cudaStream_t other = make_stream();
  float* const x = upload(std::vector<float>(4, 1));
  float* const y = make_array(4);
  Violations violations;
  all_reduce(x, x, 4, stream_);
  launch_double(other, x, y, 4);
  CUDA_OK(cudaDeviceSynchronize());
  EXPECT_TRUE(violations.contain("'ncclAllReduce 4 float32'"));
  CUDA_OK(cudaFree(x));
  CUDA_OK(cudaFree(y));
  CUDA_OK(cudaStreamDestroy(other));
}

TEST_F(Nccl, MutantCountsThatDifferAreFound) {
  float* const x = upload(std::vector<float>(8, 1));
  Violations violations;
  all_reduce(x, x, world().rank() == 0 ? 4 : 8, stream_);
  CUDA_OK(cudaStreamSynchronize(stream_));
  EXPECT_EQ(violations.contain("all-reduce 0 of rank"), world().size() > 1 && !violations.texts().empty());
  EXPECT_EQ(violations.texts().empty(), world().size() == 1);
  CUDA_OK(cudaFree(x));
}

TEST_F(Nccl, TwoRanksOnOneDeviceAreRefused) {
  if (world().size() == 1) return;
  CUDA_OK(cudaSetDevice(0));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t communicator = nullptr;
  const ncclUniqueId id = shared_id();
  ASSERT_EQ(ncclCommInitRankConfig(&communicator, world().size(), id, world().rank(), &config), ncclInProgress);
  wait_for(communicator, ncclInvalidUsage);
  EXPECT_THAT(ncclGetLastError(communicator), ::testing::HasSubstr("Duplicate GPU detected : rank 0 and rank 1"));
  NCCL_OK(ncclCommAbort(communicator));
  CUDA_OK(cudaSetDevice(world().rank()));
}

TEST_F(Nccl, APeerThatNeverComesLeavesItInProgress) {
  make_peers_unreachable();
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t communicator = nullptr;
  const ncclUniqueId id = shared_id();
  ASSERT_EQ(ncclCommInitRankConfig(&communicator, world().size(), id, world().rank(), &config), ncclInProgress);
  for (int i = 0; i < 100; ++i) {
    ncclResult_t state = ncclSuccess;
    NCCL_OK(ncclCommGetAsyncError(communicator, &state));
    ASSERT_EQ(state, ncclInProgress);
  }
  NCCL_OK(ncclCommAbort(communicator));
}

// As NCCL promises of what it aborts, whether or not its turn has come.
TEST_F(Nccl, SumsThatAreAbortedEndWithoutOne) {
  float* const x = upload(std::vector<float>(8, 1));
  Violations violations;
  for (int i = 0; i < 20; ++i) all_reduce(x, x, 8, stream_);
  NCCL_OK(ncclCommAbort(std::exchange(communicator_, nullptr)));
  CUDA_OK(cudaStreamSynchronize(stream_));
  EXPECT_THAT(violations.texts(), ::testing::IsEmpty());
  CUDA_OK(cudaFree(x));
}

TEST_F(Nccl, RegisteredBuffers) {
  void* x = nullptr;
  NCCL_OK(ncclMemAlloc(&x, 400));
  void* handle = nullptr;
  NCCL_OK(ncclCommRegister(communicator_, x, 400, &handle));
  EXPECT_EQ(ncclCommRegister(communicator_, x, 4000, &handle), ncclInvalidArgument);
  all_reduce(static_cast<float*>(x), static_cast<float*>(x), 100, stream_);
  CUDA_OK(cudaStreamSynchronize(stream_));
  NCCL_OK(ncclCommDeregister(communicator_, handle));
  NCCL_OK(ncclMemFree(x));
  NCCL_OK(ncclMemAlloc(&x, 400));
  NCCL_OK(ncclCommRegister(communicator_, x, 400, &handle));
  NCCL_OK(ncclMemFree(x));
  Violations violations;
  NCCL_OK(ncclCommDeregister(communicator_, handle));
  EXPECT_TRUE(violations.contain("was freed while registered"));
}

TEST_F(Nccl, ErrorsAreInjected) {
  float* const x = make_array(4);
  fail("ncclAllReduce", 1, ncclSystemError);
  EXPECT_EQ(ncclAllReduce(x, x, 4, ncclFloat32, ncclSum, communicator_, stream_), ncclSystemError);
  EXPECT_THAT(ncclGetErrorString(ncclSystemError), ::testing::HasSubstr("unhandled system error"));
  EXPECT_EQ(ncclAllReduce(x, x, 400, ncclFloat32, ncclSum, communicator_, stream_), ncclInvalidArgument);
  CUDA_OK(cudaFree(x));
}

}  // namespace
}  // namespace cuda_sim::testing
