// Every call that a training makes of CUDA and its libraries fails, one each time, on all ranks: an Error says so, and
// nothing else happens. Some of them fail in each run of the suite (device_test.cpp). Simulated GPUs alone. That one
// rank's failure ends the others, in the midst of whatever they wait for, is the program's affair (program_test.cpp).
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "cuda_backend/gpu.hpp"
#include "cuda_sim/cuda_sim.hpp"
#include "distributed/distributed.hpp"
#include "gan/step.hpp"
#include "ganymede/error.hpp"
#include "support/gan_settings.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {
namespace {

// Several ranks add up through MPI, where none waits for another's GPU.
void train(bool convolutions) {
  TrainOptions o = small_options();
  if (convolutions) change_to_small_dcgan(o);
  const int side = convolutions ? 8 : small_side;
  const RandomImages images(20, side, 1);
  CudaOptions options;
  options.through_mpi = world().size() > 1;
  const std::unique_ptr<Device> device = make_gpu(world(), options);
  Gan gan = make_gan(o, images.set().shape(), *device);
  GanStep step(*device, world(), gan, images.set(), o);
  for (int i = 0; i < 2; ++i) step.run(false, true);
  step.settle();
}

// What is only asked, what tells of errors, and what ends things may fail unnoticed; how often an event is asked for is
// each rank's own affair.
bool may_fail_unnoticed(const std::string& function) {
  for (const char* quiet : {"Destroy", "Free", "GetError", "LastError", "GetNodes", "PeekAt", "operation"})
    if (function.find(quiet) != std::string::npos) return true;
  return world().size() > 1 && function == "cudaEventQuery";
}

// With convolutions two ranks take minutes: of a function that is called often, every seventh call and the last.
bool is_tried(std::size_t nth, std::size_t count, bool convolutions) {
  return world().size() == 1 || !convolutions || nth % 7 == 1 || nth == count;
}

class EveryCall : public ::testing::TestWithParam<bool> {};

TEST_P(EveryCall, MayFail) {
  const auto anew = [] { prepare_gpus(world().node_size(), 1); };
  anew();
  train(GetParam());
  std::size_t failures = 0;
  for (const auto& [function, count] : std::map(cuda_sim::calls())) {
    if (may_fail_unnoticed(function)) continue;
    for (std::size_t nth = 1; nth <= count; ++nth) {
      if (!is_tried(nth, count, GetParam())) continue;
      // The step's destructor tells nobody.
      if ((function == "cudaEventRecord" || function == "cudaEventQuery") && nth == count) continue;
      anew();
      cuda_sim::fail(function, static_cast<int>(nth));
      try {
        train(GetParam());
        ADD_FAILURE() << function << " failed at call " << nth << " of " << count << " and nobody noticed";
      } catch (const Error& error) {
        ++failures;
        EXPECT_NE(std::string(error.what()), "") << function;
      }
    }
  }
  anew();
  EXPECT_GT(failures, !GetParam() ? 150U : world().size() == 1 ? 300U : 100U);
}

INSTANTIATE_TEST_SUITE_P(Cuda, EveryCall, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Convolutions" : "Mlp"; });

}  // namespace
}  // namespace ganymede::testing
