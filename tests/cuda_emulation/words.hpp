// CUDA's own words for the host compiler: what a kernel's source says, in terms of the emulation. Included by
// src/device/cuda/launch.hpp alone.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ganymede::emulation {

// --- for launch.hpp ------------------------------------------------------------------------------------------

struct Launch {
  const char* kernel;
  dim3 grid, block;
  void (*call)(const void* arguments);  ///< what one thread does
  std::shared_ptr<const void> arguments;
  std::size_t argument_bytes;
};
void submit(cudaStream_t stream, Launch launch);

template <auto Kernel, class... Parameters, class... Arguments>
void launch_with(void (*)(Parameters...), const char* name, dim3 grid, dim3 block, cudaStream_t stream,
                 Arguments&&... arguments) {
  using Tuple = std::tuple<std::remove_cv_t<Parameters>...>;
  submit(stream, {name, grid, block,
                  [](const void* pack) {
                    std::apply([](const auto&... argument) { Kernel(argument...); }, *static_cast<const Tuple*>(pack));
                  },
                  std::make_shared<const Tuple>(std::forward<Arguments>(arguments)...), sizeof(Tuple)});
}

// --- for kernels: each is called on a thread's fiber -----------------------------------------------------------

uint3 thread_index();
uint3 block_index();
dim3 block_size();
dim3 grid_size();
void block_barrier(int line);
/// Waits for the warp; `orders` memory as __syncwarp does, which a shuffle need not.
void warp_barrier(int line, unsigned mask, bool orders);
/// Gives `value` to the warp; returns that of lane `from` once all lanes have given theirs.
std::uint64_t exchange(int line, unsigned mask, std::uint64_t value, unsigned from);
unsigned ballot(int line, unsigned mask, bool predicate);
unsigned lane();
void fence();
/// The clock of the GPU that is not there: see set_clock().
std::uint64_t nanoseconds();
/// The block's memory for the variable that `tag` stands for.
void* shared_memory(const void* tag, std::size_t bytes);
unsigned fetch_add(unsigned* at, unsigned value);
unsigned long long fetch_add(unsigned long long* at, unsigned long long value);

template <class T>
T shuffle(int line, unsigned mask, T value, unsigned from) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(line, mask, bits, from);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace ganymede::emulation

// NOLINTBEGIN(bugprone-reserved-identifier, readability-identifier-naming)
#undef __global__
#undef __device__
#undef __host__
#undef __launch_bounds__
#undef __grid_constant__
#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __grid_constant__

#define threadIdx (::ganymede::emulation::thread_index())
#define blockIdx (::ganymede::emulation::block_index())
#define blockDim (::ganymede::emulation::block_size())
#define gridDim (::ganymede::emulation::grid_size())

inline void __syncthreads(int line = __builtin_LINE()) { ganymede::emulation::block_barrier(line); }
inline void __syncwarp(unsigned mask = ~0U, int line = __builtin_LINE()) {
  ganymede::emulation::warp_barrier(line, mask, true);
}
template <class T>
T __shfl_sync(unsigned mask, T value, unsigned from, int line = __builtin_LINE()) {
  return ganymede::emulation::shuffle(line, mask, value, from % 32U);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, unsigned with, int line = __builtin_LINE()) {
  return ganymede::emulation::shuffle(line, mask, value, ganymede::emulation::lane() ^ with);
}
inline unsigned __ballot_sync(unsigned mask, bool predicate, int line = __builtin_LINE()) {
  return ganymede::emulation::ballot(line, mask, predicate);
}
inline void __threadfence() { ganymede::emulation::fence(); }
inline void __threadfence_system() { ganymede::emulation::fence(); }
inline unsigned atomicAdd(unsigned* at, unsigned value) { return ganymede::emulation::fetch_add(at, value); }
inline unsigned long long atomicAdd(unsigned long long* at, unsigned long long value) {
  return ganymede::emulation::fetch_add(at, value);
}
// NOLINTEND(bugprone-reserved-identifier, readability-identifier-naming)

// NOLINTBEGIN(bugprone-macro-parentheses): a name and a type.
/// `__shared__ T name dimensions`: GANYMEDE_SHARED(float, tile, [16][20]).
#define GANYMEDE_SHARED(T, name, dimensions) \
  using name##_type = T dimensions;          \
  static const char name##_tag = 0;          \
  auto& name = *static_cast<name##_type*>(::ganymede::emulation::shared_memory(&name##_tag, sizeof(name##_type)))
// NOLINTEND(bugprone-macro-parentheses)
