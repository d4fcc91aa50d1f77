// The GPU behind the Device interface.
#pragma once

#include <memory>

#include "device/cuda_module.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/device.hpp"

namespace ganymede::cuda {

/// This rank's GPU, chosen by placement.hpp. Collective: all ranks, or an AgreedError on all of them.
std::unique_ptr<Device> make_device(Communicator& ranks, const CudaOptions& options);

}  // namespace ganymede::cuda
