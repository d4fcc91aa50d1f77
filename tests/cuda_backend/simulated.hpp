// A GPU that is simulated for tests (tests/cuda_sim), with Ganymede's own kernels run on the CPU
// (tests/cuda_emulation) behind it: the backend's code is the very same that runs on a GPU.
#pragma once

#include <memory>

#include "device/cuda/cuda_device.hpp"

namespace ganymede::testing {

/// Connects the emulated kernels with the simulated runtime, once for the whole process.
void connect_simulation();

/// This rank's simulated GPU. Collective.
inline std::unique_ptr<Device> make_simulated_gpu(Communicator& ranks, const CudaOptions& options = {}) {
  connect_simulation();
  return cuda::make_device(ranks, options);
}

}  // namespace ganymede::testing
