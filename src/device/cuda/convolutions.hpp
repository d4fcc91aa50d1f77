// A device's convolutions by cuDNN: plans, made at the first of a shape and kept, and their workspace.
#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <vector>

#include "device/cuda/cudnn.hpp"
#include "device/cuda/runtime.hpp"

namespace ganymede::cuda {

class Convolutions {
 public:
  Convolutions(ConvolutionPrecision precision, cudaStream_t stream) : cudnn_(precision, stream) {}

  /// Enqueues it on the stream; the pass's own array is written. (The task's alignment is that of the arrays, whatever
  /// it says.) False where cuDNN has no engine for it that may be taken.
  bool run(ConvolutionTask task, const float* fine, const float* weights, const float* coarse);

 private:
  Cudnn cudnn_;
  std::map<ConvolutionTask, Cudnn::Plan> plans_;
  // The last is large enough for every plan: they follow each other on one stream. Those before it are in recorded
  // graphs.
  std::vector<std::unique_ptr<Memory>> workspaces_;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace ganymede::cuda
