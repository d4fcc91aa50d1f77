// Which rank gets which GPU.
#include "device/cuda/placement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cuda_backend/gpu.hpp"
#include "cuda_sim/cuda_sim.hpp"
#include "ganymede/error.hpp"
#include "support/refusal.hpp"

namespace ganymede::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Placement, TakesGpusInTurnOrTheOnlyOne) {
  const std::vector<bool> four(4, true);
  EXPECT_EQ(cuda::choose_gpu(-1, 2, four), 2);
  EXPECT_EQ(cuda::choose_gpu(-1, 5, four), 1);
  EXPECT_EQ(cuda::choose_gpu(-1, 3, {true}), 0);  // as Slurm shows each task its own
  EXPECT_EQ(cuda::choose_gpu(1, 3, four), 1);
  EXPECT_THAT(refusal(ExitCode::launch, [&] { cuda::choose_gpu(4, 0, four); }), HasSubstr("no GPU 4 here"));
}

TEST(Placement, PassesOverGpusThatAreTooOld) {
  const std::vector<bool> mixed = {false, true, false, true};
  EXPECT_EQ(cuda::choose_gpu(-1, 0, mixed), 1);
  EXPECT_EQ(cuda::choose_gpu(-1, 1, mixed), 3);
  EXPECT_EQ(cuda::choose_gpu(-1, 2, mixed), 1);
  EXPECT_EQ(cuda::choose_gpu(2, 0, mixed), 2);
  EXPECT_EQ(cuda::choose_gpu(-1, 1, {false, false}), 1);
}

TEST(Placement, NamesRanksThatShareAGpu) {
  const std::vector<cuda::Place> apart = {
      {"a", "0000:01:00.0", "H", 0}, {"a", "0000:02:00.0", "H", 1}, {"b", "0000:01:00.0", "H", 0}};
  EXPECT_EQ(cuda::conflict(apart), "");
  std::vector<cuda::Place> shared = apart;
  shared.push_back({"b", "0000:01:00.0", "H", 0});
  EXPECT_THAT(cuda::conflict(shared), HasSubstr("ranks 2 and 3 on b share one GPU (H, 0000:01:00.0)"));
  EXPECT_THAT(cuda::conflict(shared), AllOf(HasSubstr("than it has GPUs (mpirun"), HasSubstr("--reduction mpi")));
  shared.back().too_old = 1;
  EXPECT_THAT(cuda::conflict(shared), HasSubstr("than it has GPUs of compute capability 7.5 or more (mpirun"));
  EXPECT_THAT(
      cuda::conflict(shared, 1),
      AllOf(HasSubstr("--device cuda:1 names that GPU to all ranks; with --device cuda each takes one of its own"),
            HasSubstr("--reduction mpi"), Not(HasSubstr("no more ranks"))));
}

class SimulatedPlacement : public ::testing::Test {
 protected:
  void SetUp() override { cuda_sim::reset(); }
  void TearDown() override { cuda_sim::reset(); }
  std::string message(const CudaOptions& options = {}) {
    return refusal(ExitCode::launch, [&] { make_gpu(*alone_, options); });
  }
  std::unique_ptr<Communicator> alone_ = make_local_communicator();
};

TEST_F(SimulatedPlacement, SaysWhatTheGpuIs) {
  cuda_sim::set_devices({{}, {}});
  CudaOptions options;
  options.device = 1;
  const std::unique_ptr<Device> device = make_gpu(*alone_, options);
  EXPECT_THAT(device->description(), HasSubstr("simulated H100 (no GPU)"));
  EXPECT_THAT(device->arithmetic(), HasSubstr("cuda sm_90"));
}

TEST_F(SimulatedPlacement, TakesAGoodGpuBesideAnOldOne) {
  cuda_sim::DeviceSpec old;
  old.model = "P100";
  old.major = 6;
  cuda_sim::set_devices({old, {}});
  EXPECT_THAT(make_gpu(*alone_)->description(), HasSubstr("simulated H100 (no GPU)"));
  CudaOptions options;
  options.device = 0;
  EXPECT_THAT(message(options), HasSubstr("the GPU simulated P100 (no GPU) has compute capability 6.0; 7.5"));
}

TEST_F(SimulatedPlacement, RefusesWhatIsNotThereOrBusyOrTooOld) {
  CudaOptions options;
  options.device = 3;
  cuda_sim::set_devices({{}});
  EXPECT_THAT(message(options), HasSubstr("there is no GPU 3 here: this process sees 1"));
  cuda_sim::DeviceSpec busy;
  busy.busy = true;
  cuda_sim::reset();
  cuda_sim::set_devices({busy});
  EXPECT_THAT(message(), HasSubstr("another process has the GPU to itself"));
  cuda_sim::DeviceSpec old;
  old.model = "P100";
  old.major = 6;
  cuda_sim::reset();
  cuda_sim::set_devices({old});
  EXPECT_THAT(message(), HasSubstr("compute capability 6.0; 7.5 (Turing, 2018) is the least"));
  cuda_sim::reset();
  cuda_sim::remove_driver();
  EXPECT_THAT(message(), HasSubstr("count the GPUs"));
}

}  // namespace
}  // namespace ganymede::testing
