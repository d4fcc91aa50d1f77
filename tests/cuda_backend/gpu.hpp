// The GPU that a test runs on. The same tests are built twice: with simulated.cpp, where the GPU is simulated
// (tests/cuda_sim) and Ganymede's kernels run on the CPU (tests/cuda_emulation), in every run of the suite; and with
// real.cpp, where the module is opened and the GPU is there, by launch/gpu-check.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "device/cuda_module.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/error.hpp"

namespace ganymede::testing {

/// Before a test: `gpus` GPUs on this host, where that can be chosen, and a seed for what is free to happen in any
/// order.
void prepare_gpus(int gpus, std::uint64_t seed);

/// This rank's GPU. Collective.
std::unique_ptr<Device> make_gpu(Communicator& ranks, const CudaOptions& options = {});

/// Whether the error is that this GPU, an older one, has not the tensor cores that a precision takes: the one reason
/// to pass over tests of it.
inline bool lacks_tensor_cores(const Error& error) {
  return std::string_view(error.what()).find("compute capability 8.0") != std::string_view::npos;
}

/// While it lives, copies that make the host wait, or may, end the process where GPUs are simulated: to and from
/// pageable memory.
class NoWaitingCopies {
 public:
  NoWaitingCopies();
  NoWaitingCopies(const NoWaitingCopies&) = delete;
  NoWaitingCopies& operator=(const NoWaitingCopies&) = delete;
  ~NoWaitingCopies();
};

/// What was not released, where that can be known.
std::vector<std::string> gpu_leaks();

/// Whether there is none: sums are then made in the order of plain loops.
bool simulated_gpus();

/// Whether the ranks have a GPU each, so that NCCL can join them.
bool gpu_for_each(Communicator& ranks);

}  // namespace ganymede::testing
