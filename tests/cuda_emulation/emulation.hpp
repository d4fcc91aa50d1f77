// CUDA kernels on the CPU: what src/device/cuda/launch.hpp gives the host compiler in place of nvcc's
// extensions, so that the kernels' own source can be run, and examined, by tests where there is no GPU.
//
// Every thread of a block is a fiber; a launch runs block after block, in one host thread, in an order drawn from
// a seed, and the threads of a block in such an order between any two barriers. Shared memory is filled with NaN
// bytes before each block. A launch throws Error, with the kernel's name, for
//   - a barrier that not all threads of its block (warp) reach, or reach at different places,
//   - two threads that touch the same bytes, one of them writing, with nothing that orders them (race_check.hpp;
//     where the kernels are built with the instrumentation: see instrumented()).
// What is not emulated: dynamic shared memory, warp functions with other than full masks, textures, and whatever
// the hardware may reorder beyond the order of threads.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace ganymede::emulation {

// --- for tests and the simulated runtime -------------------------------------------------------------------

/// A kernel did what is an error on any GPU.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Is given every launch; `run` runs it (once, in this or another thread, and may throw Error). By default a
/// launch runs at once.
using Submit = std::function<void(cudaStream_t stream, const char* kernel, std::function<void()> run)>;
void set_submit(Submit submit);

/// Bytes of memory that a launch touched: all of them were read if `read`, all were written if `written`. Neither
/// shared memory nor the kernel's own variables are told of.
struct AccessRange {
  const std::byte* begin;
  std::size_t bytes;
  bool read, written;
};
/// Is called after each launch with what it touched, in order of address; never, unless instrumented().
using AccessHook = std::function<void(const char* kernel, const std::vector<AccessRange>& ranges)>;
void set_access_hook(AccessHook hook);

/// What kernels read as the GPU's clock, in nanoseconds; by default the host's steady clock.
void set_clock(std::function<std::uint64_t()> clock);

/// Whether the kernels were built so that their loads and stores are seen: not under a sanitizer, which sees them
/// its own way.
bool instrumented();

/// Where the order of blocks and threads comes from.
void set_seed(std::uint64_t seed);

}  // namespace ganymede::emulation
