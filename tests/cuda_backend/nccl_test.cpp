// What the backend does of NCCL where a call of NCCL's fails, and with which settings NCCL starts. Simulated GPUs
// alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <set>

#include "cuda_backend/gpu.hpp"
#include "cuda_sim/cuda_sim.hpp"
#include "distributed/distributed.hpp"
#include "ganymede/device.hpp"
#include "ganymede/error.hpp"
#include "support/refusal.hpp"

namespace ganymede::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class Nccl : public ::testing::Test {
 protected:
  void SetUp() override { prepare_gpus(world().node_size(), 1); }

  /// Sums few numbers, and as many as NCCL is told of; the sum of the last ones.
  static float sum(const CudaOptions& options = {}) {
    const std::unique_ptr<Device> device = make_gpu(world(), options);
    float last = 0;
    for (const std::size_t count : {std::size_t{7}, std::size_t{1} << 18}) {
      const std::unique_ptr<Reduction<float>> sum = device->make_reduction<float>(world(), count);
      const float one = 1;
      device->upload(sum->data() + count - 1, &one, sizeof one);
      sum->start();
      sum->finish();
      device->download(&last, sum->sum() + count - 1, sizeof last);
    }
    return last;
  }
};

// --debug looks at sums as at kernels, and says where in a step they were, whichever way they go.
TEST_F(Nccl, DebugNamesASumThatIsNotFiniteOrFails) {
  for (const bool through_mpi : {false, true}) {
    SCOPED_TRACE(through_mpi ? "through MPI" : "through NCCL");
    CudaOptions options;
    options.debug = true;
    options.through_mpi = through_mpi;
    for (const bool fails : {false, true}) {
      prepare_gpus(world().node_size(), 1);
      const std::unique_ptr<Device> device = make_gpu(world(), options);
      const std::unique_ptr<Reduction<float>> sum = device->make_reduction<float>(world(), 7);
      sum->start();
      sum->finish();
      const float large = 3e38F;  // twice as much is no float
      device->upload(sum->data() + 2, &large, sizeof large);
      device->enter("D reduction");
      if (fails) cuda_sim::fail("cudaEventRecord", 1);
      EXPECT_THAT(refusal(fails ? ExitCode::launch : ExitCode::training_failed,
                          [&] {
                            sum->start();
                            sum->finish();
                          }),
                  HasSubstr(fails ? "a sum over ranks in D reduction: CUDA could not record an event"
                                  : "a sum over ranks in D reduction wrote a value that is not finite, first at "
                                    "element 2 of 7"));
      device->synchronize();  // what is freed now has been cleared
    }
  }
}

// The first and the last call of each function fail, on all ranks at a time: each rank throws one message, or goes on
// as if nothing had been, where a call is one that may fail; and no communicator is left.
TEST_F(Nccl, AnyCallMayFail) {
  EXPECT_EQ(sum(), static_cast<float>(world().size()));
  const std::map<std::string, std::size_t> calls = cuda_sim::calls();
  for (const char* function :
       {"ncclGetUniqueId", "ncclCommInitRankConfig", "ncclCommGetAsyncError", "ncclAllReduce", "ncclMemAlloc",
        "ncclCommRegister", "ncclCommDeregister", "ncclMemFree", "ncclCommFinalize", "ncclCommDestroy"}) {
    SCOPED_TRACE(function);
    // An id is made on rank 0 alone, whose failure is that of all.
    const bool here = calls.contains(function);
    EXPECT_TRUE(here || (function == std::string("ncclGetUniqueId") && world().rank() > 0));
    // How often it is asked for a state differs from run to run.
    const std::size_t last = !here || function == std::string("ncclCommGetAsyncError") ? 1 : calls.at(function);
    for (const std::size_t nth : {std::size_t{1}, last}) {
      prepare_gpus(world().node_size(), 1);
      cuda_sim::fail(function, static_cast<int>(nth));
      std::string message;
      try {
        EXPECT_EQ(sum(), static_cast<float>(world().size()));
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::launch);
        message = error.what();
      }
      EXPECT_TRUE(!here || cuda_sim::calls()[function] >= nth) << "it did not fail";
      const bool may_fail = std::set<std::string>{"ncclCommRegister", "ncclCommDeregister", "ncclMemFree",
                                                  "ncclCommFinalize", "ncclCommDestroy"}
                                .contains(function);
      if (may_fail) {
        EXPECT_EQ(message, "");
      } else {
        EXPECT_THAT(message, HasSubstr("NCCL c"));  // could not, cannot
      }
      if (function != std::string("ncclCommDestroy")) {
        EXPECT_THAT(gpu_leaks(), Not(Contains(HasSubstr("communicator"))));
      }
    }
  }
}

// Who reads behind a sum that another rank has no part in waits for that no longer than was said.
TEST_F(Nccl, AReadBehindALostRanksSumEnds) {
  CudaOptions options;
  options.wait_seconds = 0.05;
  const std::unique_ptr<Device> device = make_gpu(world(), options);
  const std::unique_ptr<Reduction<float>> sum = device->make_reduction<float>(world(), 1);
  const auto add = [&] {
    sum->start();
    sum->finish();
  };
  float value = 1;
  const auto problem_of = [&](const std::function<void()>& wait) { return refusal(ExitCode::rank_lost, wait); };
  device->upload(sum->data(), &value, sizeof value);
  if (world().rank() == 0) {
    add();
    const auto is_told = HasSubstr("the GPU has not ended its work within 0.05 s");
    EXPECT_THAT(problem_of([&] { device->download(&value, sum->sum(), sizeof value); }), is_told);
    EXPECT_THAT(problem_of([&] { device->upload(sum->data(), &value, sizeof value); }), is_told);
  }
  world().barrier();
  if (world().rank() > 0) add();
  while (!problem_of([&] { device->synchronize(); }).empty()) continue;
  device->download(&value, sum->sum(), sizeof value);
  EXPECT_EQ(value, static_cast<float>(world().size()));
}

TEST_F(Nccl, SumsInOneOrderWithDebug) {
  const auto setting_after = [](bool debug) -> std::string {
    CudaOptions options;
    options.debug = debug;
    sum(options);
    const char* const text = std::getenv("NCCL_NVLS_ENABLE");
    return text == nullptr ? "" : text;
  };
  unsetenv("NCCL_NVLS_ENABLE");
  EXPECT_EQ(setting_after(false), "");
  EXPECT_EQ(setting_after(true), "0");
  setenv("NCCL_NVLS_ENABLE", "1", 1);
  EXPECT_EQ(setting_after(true), "1");
  unsetenv("NCCL_NVLS_ENABLE");
}

}  // namespace
}  // namespace ganymede::testing
