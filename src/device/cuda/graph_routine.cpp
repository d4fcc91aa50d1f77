// See graph_routine.hpp.
#include "device/cuda/graph_routine.hpp"

#include <nvtx3/nvToolsExt.h>

#include <utility>

namespace ganymede::cuda {
namespace {

class GraphRoutine final : public Routine {
 public:
  GraphRoutine(cudaStream_t stream, std::function<void()> work, std::function<bool()> recordable)
      : stream_(stream), work_(std::move(work)), recordable_(std::move(recordable)) {}
  GraphRoutine(const GraphRoutine&) = delete;
  GraphRoutine& operator=(const GraphRoutine&) = delete;
  ~GraphRoutine() override {
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
  }

  void run() override {
    if (executable_ == nullptr && runs_ > 0 && recordable_()) record();
    ++runs_;
    if (executable_ == nullptr) {
      // The first time everything that happens once happens: plans, connections, lazily loaded kernels.
      work_();
    } else {
      nvtxRangePushA("step");  // the phases' own are told of where they are recorded, and not here
      const cudaError_t launched = cudaGraphLaunch(executable_, stream_);
      nvtxRangePop();
      check(launched, "launch the step's graph");
    }
  }

  int recorded() const override { return nodes_; }

 private:
  void record() {
    // Thread-local: other threads (NCCL's, a watchdog's) may go on calling CUDA meanwhile.
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "begin to record the step");
    cudaGraph_t graph = nullptr;
    try {
      work_();
    } catch (...) {
      cudaStreamEndCapture(stream_, &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      cudaGetLastError();
      throw;
    }
    check(cudaStreamEndCapture(stream_, &graph), "record the step");
    std::size_t nodes = 0;
    if (cudaGraphGetNodes(graph, nullptr, &nodes) == cudaSuccess) nodes_ = static_cast<int>(nodes);
    // Sums and timers keep the urgency of their streams: by default all nodes have that of the stream of the launch.
    const cudaError_t made = cudaGraphInstantiate(&executable_, graph, cudaGraphInstantiateFlagUseNodePriority);
    cudaGraphDestroy(graph);
    check(made, "make the step's graph");
  }

  cudaStream_t stream_;
  std::function<void()> work_;
  std::function<bool()> recordable_;
  long runs_ = 0;
  cudaGraphExec_t executable_ = nullptr;
  int nodes_ = 0;
};

}  // namespace

std::unique_ptr<Routine> make_graph_routine(cudaStream_t stream, std::function<void()> work,
                                            std::function<bool()> recordable) {
  return std::make_unique<GraphRoutine>(stream, std::move(work), std::move(recordable));
}

}  // namespace ganymede::cuda
