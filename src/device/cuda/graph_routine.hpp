// A routine that a CUDA graph replays: run plainly the first time, recorded the second, launched from then on.
#pragma once

#include <functional>
#include <memory>

#include "device/cuda/runtime.hpp"
#include "ganymede/device.hpp"

namespace ganymede::cuda {

/// `recordable` is asked at the second run: false where something in the work needs the host (sums through MPI).
std::unique_ptr<Routine> make_graph_routine(cudaStream_t stream, std::function<void()> work,
                                            std::function<bool()> recordable);

}  // namespace ganymede::cuda
