// Stream capture and graphs: what is captured, what a capture forbids, what a launch runs and in which orders.
#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <thread>

#include "cuda_sim/testing.hpp"

namespace cuda_sim::testing {
namespace {

class Graphs : public Simulation {
 protected:
  void SetUp() override {
    Simulation::SetUp();
    main_ = make_stream();
    side_ = make_stream();
    fork_ = make_event();
    join_ = make_event();
    x_ = make_array(8);
    y_ = make_array(8);
    z_ = make_array(8);
  }
  void TearDown() override {
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    for (float* array : {x_, y_, z_}) EXPECT_EQ(cudaFree(array), cudaSuccess);
    for (cudaEvent_t event : {fork_, join_}) EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
    for (cudaStream_t stream : {main_, side_}) EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    Simulation::TearDown();
  }

  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
    ASSERT_EQ(cudaStreamBeginCapture(main_, mode), cudaSuccess);
  }
  cudaError_t end(cudaGraph_t* graph = nullptr) {
    cudaGraph_t unwanted = nullptr;
    const cudaError_t code = cudaStreamEndCapture(main_, graph == nullptr ? &unwanted : graph);
    if (unwanted != nullptr) {
      EXPECT_EQ(cudaGraphDestroy(unwanted), cudaSuccess);
    }
    (void)cudaGetLastError();
    return code;
  }
  cudaGraphExec_t instantiate(cudaGraph_t graph) {
    cudaGraphExec_t result = nullptr;
    EXPECT_EQ(cudaGraphInstantiate(&result, graph, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    return result;
  }

  /// x, then y = 2x and z = 2x on two streams, then x = 2y.
  cudaGraphExec_t diamond() {
    begin();
    launch_set(main_, x_, 8, 1);
    EXPECT_EQ(cudaEventRecord(fork_, main_), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(side_, fork_, 0), cudaSuccess);
    launch_double(main_, x_, y_, 8);
    launch_double(side_, x_, z_, 8);
    EXPECT_EQ(cudaEventRecord(join_, side_), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(main_, join_, 0), cudaSuccess);
    launch_double(main_, y_, x_, 8);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(end(&graph), cudaSuccess);
    return instantiate(graph);
  }

  cudaStream_t main_ = nullptr, side_ = nullptr;
  cudaEvent_t fork_ = nullptr, join_ = nullptr;
  float *x_ = nullptr, *y_ = nullptr, *z_ = nullptr;
};

TEST_F(Graphs, ACaptureRunsNothingAndRecordsForksAndJoins) {
  begin();
  launch_set(main_, x_, 8, 1);
  CUDA_OK(cudaEventRecord(fork_, main_));
  CUDA_OK(cudaStreamWaitEvent(side_, fork_, 0));
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  CUDA_OK(cudaStreamIsCapturing(side_, &status));
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  CUDA_OK(cudaMemcpyAsync(y_, x_, 32, cudaMemcpyDeviceToDevice, main_));
  CUDA_OK(cudaMemsetAsync(z_, 0, 32, side_));
  CUDA_OK(cudaLaunchHostFunc(
      side_, [](void*) {}, nullptr));
  CUDA_OK(cudaEventRecord(join_, side_));
  CUDA_OK(cudaStreamWaitEvent(main_, join_, 0));
  launch_double(main_, y_, x_, 8);
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(end(&graph), cudaSuccess);
  EXPECT_EQ(pending(), 0U);

  const auto info = nodes(graph);
  ASSERT_EQ(info.size(), 5U);
  const std::vector<std::pair<cudaGraphNodeType, std::vector<std::size_t>>> expected = {
      {cudaGraphNodeTypeKernel, {}}, {cudaGraphNodeTypeMemcpy, {0}},    {cudaGraphNodeTypeMemset, {0}},
      {cudaGraphNodeTypeHost, {2}},  {cudaGraphNodeTypeKernel, {1, 3}},
  };
  for (std::size_t i = 0; i < info.size(); ++i) {
    EXPECT_EQ(info[i].kind, expected[i].first) << i;
    EXPECT_EQ(info[i].dependencies, expected[i].second) << i;
  }
  EXPECT_EQ(info[4].name, "double");

  std::size_t count = 0;
  CUDA_OK(cudaGraphGetNodes(graph, nullptr, &count));
  ASSERT_EQ(count, 5U);
  std::vector<cudaGraphNode_t> handles(count);
  CUDA_OK(cudaGraphGetNodes(graph, handles.data(), &count));
  cudaGraphNodeType type{};
  CUDA_OK(cudaGraphNodeGetType(handles[3], &type));
  EXPECT_EQ(type, cudaGraphNodeTypeHost);
  CUDA_OK(cudaGraphDestroy(graph));
}

TEST_F(Graphs, LaunchesFollowEachOtherAndTheStream) {
  cudaGraphExec_t diamond_graph = diamond();
  begin();
  launch_double(main_, x_, y_, 8);
  launch_double(main_, y_, x_, 8);
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(end(&graph), cudaSuccess);
  cudaGraphExec_t fourfold = instantiate(graph);
  for (int seed = 1; seed <= seeds; ++seed) {
    set_seed(static_cast<std::uint64_t>(seed));
    CUDA_OK(cudaGraphLaunch(diamond_graph, main_));
    launch_double(main_, x_, y_, 8);
    CUDA_OK(cudaMemcpyAsync(x_, y_, 32, cudaMemcpyDeviceToDevice, main_));
    CUDA_OK(cudaGraphLaunch(fourfold, main_));
    CUDA_OK(cudaGraphLaunch(fourfold, main_));
    CUDA_OK(cudaStreamSynchronize(main_));
    EXPECT_THAT(fetch(x_, 8), ::testing::Each(4 * 2 * 4 * 4.0F));
  }
  CUDA_OK(cudaGraphExecDestroy(diamond_graph));
  CUDA_OK(cudaGraphExecDestroy(fourfold));
}

TEST_F(Graphs, NodesHaveTheirStreamsPrioritiesWhereTheyAreToldTo) {
  cudaStream_t urgent = nullptr;
  CUDA_OK(cudaStreamCreateWithPriority(&urgent, cudaStreamNonBlocking, -5));
  int beside = 1;
  int behind = 1;
  const auto enqueue_both = [&] {
    CUDA_OK(cudaEventRecord(fork_, main_));
    CUDA_OK(cudaStreamWaitEvent(urgent, fork_, 0));
    submit(urgent, "beside", [&] { beside = running_priority(); });
    CUDA_OK(cudaEventRecord(join_, urgent));
    CUDA_OK(cudaStreamWaitEvent(main_, join_, 0));
    submit(main_, "behind", [&] { behind = running_priority(); });
  };
  enqueue_both();
  CUDA_OK(cudaStreamSynchronize(main_));
  EXPECT_EQ(beside, -5);
  EXPECT_EQ(behind, 0);

  begin();
  enqueue_both();
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(end(&graph), cudaSuccess);
  for (const bool told : {false, true}) {
    for (const cudaStream_t stream : {main_, urgent}) {
      cudaGraphExec_t executable = nullptr;
      CUDA_OK(cudaGraphInstantiate(&executable, graph, told ? cudaGraphInstantiateFlagUseNodePriority : 0));
      CUDA_OK(cudaGraphLaunch(executable, stream));
      CUDA_OK(cudaStreamSynchronize(stream));
      EXPECT_EQ(beside, told || stream == urgent ? -5 : 0);
      EXPECT_EQ(behind, told || stream == main_ ? 0 : -5);
      CUDA_OK(cudaGraphExecDestroy(executable));
    }
  }
  CUDA_OK(cudaGraphDestroy(graph));
  CUDA_OK(cudaStreamDestroy(urgent));
}

TEST_F(Graphs, BranchesRunInManyOrders) {
  std::string order;
  begin();
  CUDA_OK(cudaEventRecord(fork_, main_));
  CUDA_OK(cudaStreamWaitEvent(side_, fork_, 0));
  for (int i = 0; i < 3; ++i) {
    launch(main_, "a", {}, {}, [&] { order += 'a'; });
    launch(side_, "b", {}, {}, [&] { order += 'b'; });
  }
  CUDA_OK(cudaEventRecord(join_, side_));
  CUDA_OK(cudaStreamWaitEvent(main_, join_, 0));
  launch(main_, "c", {}, {}, [&] { order += 'c'; });
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(end(&graph), cudaSuccess);
  cudaGraphExec_t executable = instantiate(graph);
  std::set<std::string> orders;
  for (int i = 0; i < 100; ++i) {
    order.clear();
    CUDA_OK(cudaGraphLaunch(executable, main_));
    CUDA_OK(cudaStreamSynchronize(main_));
    EXPECT_EQ(order.back(), 'c');
    EXPECT_EQ(std::count(order.begin(), order.end(), 'a'), 3);
    orders.insert(order);
  }
  EXPECT_EQ(orders.count("aaabbbc"), 1U);
  EXPECT_EQ(orders.count("bbbaaac"), 1U);
  EXPECT_GT(orders.size(), 4U);
  CUDA_OK(cudaGraphExecDestroy(executable));
}

TEST_F(Graphs, MutantARaceBetweenBranchesIsFoundInEveryOrder) {
  begin();
  launch_set(main_, x_, 8, 1);
  CUDA_OK(cudaEventRecord(fork_, main_));
  launch_double(main_, x_, y_, 8);
  CUDA_OK(cudaStreamWaitEvent(side_, fork_, 0));
  launch_double(side_, y_, z_, 8);  // y is written behind the event
  CUDA_OK(cudaEventRecord(join_, side_));
  CUDA_OK(cudaStreamWaitEvent(main_, join_, 0));
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(end(&graph), cudaSuccess);
  cudaGraphExec_t executable = instantiate(graph);
  for (int seed = 1; seed <= seeds; ++seed) {
    set_seed(static_cast<std::uint64_t>(seed));
    Violations violations;
    CUDA_OK(cudaGraphLaunch(executable, main_));
    CUDA_OK(cudaStreamSynchronize(main_));
    EXPECT_TRUE(violations.contain("race: ")) << seed;
    EXPECT_TRUE(violations.contain("graph 1 node 2")) << seed;
  }
  CUDA_OK(cudaGraphExecDestroy(executable));
}

TEST_F(Graphs, MutantAGraphBesideAStreamThatUsesItsMemoryIsARace) {
  cudaGraphExec_t executable = diamond();
  for (int seed = 1; seed <= seeds; ++seed) {
    set_seed(static_cast<std::uint64_t>(seed));
    Violations violations;
    CUDA_OK(cudaGraphLaunch(executable, main_));
    launch_set(side_, z_, 8, 0);
    CUDA_OK(cudaDeviceSynchronize());
    EXPECT_TRUE(violations.contain("race: ")) << seed;
  }
  CUDA_OK(cudaGraphExecDestroy(executable));
}

TEST_F(Graphs, MutantAnUnjoinedForkEndsInAnError) {
  begin();
  CUDA_OK(cudaEventRecord(fork_, main_));
  CUDA_OK(cudaStreamWaitEvent(side_, fork_, 0));
  launch_set(side_, x_, 8, 1);
  EXPECT_EQ(end(), cudaErrorStreamCaptureUnjoined);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusActive;
  CUDA_OK(cudaStreamIsCapturing(side_, &status));
  EXPECT_EQ(status, cudaStreamCaptureStatusNone);
  // A stream that joined and did nothing owes nothing.
  begin();
  launch_set(main_, x_, 8, 1);
  CUDA_OK(cudaEventRecord(fork_, main_));
  CUDA_OK(cudaStreamWaitEvent(side_, fork_, 0));
  EXPECT_EQ(end(), cudaSuccess);
}

TEST_F(Graphs, MutantWorkAfterTheJoinIsUnjoined) {
  begin();
  CUDA_OK(cudaEventRecord(fork_, main_));
  CUDA_OK(cudaStreamWaitEvent(side_, fork_, 0));
  launch_set(side_, x_, 8, 1);
  CUDA_OK(cudaEventRecord(join_, side_));
  CUDA_OK(cudaStreamWaitEvent(main_, join_, 0));
  launch_set(side_, y_, 8, 1);
  EXPECT_EQ(end(), cudaErrorStreamCaptureUnjoined);
}

TEST_F(Graphs, MutantIllegalCallsFailAndInvalidateTheCapture) {
  cudaEvent_t recorded = make_event();
  CUDA_OK(cudaEventRecord(recorded, side_));
  void* pointer = nullptr;
  float host = 0;
  const std::vector<std::pair<std::function<cudaError_t()>, cudaError_t>> calls = {
      {[&] { return cudaStreamSynchronize(main_); }, cudaErrorStreamCaptureUnsupported},
      {[&] { return cudaStreamSynchronize(side_); }, cudaErrorStreamCaptureUnsupported},
      {[&] { return cudaStreamQuery(main_); }, cudaErrorStreamCaptureUnsupported},
      {[&] { return cudaDeviceSynchronize(); }, cudaErrorStreamCaptureUnsupported},
      {[&] { return cudaEventQuery(recorded); }, cudaErrorStreamCaptureUnsupported},
      {[&] { return cudaEventSynchronize(recorded); }, cudaErrorStreamCaptureUnsupported},
      {[&] { return cudaMalloc(&pointer, 4); }, cudaErrorStreamCaptureUnsupported},
      {[&] { return cudaFree(z_); }, cudaErrorStreamCaptureUnsupported},
      {[&] { return cudaHostAlloc(&pointer, 4, cudaHostAllocMapped); }, cudaErrorStreamCaptureUnsupported},
      {[&] { return cudaMemcpy(&host, x_, 4, cudaMemcpyDeviceToHost); }, cudaErrorStreamCaptureUnsupported},
      {[&] { return cudaStreamWaitEvent(main_, recorded, 0); }, cudaErrorStreamCaptureIsolation},
  };
  for (std::size_t i = 0; i < calls.size(); ++i) {
    begin();
    launch_set(main_, x_, 8, 1);
    EXPECT_EQ(calls[i].first(), calls[i].second) << i;
    launch_set(main_, x_, 8, 1);
    EXPECT_EQ(cudaGetLastError(), cudaErrorStreamCaptureInvalidated) << i;
    EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated) << i;
  }
  EXPECT_EQ(pointer, nullptr);
  // Relaxed mode permits what is merely unsafe, and a thread-local capture is another thread's business alone.
  begin(cudaStreamCaptureModeRelaxed);
  CUDA_OK(cudaMalloc(&pointer, 4));
  CUDA_OK(cudaFree(pointer));
  EXPECT_EQ(end(), cudaSuccess);
  begin();
  std::thread([&] { EXPECT_EQ(cudaEventSynchronize(recorded), cudaSuccess); }).join();
  EXPECT_EQ(end(), cudaSuccess);
  begin(cudaStreamCaptureModeGlobal);
  std::thread([&] { EXPECT_EQ(cudaEventQuery(recorded), cudaErrorStreamCaptureUnsupported); }).join();
  EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
  CUDA_OK(cudaEventDestroy(recorded));
}

TEST_F(Graphs, CapturedEventsServeTheirCaptureOnly) {
  begin();
  launch_set(main_, x_, 8, 1);
  CUDA_OK(cudaEventRecord(fork_, main_));
  EXPECT_EQ(cudaEventQuery(fork_), cudaErrorCapturedEvent);
  EXPECT_EQ(cudaEventSynchronize(fork_), cudaErrorCapturedEvent);
  EXPECT_EQ(end(), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(side_, fork_, 0), cudaErrorCapturedEvent);
  EXPECT_EQ(cudaEventQuery(fork_), cudaErrorCapturedEvent);
}

TEST_F(Graphs, CapturesDoNotMerge) {
  begin();
  CUDA_OK(cudaStreamBeginCapture(side_, cudaStreamCaptureModeThreadLocal));
  CUDA_OK(cudaEventRecord(fork_, main_));
  EXPECT_EQ(cudaStreamWaitEvent(side_, fork_, 0), cudaErrorStreamCaptureMerge);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(side_, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(graph, nullptr);
  EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
}

TEST_F(Graphs, ACaptureEndsWhereItBegan) {
  begin();
  CUDA_OK(cudaEventRecord(fork_, main_));
  CUDA_OK(cudaStreamWaitEvent(side_, fork_, 0));
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(side_, &graph), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
  begin();
  std::thread([&] { EXPECT_EQ(end(), cudaErrorStreamCaptureWrongThread); }).join();
  EXPECT_EQ(end(), cudaSuccess);
  EXPECT_EQ(end(), cudaErrorIllegalState);
}

TEST_F(Graphs, TheLegacyStreamCannotBeCapturedOrUsedBesideABlockingStreamThatIs) {
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal), cudaErrorStreamCaptureUnsupported);
  cudaStream_t blocking = nullptr;
  CUDA_OK(cudaStreamCreateWithPriority(&blocking, cudaStreamDefault, 0));
  CUDA_OK(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeThreadLocal));
  EXPECT_EQ(cudaMemset(x_, 0, 4), cudaErrorStreamCaptureImplicit);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorStreamCaptureInvalidated);
  CUDA_OK(cudaStreamDestroy(blocking));
}

TEST_F(Graphs, MutantMemoryFreedBetweenLaunchesIsNamed) {
  float* const freed = make_array(8);
  begin();
  launch_set(main_, freed, 8, 1);
  CUDA_OK(cudaMemcpyAsync(x_, freed, 32, cudaMemcpyDeviceToDevice, main_));
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(end(&graph), cudaSuccess);
  cudaGraphExec_t executable = instantiate(graph);
  CUDA_OK(cudaGraphLaunch(executable, main_));
  CUDA_OK(cudaStreamSynchronize(main_));
  CUDA_OK(cudaFree(freed));
  CUDA_OK(cudaGraphLaunch(executable, main_));
  EXPECT_DEATH((void)cudaStreamSynchronize(main_), "'set' .*graph 1 node 0.* freed allocation 4");
  EXPECT_THAT(reset(), ::testing::SizeIs(7));
  Graphs::SetUp();
}

/// A training step's shape: two streams, 60 nodes, 200 launches.
TEST_F(Graphs, TwoHundredStepsOfSixtyOperationsTakeLittleTime) {
  constexpr std::size_t length = 10000;
  std::vector<float*> arrays;
  for (int i = 0; i < 40; ++i) arrays.push_back(make_array(length));
  begin();
  for (int i = 0; i < 10; ++i) {
    const auto array = [&](int k) { return arrays[static_cast<std::size_t>((3 * i + k) % 40)]; };
    launch_set(main_, array(0), length, 1);
    CUDA_OK(cudaEventRecord(fork_, main_));
    CUDA_OK(cudaStreamWaitEvent(side_, fork_, 0));
    launch_double(main_, array(0), array(1), length);
    launch_double(side_, array(0), array(2), length);
    launch_double(side_, array(2), array(3), length);
    CUDA_OK(cudaEventRecord(join_, side_));
    CUDA_OK(cudaStreamWaitEvent(main_, join_, 0));
    launch_double(main_, array(1), array(4), length);
    launch_double(main_, array(3), array(5), length);
  }
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(end(&graph), cudaSuccess);
  EXPECT_EQ(nodes(graph).size(), 60U);
  cudaGraphExec_t executable = instantiate(graph);
  const auto start = std::chrono::steady_clock::now();
  for (int step = 0; step < 200; ++step) {
    CUDA_OK(cudaGraphLaunch(executable, main_));
    if (step % 10 == 9) {
      CUDA_OK(cudaStreamSynchronize(main_));
    }
  }
  CUDA_OK(cudaStreamSynchronize(main_));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  RecordProperty("seconds", std::to_string(seconds.count()));
  EXPECT_LT(seconds.count(), 10);
  CUDA_OK(cudaGraphExecDestroy(executable));
  for (float* array : arrays) CUDA_OK(cudaFree(array));
}

}  // namespace
}  // namespace cuda_sim::testing
