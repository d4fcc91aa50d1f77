// The real CUDA runtime, cuBLASLt, cuDNN and NCCL, linked and loaded: what each does on this machine, with a driver and
// without; and NCCL's unique id, made on one rank and sent to all by MPI, which needs no GPU.
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn_graph.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nccl.h>

#include <algorithm>
#include <string>
#include <vector>

#include "distributed/distributed.hpp"

namespace ganymede {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using testing::world;

enum class Machine { no_driver, no_gpu, gpu };

/// What this machine is, found without the libraries under test where it has no driver.
Machine machine() {
  if (dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) == nullptr) return Machine::no_driver;
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorNoDevice) return Machine::no_gpu;
  EXPECT_EQ(error, cudaSuccess) << cudaGetErrorString(error);
  return Machine::gpu;
}

TEST(CudaLibraries, TheRuntimeKnowsWhatIsMissing) {
  int count = -1;
  int driver = -1;
  const cudaError_t error = cudaGetDeviceCount(&count);
  EXPECT_EQ(cudaDriverGetVersion(&driver), cudaSuccess);
  switch (machine()) {
    case Machine::no_driver:
      EXPECT_EQ(error, cudaErrorInsufficientDriver);
      EXPECT_EQ(driver, 0);
      break;
    case Machine::no_gpu:
      EXPECT_EQ(error, cudaErrorNoDevice);
      EXPECT_GT(driver, 0);
      break;
    case Machine::gpu:
      EXPECT_EQ(error, cudaSuccess) << cudaGetErrorString(error);
      EXPECT_GT(count, 0);
      EXPECT_GE(driver / 1000, CUDART_VERSION / 1000);
  }
}

TEST(CudaLibraries, CublasLtStartsOrSaysWhy) {
  EXPECT_EQ(cublasLtGetVersion() / 10000, static_cast<std::size_t>(CUBLAS_VER_MAJOR));
  cublasLtHandle_t handle = nullptr;
  const cublasStatus_t status = cublasLtCreate(&handle);
  if (machine() == Machine::gpu) {
    ASSERT_EQ(status, CUBLAS_STATUS_SUCCESS) << cublasLtGetStatusString(status);
    EXPECT_EQ(cublasLtDestroy(handle), CUBLAS_STATUS_SUCCESS);
  } else {
    EXPECT_EQ(status, CUBLAS_STATUS_NOT_INITIALIZED) << cublasLtGetStatusString(status);
    EXPECT_STREQ(cublasLtGetStatusName(status), "CUBLAS_STATUS_NOT_INITIALIZED");
  }
}

TEST(CudaLibraries, CudnnStartsOrSaysWhy) {
  EXPECT_EQ(cudnnGetVersion() / 10000, static_cast<std::size_t>(CUDNN_MAJOR));
  cudnnHandle_t handle = nullptr;
  const cudnnStatus_t status = cudnnCreate(&handle);
  if (machine() == Machine::gpu) {
    ASSERT_EQ(status, CUDNN_STATUS_SUCCESS) << cudnnGetErrorString(status);
    EXPECT_EQ(cudnnDestroy(handle), CUDNN_STATUS_SUCCESS);
  } else {
    EXPECT_EQ(status, CUDNN_STATUS_NOT_INITIALIZED) << cudnnGetErrorString(status);
    EXPECT_STREQ(cudnnGetErrorString(status), "CUDNN_STATUS_NOT_INITIALIZED");
  }
}

TEST(CudaLibraries, EveryRankGetsTheUniqueIdOfTheFirst) {
  ncclUniqueId id = {};
  if (world().is_root()) {
    EXPECT_EQ(ncclGetUniqueId(&id), ncclSuccess) << ncclGetLastError(nullptr);
  }
  world().broadcast(&id, sizeof(id), 0);
  const std::string mine(static_cast<const char*>(id.internal), sizeof(id.internal));
  EXPECT_TRUE(std::any_of(mine.begin(), mine.end(), [](char byte) { return byte != 0; }));
  for (const std::string& other : world().all_gather(mine)) EXPECT_EQ(other, mine);

  // A second one is another.
  if (world().is_root()) {
    ncclUniqueId second = {};
    EXPECT_EQ(ncclGetUniqueId(&second), ncclSuccess);
    EXPECT_NE(std::string(static_cast<const char*>(second.internal), sizeof(second.internal)), mine);
  }
}

TEST(CudaLibraries, NcclStartsOrSaysWhy) {
  int version = 0;
  EXPECT_EQ(ncclGetVersion(&version), ncclSuccess);
  EXPECT_EQ(version / 10000, NCCL_MAJOR);
  // A communicator of this rank alone: the ranks of a test may have one GPU between them.
  ncclUniqueId id = {};
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  ncclComm_t communicator = nullptr;
  const ncclResult_t result = ncclCommInitRank(&communicator, 1, id, 0);
  if (machine() == Machine::gpu) {
    ASSERT_EQ(result, ncclSuccess) << ncclGetLastError(nullptr);
    EXPECT_EQ(ncclCommDestroy(communicator), ncclSuccess);
  } else {
    EXPECT_EQ(result, ncclUnhandledCudaError);
    EXPECT_THAT(ncclGetErrorString(result), HasSubstr("unhandled cuda error"));
    EXPECT_THAT(ncclGetLastError(nullptr),
                AnyOf(HasSubstr("CUDA driver version is insufficient"), HasSubstr("no CUDA-capable device")));
  }
}

}  // namespace
}  // namespace ganymede
