// Real GPUs, through the module as the program opens it: see gpu.hpp.
#include "cuda_backend/gpu.hpp"

namespace ganymede::testing {

void prepare_gpus(int /*gpus*/, std::uint64_t /*seed*/) {}

std::unique_ptr<Device> make_gpu(Communicator& ranks, const CudaOptions& options) {
  return cuda_device_factory()(ranks, options);
}

NoWaitingCopies::NoWaitingCopies() = default;
NoWaitingCopies::~NoWaitingCopies() = default;

std::vector<std::string> gpu_leaks() { return {}; }

bool simulated_gpus() { return false; }

bool gpu_for_each(Communicator& ranks) {
  std::int64_t enough = probe_cuda().devices() >= ranks.node_size() ? 1 : 0;
  ranks.all_min(std::span(&enough, 1));
  return enough == 1;
}

}  // namespace ganymede::testing
