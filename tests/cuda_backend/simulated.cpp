// Simulated GPUs: see gpu.hpp.
#include "cuda_backend/connect.hpp"
#include "cuda_backend/gpu.hpp"
#include "cuda_sim/cuda_sim.hpp"
#include "device/cuda/cuda_device.hpp"

namespace ganymede::testing {
void prepare_gpus(int gpus, std::uint64_t seed) {
  cuda_sim::reset();
  cuda_sim::set_devices(std::vector<cuda_sim::DeviceSpec>(static_cast<std::size_t>(gpus)));
  cuda_sim::set_seed(seed);
}

std::unique_ptr<Device> make_gpu(Communicator& ranks, const CudaOptions& options) {
  static const bool connected = (connect_kernels(), true);
  static_cast<void>(connected);
  return cuda::make_device(ranks, options);
}

NoWaitingCopies::NoWaitingCopies() { cuda_sim::forbid_waiting_copies(true); }
NoWaitingCopies::~NoWaitingCopies() { cuda_sim::forbid_waiting_copies(false); }

std::vector<std::string> gpu_leaks() { return cuda_sim::leaks(); }

bool simulated_gpus() { return true; }

bool gpu_for_each(Communicator& /*ranks*/) { return true; }

}  // namespace ganymede::testing
