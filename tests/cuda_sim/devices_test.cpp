// Devices, their absence, and injected errors.
#include <cstdlib>

#include "cuda_sim/testing.hpp"

namespace cuda_sim::testing {
namespace {

/// Sets a variable for one test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    setenv(name, value, 1);
    reset();
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() {
    unsetenv(name_);
    reset();
  }

 private:
  const char* name_;
};

using Devices = Simulation;

TEST_F(Devices, SayThatTheyAreSimulated) {
  int count = 0;
  CUDA_OK(cudaGetDeviceCount(&count));
  EXPECT_EQ(count, 1);
  cudaDeviceProp properties{};
  CUDA_OK(cudaGetDeviceProperties(&properties, 0));
  EXPECT_STREQ(properties.name, "simulated H100 (no GPU)");
  EXPECT_EQ(properties.major, 9);
  int value = 0;
  CUDA_OK(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0));
  EXPECT_EQ(value, 132);
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  int least = 1;
  int greatest = 1;
  CUDA_OK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  EXPECT_LT(greatest, least);
  CUDA_OK(cudaDriverGetVersion(&value));
  EXPECT_EQ(value, CUDART_VERSION);
}

TEST_F(Devices, NoDriverLeavesTheCountAlone) {
  const Variable devices("GANYMEDE_CUDA_SIM_DEVICES", "no-driver");
  int count = -7;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  EXPECT_EQ(count, -7);
  EXPECT_STREQ(cudaGetErrorString(cudaGetLastError()), "CUDA driver version is insufficient for CUDA runtime version");
  void* x = nullptr;
  EXPECT_EQ(cudaMalloc(&x, 4), cudaErrorInsufficientDriver);
  CUDA_OK(cudaDriverGetVersion(&count));
  EXPECT_EQ(count, 0);
}

TEST_F(Devices, NoneAtAll) {
  const Variable devices("GANYMEDE_CUDA_SIM_DEVICES", "none");
  int count = -7;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(count, 0);
  EXPECT_EQ(cudaSetDevice(0), cudaErrorNoDevice);
}

TEST_F(Devices, OldBusyAndSmallOnes) {
  const Variable devices("GANYMEDE_CUDA_SIM_DEVICES", "T4:memory=12345,P100,A100:busy");
  int count = 0;
  CUDA_OK(cudaGetDeviceCount(&count));
  EXPECT_EQ(count, 3);
  cudaDeviceProp properties{};
  CUDA_OK(cudaGetDeviceProperties(&properties, 1));
  EXPECT_EQ(properties.major, 6);
  std::size_t free = 0;
  std::size_t total = 0;
  CUDA_OK(cudaMemGetInfo(&free, &total));
  EXPECT_EQ(total, 12345U);
  EXPECT_EQ(cudaSetDevice(2), cudaErrorDevicesUnavailable);
  int mode = 0;
  CUDA_OK(cudaDeviceGetAttribute(&mode, cudaDevAttrComputeMode, 2));
  EXPECT_EQ(mode, cudaComputeModeExclusiveProcess);
  void* x = nullptr;
  EXPECT_EQ(cudaMalloc(&x, 4), cudaErrorDevicesUnavailable);
}

TEST_F(Devices, VisibleOnesByIndexAndUuid) {
  const Variable devices("GANYMEDE_CUDA_SIM_DEVICES", "H100,A100,T4");
  cudaDeviceProp properties{};
  char pci[32] = {};
  CUDA_OK(cudaDeviceGetPCIBusId(pci, sizeof pci, 2));
  EXPECT_STREQ(pci, "0000:19:00.0");
  EXPECT_EQ(cudaDeviceGetPCIBusId(pci, 5, 2), cudaErrorInvalidValue);
  int count = 0;
  {
    const Variable visible("CUDA_VISIBLE_DEVICES", "2,0,7,1");
    CUDA_OK(cudaGetDeviceCount(&count));
    EXPECT_EQ(count, 2);
    CUDA_OK(cudaGetDeviceProperties(&properties, 0));
    EXPECT_STREQ(properties.name, "simulated T4 (no GPU)");
    CUDA_OK(cudaDeviceGetPCIBusId(pci, sizeof pci, 0));
    EXPECT_STREQ(pci, "0000:19:00.0");
  }
  {
    const Variable visible("CUDA_VISIBLE_DEVICES", "GPU-10111213");
    CUDA_OK(cudaGetDeviceProperties(&properties, 0));
    EXPECT_STREQ(properties.name, "simulated A100 (no GPU)");
  }
  {
    const Variable visible("CUDA_VISIBLE_DEVICES", "");
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  }
}

using Errors = Simulation;

TEST_F(Errors, AreInjectedIntoTheNthCall) {
  fail("cudaMalloc", 2, cudaErrorMemoryAllocation);
  float* const x = make_array(1);
  void* y = nullptr;
  EXPECT_EQ(cudaMalloc(&y, 4), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  CUDA_OK(cudaMalloc(&y, 4));
  CUDA_OK(cudaFree(x));
  CUDA_OK(cudaFree(y));
  EXPECT_EQ(calls().at("cudaMalloc"), 3U);
  EXPECT_EQ(calls().at("cudaFree"), 2U);
}

TEST_F(Errors, FromTheEnvironment) {
  const Variable errors("GANYMEDE_CUDA_SIM_FAIL", "cudaSetDevice:1:101,cudaDeviceSynchronize:2");
  EXPECT_EQ(cudaSetDevice(0), cudaErrorInvalidDevice);
  CUDA_OK(cudaSetDevice(0));
  CUDA_OK(cudaDeviceSynchronize());
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorUnknown);
}

TEST_F(Errors, OfALaunchWaitInTheLastError) {
  cudaStream_t stream = make_stream();
  bool ran = false;
  fail("cudaLaunchKernel", 1, cudaErrorLaunchOutOfResources);
  launch(stream, "too big", {}, {}, [&] { ran = true; });
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchOutOfResources);
  CUDA_OK(cudaStreamSynchronize(stream));
  EXPECT_FALSE(ran);
  CUDA_OK(cudaStreamDestroy(stream));
}

TEST_F(Errors, OfAnOperationStay) {
  cudaStream_t stream = make_stream();
  fail("operation", 2);
  int ran = 0;
  for (int i = 0; i < 3; ++i) launch(stream, "count", {}, {}, [&] { ++ran; });
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
  EXPECT_EQ(ran, 1);
  void* x = nullptr;
  EXPECT_EQ(cudaMalloc(&x, 4), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_THAT(reset(), ::testing::SizeIs(1));  // the stream
}

}  // namespace
}  // namespace cuda_sim::testing
