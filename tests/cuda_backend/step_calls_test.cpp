// What the host calls of CUDA once a step is recorded: no wait, no allocation, nothing but the graph's launch and its
// mark, and the copies of means that are wanted. Simulated GPUs alone: they count calls.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "cuda_backend/gpu.hpp"
#include "cuda_backend/training.hpp"
#include "cuda_sim/cuda_sim.hpp"
#include "distributed/distributed.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {
namespace {

using Calls = std::map<std::string, std::size_t>;

class GpuStepCalls : public ::testing::TestWithParam<GanSetting> {};

TEST_P(GpuStepCalls, AreALaunchAndAMark) {
  Communicator& ranks = world();
  prepare_gpus(ranks.node_size(), 1);
  const RandomImages images(40, side, 3);
  Training gpu(make_gpu(ranks), options_of(GetParam(), false), ranks, images.set());
  // Once as it is, which also makes what is made once, and once recorded; and means from there on.
  for (int i = 0; i < 2; ++i) gpu.step.run(false, i == 1);
  ASSERT_GT(gpu.step.recorded(), 0);
  const Calls before = cuda_sim::calls();
  constexpr std::size_t count = 12;
  constexpr std::size_t every = 4;
  for (std::size_t i = 1; i <= count; ++i) gpu.step.run(false, i % every == 0);
  Calls calls;
  for (const auto& [function, all] : cuda_sim::calls()) {
    const auto earlier = before.find(function);
    const std::size_t since = all - (earlier == before.end() ? 0 : earlier->second);
    if (since > 0) calls[function] = since;
  }
  // Whether the step before the last one's is done, as often as it is looked at: that NotReady is no error is one more
  // call, and NCCL is asked now and then whether all ranks are there. The GPU's own work is none of the host's calls.
  EXPECT_GE(calls["cudaEventQuery"], count);
  for (const char* any_number : {"cudaEventQuery", "cudaGetLastError", "ncclCommGetAsyncError", "operation"})
    calls.erase(any_number);
  EXPECT_EQ(calls, (Calls{{"cudaGraphLaunch", count},
                          {"cudaEventRecord", count},
                          {"cudaMemcpyAsync", 3 * count / every},  // running sums, and two squared norms
                          {"cudaMemsetAsync", count / every}}));
  gpu.step.settle();
}

// Sums over ranks, and what times them, go before the kernels that they run beside, in a graph as without one.
TEST(GpuStep, PutsItsSumsFirst) {
  Communicator& ranks = world();
  prepare_gpus(ranks.node_size(), 1);
  CudaOptions options;
  options.nccl_alone = true;
  const RandomImages images(40, side, 3);
  Training gpu(make_gpu(ranks, options), options_of({"", normalised_dcgan}, false), ranks, images.set());
  int least = 0;
  int greatest = 0;
  ASSERT_EQ(cudaDeviceGetStreamPriorityRange(&least, &greatest), cudaSuccess);
  gpu.go(3);
  int sums = 0;
  for (const auto& [name, priorities] : cuda_sim::priorities()) {
    const bool is_sum = name.find("ncclAllReduce") == 0;
    const bool first = is_sum || name.find("timer") != std::string::npos;
    // The timer's memory is cleared on its own stream.
    if (name != "memset") {
      EXPECT_EQ(priorities, std::set<int>{first ? greatest : least}) << name;
    }
    sums += is_sum ? 1 : 0;
  }
  EXPECT_GE(sums, 3);  // G's, D's, batch normalisation's
}

INSTANTIATE_TEST_SUITE_P(Cuda, GpuStepCalls,
                         ::testing::Values(GanSetting{"mlp", [](TrainOptions& o) { o.r1 = o.ema = 0; }},
                                           GanSetting{"dcgan", [](TrainOptions& o) { normalised_dcgan(o); }}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace ganymede::testing
