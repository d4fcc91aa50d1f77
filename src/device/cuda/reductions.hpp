// Sums over ranks of arrays in GPU memory: one rank's alone, through NCCL, or through host memory and MPI.
#pragma once

#include <cstdint>
#include <memory>

#include "comm/nccl/nccl_group.hpp"
#include "device/cuda/runtime.hpp"
#include "device/cuda/step_timer.hpp"
#include "ganymede/communicator.hpp"

namespace ganymede::cuda {

/// Nothing to add: the sum is the part.
template <class T>
std::unique_ptr<Reduction<T>> make_alone_reduction(cudaStream_t stream, std::size_t count);

/// By NCCL on the stream `urgent`, between an event that the compute stream records at start() and one that it waits
/// for at finish(), while the timer stands still. Nothing waits on the host, so a graph can hold it.
template <class T>
std::unique_ptr<Reduction<T>> make_nccl_reduction(comm::NcclGroup& group, StepTimer& timer, cudaStream_t compute,
                                                  cudaStream_t urgent, std::size_t count);

/// By way of the host, whose ranks add up: several ranks may share a GPU. The host waits in finish(), for the others
/// while the timer stands still.
template <class T>
std::unique_ptr<Reduction<T>> make_staged_reduction(Communicator& ranks, StepTimer& timer, cudaStream_t compute,
                                                    std::size_t count);

}  // namespace ganymede::cuda
