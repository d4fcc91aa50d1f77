// Stream capture and graphs: nodes with their dependencies across streams, as CUDA records them; what capture
// forbids; launches, whose nodes run in any order that their edges allow.
#include "cuda_sim/graphs.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "cuda_sim/cuda_sim.hpp"
#include "cuda_sim/devices.hpp"
#include "cuda_sim/errors.hpp"

namespace cuda_sim {
namespace {

/// An instantiated graph. Its launches follow each other, so that a chain of its nodes is a lane.
struct Executable {
  unsigned number = 0;
  int device = 0;
  bool node_priorities = false;  ///< else a launch's stream has the priority of all
  struct Step {
    WorkPtr work;
    int priority = 0;
    std::vector<std::size_t> dependencies;
    long sequel_of = -1;
    unsigned lane = 0;
    bool leaf = true;
  };
  std::vector<Step> steps;
  std::vector<unsigned> lanes;
  OperationPtr last;
};

struct Graphs {
  std::map<std::uint64_t, std::unique_ptr<Capture>> captures;
  std::uint64_t captures_made = 0;
  std::map<cudaGraph_t, std::unique_ptr<Graph>> graphs;
  std::map<cudaGraphExec_t, std::unique_ptr<Executable>> executables;
  unsigned executables_made = 0;
};

Graphs& graphs() {
  static auto* const state = new Graphs;
  return *state;
}

Graph* find_graph(cudaGraph_t handle) {
  const auto found = graphs().graphs.find(handle);
  return found == graphs().graphs.end() ? nullptr : found->second.get();
}

const Node* find_node(cudaGraphNode_t handle) {
  const auto* const node = reinterpret_cast<const Node*>(handle);
  for (const auto& [key, graph] : graphs().graphs) {
    for (const auto& candidate : graph->nodes) {
      if (candidate.get() == node) return node;
    }
  }
  return nullptr;
}

void add_unique(std::vector<Node*>& to, const std::vector<Node*>& nodes) {
  for (Node* node : nodes) {
    if (std::find(to.begin(), to.end(), node) == to.end()) to.push_back(node);
  }
}

/// True when every stream that joined is joined back: what it captured last is followed by the origin's end.
bool joined(const Capture& capture) {
  std::set<const Node*> followed;
  std::vector<Node*> stack = capture.origin->captured;
  while (!stack.empty()) {
    Node* const node = stack.back();
    stack.pop_back();
    if (!followed.insert(node).second) continue;
    stack.insert(stack.end(), node->dependencies.begin(), node->dependencies.end());
  }
  return std::all_of(capture.streams.begin(), capture.streams.end(), [&](const Stream* stream) {
    return std::all_of(stream->captured.begin(), stream->captured.end(),
                       [&](const Node* node) { return followed.count(node) == 1; });
  });
}

/// Ends the capture; its graph, if it is to be kept.
std::unique_ptr<Graph> end(Capture& capture) {
  for (Stream* stream : capture.streams) {
    stream->capture = nullptr;
    stream->captured.clear();
  }
  auto graph = std::move(capture.graph);
  graphs().captures.erase(capture.id);
  return graph;
}

cudaError_t begin_capture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  Stream* const stream = find_stream(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (stream->number == 0) return cudaErrorStreamCaptureUnsupported;
  if (stream->capture != nullptr) return cudaErrorIllegalState;
  auto capture = std::make_unique<Capture>();
  capture->id = ++graphs().captures_made;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->origin = stream;
  capture->graph = std::make_unique<Graph>();
  join_capture(*stream, *capture, {});
  graphs().captures.emplace(capture->id, std::move(capture));
  return cudaSuccess;
}

cudaError_t end_capture(cudaStream_t handle, cudaGraph_t* to) {
  Stream* const stream = find_stream(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (to == nullptr) return cudaErrorInvalidValue;
  *to = nullptr;
  if (stream->capture == nullptr) return cudaErrorIllegalState;
  Capture& capture = *stream->capture;
  if (capture.origin != stream) {
    capture.valid = false;
    return cudaErrorStreamCaptureUnmatched;
  }
  if (capture.mode != cudaStreamCaptureModeRelaxed && capture.thread != std::this_thread::get_id()) {
    return cudaErrorStreamCaptureWrongThread;
  }
  const bool valid = capture.valid;
  const bool complete = joined(capture);
  auto graph = end(capture);
  if (!valid) return cudaErrorStreamCaptureInvalidated;
  if (!complete) return cudaErrorStreamCaptureUnjoined;
  *to = reinterpret_cast<cudaGraph_t>(graph.get());
  graphs().graphs.emplace(*to, std::move(graph));
  return cudaSuccess;
}

cudaError_t instantiate(cudaGraphExec_t* to, cudaGraph_t handle, unsigned long long flags) {
  const Graph* const graph = find_graph(handle);
  if (graph == nullptr || to == nullptr) return cudaErrorInvalidValue;
  if ((flags & ~static_cast<unsigned long long>(cudaGraphInstantiateFlagUseNodePriority)) != 0) {
    return cudaErrorNotSupported;
  }
  if (const cudaError_t code = use_device(); code != cudaSuccess) return code;
  auto fresh = std::make_unique<Executable>();
  fresh->number = ++graphs().executables_made;
  fresh->device = current_device();
  fresh->node_priorities = flags != 0;
  std::vector<bool> continued(graph->nodes.size(), false);
  for (const auto& node : graph->nodes) {
    Executable::Step step;
    step.work = node->work;
    step.priority = node->priority;
    bool has_lane = false;
    for (const Node* dependency : node->dependencies) {
      step.dependencies.push_back(dependency->index);
      fresh->steps[dependency->index].leaf = false;
      if (!has_lane && !continued[dependency->index]) {
        continued[dependency->index] = has_lane = true;
        step.lane = fresh->steps[dependency->index].lane;
      }
    }
    if (!has_lane) fresh->lanes.push_back(step.lane = lanes().take());
    if (node->sequel_of != nullptr) step.sequel_of = static_cast<long>(node->sequel_of->index);
    fresh->steps.push_back(std::move(step));
  }
  *to = reinterpret_cast<cudaGraphExec_t>(fresh.get());
  graphs().executables.emplace(*to, std::move(fresh));
  return cudaSuccess;
}

WorkPtr marker(std::string name) {
  auto work = std::make_shared<Work>();
  work->name = std::move(name);
  return work;
}

cudaError_t launch(cudaGraphExec_t handle, cudaStream_t stream_handle) {
  const auto found = graphs().executables.find(handle);
  Stream* const stream = find_stream(stream_handle);
  if (found == graphs().executables.end() || stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (stream->capture != nullptr) {
    stream->capture->valid = false;
    return cudaErrorNotSupported;  // a child graph, to CUDA; nothing here needs one
  }
  if (const cudaError_t code = legacy_stream_in_capture(*stream); code != cudaSuccess) return code;
  Executable& executable = *found->second;
  std::vector<OperationPtr> previous;
  if (executable.last != nullptr) previous.push_back(executable.last);
  const OperationPtr begin = enqueue(*stream, marker("graph launch"), previous);
  std::vector<OperationPtr> operations;
  std::vector<OperationPtr> leaves;
  operations.reserve(executable.steps.size());
  for (const auto& step : executable.steps) {
    std::vector<OperationPtr> before{begin};
    Clock clock = begin->clock;
    for (const std::size_t dependency : step.dependencies) {
      before.push_back(operations[dependency]);
      clock.join(operations[dependency]->clock);
    }
    if (step.sequel_of >= 0) before.push_back(operations[static_cast<std::size_t>(step.sequel_of)]);
    Stamp stamp;
    stamp.stream = stream->number;
    stamp.graph = executable.number;
    stamp.node = operations.size();
    stamp.lane = step.lane;
    const int priority = executable.node_priorities ? step.priority : stream->priority;
    operations.push_back(make_operation(step.work, std::move(stamp), clock, {stream->device, priority}, before));
    if (step.leaf) leaves.push_back(operations.back());
  }
  executable.last = enqueue(*stream, marker("end of a graph"), leaves);
  return cudaSuccess;
}

}  // namespace

cudaError_t capture_node(Stream& stream, WorkPtr work) {
  Capture& capture = *stream.capture;
  if (!capture.valid) return cudaErrorStreamCaptureInvalidated;
  auto node = std::make_unique<Node>();
  node->index = capture.graph->nodes.size();
  node->priority = stream.priority;
  node->dependencies = stream.captured;
  if (work->sequence != nullptr) {
    Node*& previous = capture.collectives[work->sequence.get()];
    node->sequel_of = previous;
    previous = node.get();
  }
  node->work = std::move(work);
  stream.captured = {node.get()};
  capture.graph->nodes.push_back(std::move(node));
  return cudaSuccess;
}

Capture* capture_of(const Event& event) {
  const auto found = graphs().captures.find(event.capture_id);
  return found == graphs().captures.end() ? nullptr : found->second.get();
}

cudaError_t legacy_stream_in_capture(const Stream& stream) {
  if (stream.number != 0) return cudaSuccess;
  for (const auto& [id, capture] : graphs().captures) {
    for (const Stream* captured : capture->streams) {
      if (!captured->blocking || captured->device != stream.device) continue;
      capture->valid = false;
      return cudaErrorStreamCaptureImplicit;
    }
  }
  return cudaSuccess;
}

cudaError_t unsafe_in_capture() {
  cudaError_t code = cudaSuccess;
  for (const auto& [id, capture] : graphs().captures) {
    const bool mine = capture->thread == std::this_thread::get_id();
    if (capture->mode == cudaStreamCaptureModeRelaxed) continue;
    if (capture->mode == cudaStreamCaptureModeThreadLocal && !mine) continue;
    capture->valid = false;
    code = cudaErrorStreamCaptureUnsupported;
  }
  return code;
}

cudaError_t forbidden_while_capturing(Stream& stream) {
  if (stream.capture == nullptr) return cudaSuccess;
  stream.capture->valid = false;
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t join_capture(Stream& stream, Capture& capture, const std::vector<Node*>& nodes) {
  if (!capture.valid) return cudaErrorStreamCaptureInvalidated;
  if (stream.capture != nullptr && stream.capture != &capture) {
    capture.valid = stream.capture->valid = false;
    return cudaErrorStreamCaptureMerge;
  }
  if (stream.number == 0) {
    capture.valid = false;
    return cudaErrorStreamCaptureImplicit;
  }
  if (stream.capture == nullptr) {
    stream.capture = &capture;
    capture.streams.push_back(&stream);
  }
  add_unique(stream.captured, nodes);
  return cudaSuccess;
}

void forget_stream_in_captures(Stream& stream) {
  if (stream.capture == nullptr) return;
  Capture& capture = *stream.capture;
  capture.valid = false;
  if (capture.origin == &stream) {
    end(capture);
    return;
  }
  std::erase(capture.streams, &stream);
}

void reset_graphs() { graphs() = Graphs{}; }

void describe_graph_leaks(std::vector<std::string>& to) {
  const auto tell = [&](std::size_t count, const char* what) {
    if (count > 0) to.push_back(std::to_string(count) + what);
  };
  tell(graphs().captures.size(), " stream capture(s) were not ended");
  tell(graphs().graphs.size(), " graph(s) were not destroyed");
  tell(graphs().executables.size(), " executable graph(s) were not destroyed");
}

std::vector<NodeInfo> nodes(cudaGraph_t handle) {
  const std::lock_guard lock(simulation_mutex());
  const Graph* const graph = find_graph(handle);
  if (graph == nullptr) fatal("[cuda_sim] nodes: not a graph");
  std::vector<NodeInfo> result;
  for (const auto& node : graph->nodes) {
    NodeInfo info{node->work->kind, node->work->name, {}};
    for (const Node* dependency : node->dependencies) info.dependencies.push_back(dependency->index);
    result.push_back(std::move(info));
  }
  return result;
}

}  // namespace cuda_sim

using namespace cuda_sim;  // NOLINT(google-build-using-namespace): the functions below are C

extern "C" {

cudaError_t CUDARTAPI cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(begin_capture(stream, mode));
}

cudaError_t CUDARTAPI cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(end_capture(stream, graph));
}

cudaError_t CUDARTAPI cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return cudaStreamGetCaptureInfo(handle, status, nullptr, nullptr, nullptr, nullptr, nullptr);
}

cudaError_t CUDARTAPI cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status,
                                               unsigned long long* id, cudaGraph_t* graph,
                                               const cudaGraphNode_t** dependencies, const cudaGraphEdgeData** edges,
                                               size_t* count) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  Stream* const stream = find_stream(handle);
  if (stream == nullptr) return call.result(cudaErrorInvalidResourceHandle);
  if (status == nullptr) return call.result(cudaErrorInvalidValue);
  if (graph != nullptr || dependencies != nullptr || edges != nullptr || count != nullptr) {
    return call.result(cudaErrorNotSupported);
  }
  if (const cudaError_t code = legacy_stream_in_capture(*stream); code != cudaSuccess) return call.result(code);
  *status = cudaStreamCaptureStatusNone;
  if (stream->capture == nullptr) return call.result(cudaSuccess);
  *status = stream->capture->valid ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusInvalidated;
  if (id != nullptr) *id = stream->capture->id;
  return call.result(cudaSuccess);
}

cudaError_t CUDARTAPI cudaGraphInstantiate(cudaGraphExec_t* to, cudaGraph_t graph, unsigned long long flags) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(instantiate(to, graph, flags));
}

cudaError_t CUDARTAPI cudaGraphInstantiateWithFlags(cudaGraphExec_t* to, cudaGraph_t graph, unsigned long long flags) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(instantiate(to, graph, flags));
}

cudaError_t CUDARTAPI cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(launch(executable, stream));
}

cudaError_t CUDARTAPI cudaGraphExecDestroy(cudaGraphExec_t handle) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  const auto found = graphs().executables.find(handle);
  if (found == graphs().executables.end()) return call.result(cudaErrorInvalidValue);
  for (const unsigned lane : found->second->lanes) {
    if (host_clock().at(lane) == lanes().last(lane)) lanes().release(lane);
  }
  graphs().executables.erase(found);
  return call.result(cudaSuccess);
}

cudaError_t CUDARTAPI cudaGraphDestroy(cudaGraph_t graph) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  return call.result(graphs().graphs.erase(graph) == 1 ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t CUDARTAPI cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t* nodes, size_t* count) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  const Graph* const graph = find_graph(handle);
  if (graph == nullptr || count == nullptr) return call.result(cudaErrorInvalidValue);
  const std::size_t all = graph->nodes.size();
  if (nodes != nullptr) {
    for (std::size_t i = 0; i < *count; ++i) {
      nodes[i] = i < all ? reinterpret_cast<cudaGraphNode_t>(graph->nodes[i].get()) : nullptr;
    }
    *count = std::min(*count, all);
  } else {
    *count = all;
  }
  return call.result(cudaSuccess);
}

cudaError_t CUDARTAPI cudaGraphNodeGetType(cudaGraphNode_t handle, cudaGraphNodeType* type) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  const Node* const node = find_node(handle);
  if (node == nullptr || type == nullptr) return call.result(cudaErrorInvalidValue);
  *type = node->work->kind;
  return call.result(cudaSuccess);
}

}  // extern "C"
