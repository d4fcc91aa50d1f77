// See convolutions.hpp.
#include "device/cuda/convolutions.hpp"

#include <utility>

namespace ganymede::cuda {

const Cudnn::Plan* Convolutions::plan(const ConvolutionTask& task) {
  auto found = plans_.find(task);
  if (found == plans_.end()) {
    Cudnn::Plan made = cudnn_.plan(task);
    if (made.workspace > workspace_bytes_) {
      workspaces_.push_back(std::make_unique<Memory>(made.workspace));
      workspace_bytes_ = made.workspace;
    }
    found = plans_.emplace(task, std::move(made)).first;
  }
  return found->second.engine == nullptr ? nullptr : &found->second;
}

void Convolutions::run(const Cudnn::Plan& plan, const void* fine, const void* weights, const void* coarse) {
  cudnn_.run(plan, fine, weights, coarse, workspaces_.empty() ? nullptr : workspaces_.back()->as<void>());
}

}  // namespace ganymede::cuda
