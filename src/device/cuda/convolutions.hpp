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
  explicit Convolutions(cudaStream_t stream) : cudnn_(stream) {}

  /// Null where cuDNN has no engine for it that may be taken. Plans stay where they are.
  const Cudnn::Plan* plan(const ConvolutionTask& task);
  /// Enqueues a plan() on the stream; the pass's own array is written.
  void run(const Cudnn::Plan& plan, const void* fine, const void* weights, const void* coarse);

 private:
  Cudnn cudnn_;
  std::map<ConvolutionTask, Cudnn::Plan> plans_;
  // The last is large enough for every plan: they follow each other on one stream. Those before it are in recorded
  // graphs.
  std::vector<std::unique_ptr<Memory>> workspaces_;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace ganymede::cuda
