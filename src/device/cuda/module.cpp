// The module's one symbol: what it sees of drivers and GPUs, and the factory of its device.
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <array>

#include "core/build_info.hpp"
#include "core/heartbeat.hpp"
#include "device/cuda/cuda_device.hpp"
#include "device/cuda/cudnn.hpp"
#include "device/cuda_module.hpp"

namespace ganymede {
namespace {

std::string version_text(std::size_t major, std::size_t minor, std::size_t patch) {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

/// "cuBLASLt 13.1.0, cuDNN 9.19.0, NCCL 2.28.9".
std::string loaded_libraries() {
  const std::size_t blas = cublasLtGetVersion();
  int nccl = 0;
  ncclGetVersion(&nccl);
  const auto n = static_cast<std::size_t>(nccl);
  return "cuBLASLt " + version_text(blas / 10000, blas / 100 % 100, blas % 100) + ", cuDNN " + cuda::cudnn_version() +
         ", NCCL " + version_text(n / 10000, n / 100 % 100, n % 100);
}

CudaSight look() {
  CudaSight sight;
  sight.libraries = loaded_libraries();
  sight.runtime = CUDART_VERSION;
  // Both leave what they were given as it was where there is no driver.
  int count = 0;
  cudaDriverGetVersion(&sight.driver);
  const auto failed = [&](cudaError_t error) {
    // What cudaGetLastError() would tell the next who asks.
    cudaGetLastError();
    sight.state = CudaSight::State::failed;
    sight.reason = std::string(cudaGetErrorName(error)) + ", " + cudaGetErrorString(error);
    return sight;
  };
  const cudaError_t counted = cudaGetDeviceCount(&count);
  if (counted == cudaErrorInsufficientDriver) {
    // CUDA has one code for two things.
    failed(counted);
    sight.state = sight.driver == 0 ? CudaSight::State::no_driver : CudaSight::State::old_driver;
    return sight;
  }
  if (counted == cudaErrorNoDevice || (counted == cudaSuccess && count == 0)) {
    failed(counted);
    sight.state = CudaSight::State::no_gpu;
    return sight;
  }
  if (counted != cudaSuccess) return failed(counted);

  for (int device = 0; device < count; ++device) {
    cudaDeviceProp properties = {};
    std::array<char, 32> pci = {};
    cudaError_t error = cudaGetDeviceProperties(&properties, device);
    if (error == cudaSuccess) error = cudaDeviceGetPCIBusId(pci.data(), static_cast<int>(pci.size()), device);
    if (error != cudaSuccess) return failed(error);
    sight.gpus.push_back({static_cast<const char*>(properties.name), pci.data(), properties.major, properties.minor,
                          properties.totalGlobalMem});
  }
  sight.state = CudaSight::State::ready;
  return sight;
}

}  // namespace
}  // namespace ganymede

extern "C" {
// NOLINTNEXTLINE(readability-identifier-naming)
__attribute__((visibility("default"))) extern const ganymede::CudaModule ganymede_cuda_module;
const ganymede::CudaModule ganymede_cuda_module = {ganymede::build_interface, ganymede::look,
                                                   ganymede::cuda::make_device, ganymede::heartbeat::mark_in};
}
