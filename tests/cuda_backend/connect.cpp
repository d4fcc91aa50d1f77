// See connect.hpp.
#include "cuda_backend/connect.hpp"

#include "cuda_emulation/emulation.hpp"
#include "cuda_sim/cuda_sim.hpp"

namespace ganymede::testing {

void connect_kernels() {
  emulation::set_submit([](cudaStream_t stream, const char* kernel, std::function<void()> run) {
    cuda_sim::submit(stream, kernel, std::move(run));
  });
  emulation::set_clock(cuda_sim::device_clock);
  // What each kernel touches, for the search for races between streams.
  emulation::set_access_hook([](const char*, const std::vector<emulation::AccessRange>& ranges) {
    for (const emulation::AccessRange& range : ranges) {
      if (range.read) cuda_sim::note_access(range.begin, range.bytes, false);
      if (range.written) cuda_sim::note_access(range.begin, range.bytes, true);
    }
  });
}

}  // namespace ganymede::testing
