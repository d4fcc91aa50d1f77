// A rank's own time in a step on a GPU: all but that in which its work stands still until a sum over ranks is there.
#pragma once

#include "device/cuda/kernels.hpp"
#include "device/cuda/runtime.hpp"

namespace ganymede::cuda {

/// A stopwatch in the GPU's memory, which kernels of one warp stop and start: it takes nothing of the host, adds up
/// over as many sums as a step has, and a graph can hold it. (Timed events it would have to read between two replays of
/// a graph, which record them anew, so wait for each step.) They have a stream of their own, so that the step's work
/// waits for none of them but in join().
class StepTimer {
 public:
  StepTimer();

  /// It begins anew where `compute` has come to.
  void begin(cudaStream_t compute);
  /// It stands still from where `compute` has come to,
  void stop(cudaStream_t compute);
  /// and goes on once what stream() was given to wait for has happened.
  void go_on();
  [[nodiscard]] cudaStream_t stream() const { return stream_.get(); }
  /// What `compute` is given from now on finds the timer as it is then.
  void join(cudaStream_t compute);
  [[nodiscard]] Timer* timer() const { return memory_.as<Timer>(); }

 private:
  Stream stream_;
  Memory memory_;
  Event reached_;
  Event joined_;
  bool apart_ = false;  // since join()
};

}  // namespace ganymede::cuda
