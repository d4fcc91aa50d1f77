// Stream capture, and the graphs that it makes.
#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cuda_sim/scheduler.hpp"

namespace cuda_sim {

struct Node {
  WorkPtr work;
  std::size_t index = 0;
  int priority = 0;  ///< its stream's
  std::vector<Node*> dependencies;
  Node* sequel_of =
      nullptr;  ///< the collective before on the same communicator: runs first, but promises no memory order
};

struct Graph {
  std::vector<std::unique_ptr<Node>> nodes;
};

/// One capture sequence: the stream that began it and those that joined through events.
struct Capture {
  std::uint64_t id = 0;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  Stream* origin = nullptr;
  std::vector<Stream*> streams;
  std::unique_ptr<Graph> graph;
  std::map<const Sequence*, Node*> collectives;
  bool valid = true;
};

/// Adds a node behind what the stream last captured.
cudaError_t capture_node(Stream& stream, WorkPtr work);
/// An event's capture, while it lasts; else null.
Capture* capture_of(const Event& event);
/// cudaErrorStreamCaptureImplicit when `stream` is the legacy one and a blocking stream is capturing.
cudaError_t legacy_stream_in_capture(const Stream& stream);
/// What functions do that a capture may forbid (those that synchronise, allocate, free): fails, and invalidates
/// the capture, when a global one is under way or a thread-local one of this thread.
cudaError_t unsafe_in_capture();
/// What functions do that no capturing stream permits: invalidates its capture.
cudaError_t forbidden_while_capturing(Stream& stream);
/// Makes `stream` part of a capture, behind `nodes`.
cudaError_t join_capture(Stream& stream, Capture& capture, const std::vector<Node*>& nodes);
void forget_stream_in_captures(Stream& stream);

void reset_graphs();
void describe_graph_leaks(std::vector<std::string>& to);

}  // namespace cuda_sim
