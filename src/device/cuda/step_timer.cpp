// See step_timer.hpp.
#include "device/cuda/step_timer.hpp"

namespace ganymede::cuda {

// Urgent: a time is taken where it is due, not behind kernels that fill the GPU.
StepTimer::StepTimer() : stream_(true), memory_(sizeof(Timer)) {
  check(cudaMemsetAsync(timer(), 0, sizeof(Timer), stream()), "clear memory");
  apart_ = true;
}

void StepTimer::begin(cudaStream_t compute) {
  reached_.record(compute);
  reached_.hold_back(stream());
  start_timer(stream(), timer(), true);
  apart_ = true;
  join(compute);
}

void StepTimer::stop(cudaStream_t compute) {
  reached_.record(compute);
  reached_.hold_back(stream());
  stop_timer(stream(), timer());
  apart_ = true;
}

void StepTimer::go_on() {
  start_timer(stream(), timer(), false);
  apart_ = true;
}

void StepTimer::join(cudaStream_t compute) {
  if (!apart_) return;
  joined_.record(stream());
  joined_.hold_back(compute);
  apart_ = false;
}

}  // namespace ganymede::cuda
