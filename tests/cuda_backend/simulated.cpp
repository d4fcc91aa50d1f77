// Simulated GPUs: see gpu.hpp.
#include "cuda_backend/gpu.hpp"
#include "cuda_emulation/emulation.hpp"
#include "cuda_sim/cuda_sim.hpp"
#include "device/cuda/cuda_device.hpp"

namespace ganymede::testing {
namespace {

// Connects the emulated kernels with the simulated runtime, once for the whole process.
void connect() {
  static const bool connected = [] {
    emulation::set_submit([](cudaStream_t stream, const char* kernel, std::function<void()> run) {
      cuda_sim::submit(stream, kernel, std::move(run));
    });
    // What each kernel touches, for the search for races between streams.
    emulation::set_access_hook([](const char*, const std::vector<emulation::AccessRange>& ranges) {
      for (const emulation::AccessRange& range : ranges) {
        if (range.read) cuda_sim::note_access(range.begin, range.bytes, false);
        if (range.written) cuda_sim::note_access(range.begin, range.bytes, true);
      }
    });
    return true;
  }();
  static_cast<void>(connected);
}

}  // namespace

void prepare_gpus(int gpus, std::uint64_t seed) {
  cuda_sim::reset();
  cuda_sim::set_devices(std::vector<cuda_sim::DeviceSpec>(static_cast<std::size_t>(gpus)));
  cuda_sim::set_seed(seed);
}

std::unique_ptr<Device> make_gpu(Communicator& ranks, const CudaOptions& options) {
  connect();
  return cuda::make_device(ranks, options);
}

std::vector<std::string> gpu_leaks() { return cuda_sim::leaks(); }

bool gpu_for_each(Communicator& /*ranks*/) { return true; }

}  // namespace ganymede::testing
