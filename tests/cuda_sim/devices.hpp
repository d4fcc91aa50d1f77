// Simulated devices and the state of the whole simulation.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>

namespace cuda_sim {

/// cudaSuccess when the thread's current device can be used; makes it the process's, as CUDA's first call does.
cudaError_t use_device();
/// The thread's current device.
int current_device();
int device_count();
/// Bytes of the device's memory.
std::size_t device_memory(int device);
/// "0000:17:00.0".
std::string device_pci(int device);
/// Compute capability, as 90.
int device_capability(int device);
/// Devices as the environment says.
void reset_devices();

}  // namespace cuda_sim
