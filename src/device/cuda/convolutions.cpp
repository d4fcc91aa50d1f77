// See convolutions.hpp.
#include "device/cuda/convolutions.hpp"

#include <utility>

namespace ganymede::cuda {

bool Convolutions::run(ConvolutionTask task, const float* fine, const float* weights, const float* coarse) {
  task.alignment = alignment_of(fine, weights, coarse);
  auto found = plans_.find(task);
  if (found == plans_.end()) {
    Cudnn::Plan made = cudnn_.plan(task);
    if (made.workspace > workspace_bytes_) {
      workspaces_.push_back(std::make_unique<Memory>(made.workspace));
      workspace_bytes_ = made.workspace;
    }
    found = plans_.emplace(task, std::move(made)).first;
  }
  const Cudnn::Plan& plan = found->second;
  if (plan.engine == nullptr) return false;
  cudnn_.run(plan, fine, weights, coarse, workspaces_.empty() ? nullptr : workspaces_.back()->as<void>());
  return true;
}

}  // namespace ganymede::cuda
