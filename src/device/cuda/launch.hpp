// How a kernel is launched, and the few words that nvcc and a host compiler spell differently. By nvcc a launch
// is a launch; a host compiler, which the tests use where there is no GPU, gets the emulation of
// tests/cuda_emulation. Included by kernels/*.cu alone.
#pragma once

#if defined(__CUDACC__)

#include <cuda_runtime_api.h>

#include <cstdint>

/// `__shared__ T name dimensions`, aligned for vector loads: GANYMEDE_SHARED(float, tile, [16][20]).
#define GANYMEDE_SHARED(T, name, dimensions) __shared__ __align__(16) T name dimensions
#define GANYMEDE_UNROLL _Pragma("unroll")

namespace ganymede::cuda {

/// Enqueues Kernel; `name` is what errors call it.
template <auto Kernel, class... Arguments>
void launch(const char* /*name*/, unsigned blocks, unsigned threads, cudaStream_t stream, Arguments... arguments) {
  Kernel<<<blocks, threads, 0, stream>>>(arguments...);
}

/// The GPU's clock, one for all its multiprocessors. How finely it ticks is the GPU's affair: a microsecond, on some.
__device__ __forceinline__ std::uint64_t nanoseconds() {
  std::uint64_t now = 0;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now) : : "memory");
  return now;
}

}  // namespace ganymede::cuda

#else

#include "cuda_emulation/words.hpp"

#if defined(__clang__)
#define GANYMEDE_UNROLL _Pragma("unroll")
#else
#define GANYMEDE_UNROLL _Pragma("GCC unroll 64")
#endif

namespace ganymede::cuda {

template <auto Kernel, class... Arguments>
void launch(const char* name, unsigned blocks, unsigned threads, cudaStream_t stream, Arguments... arguments) {
  emulation::launch_with<Kernel>(Kernel, name, dim3(blocks), dim3(threads), stream, arguments...);
}

using emulation::nanoseconds;

}  // namespace ganymede::cuda

#endif
