// The runtime functions on streams and events, and synchronisation.
#include <algorithm>
#include <map>
#include <memory>

#include "cuda_sim/devices.hpp"
#include "cuda_sim/errors.hpp"
#include "cuda_sim/graphs.hpp"
#include "cuda_sim/memory.hpp"
#include "cuda_sim/scheduler.hpp"

namespace cuda_sim {
namespace {

struct Handles {
  std::map<cudaStream_t, std::unique_ptr<Stream>> streams;
  std::map<int, std::unique_ptr<Stream>> legacy;  ///< by device
  std::map<cudaEvent_t, std::unique_ptr<Event>> events;
  unsigned streams_made = 0;
};

Handles& handles() {
  static auto* const state = new Handles;
  return *state;
}

Stream& legacy_stream(int device) {
  auto& stream = handles().legacy[device];
  if (stream == nullptr) {
    stream = std::make_unique<Stream>();
    stream->device = device;
    stream->lane = lanes().take();
  }
  return *stream;
}

/// All that a synchronisation with the stream waits for.
std::vector<OperationPtr> tail_of(const Stream& stream) {
  std::vector<OperationPtr> result = stream.waits;
  result.push_back(stream.last);
  if (stream.number != 0) return result;
  for (const Stream* other : streams()) {
    if (other->blocking && other->device == stream.device) result.push_back(other->last);
  }
  return result;
}

bool all_done(const std::vector<OperationPtr>& operations) {
  return std::all_of(operations.begin(), operations.end(),
                     [](const OperationPtr& operation) { return operation == nullptr || operation->done; });
}

/// A query's answer; the host has then seen what is done.
cudaError_t answer(const std::vector<OperationPtr>& operations) {
  run_some();
  if (!all_done(operations)) return cudaErrorNotReady;
  for (const OperationPtr& operation : operations) {
    if (operation != nullptr) host_clock().join(operation->clock);
  }
  return cudaSuccess;
}

cudaError_t make_stream(cudaStream_t* handle, unsigned flags, int priority) {
  if (handle == nullptr || (flags & ~static_cast<unsigned>(cudaStreamNonBlocking)) != 0) return cudaErrorInvalidValue;
  if (const cudaError_t code = use_device(); code != cudaSuccess) return code;
  auto stream = std::make_unique<Stream>();
  stream->number = ++handles().streams_made;
  stream->device = current_device();
  stream->blocking = (flags & cudaStreamNonBlocking) == 0;
  stream->priority = std::clamp(priority, -5, 0);
  stream->lane = lanes().take();
  *handle = reinterpret_cast<cudaStream_t>(stream.get());
  handles().streams.emplace(*handle, std::move(stream));
  return cudaSuccess;
}

cudaError_t record(cudaEvent_t handle, cudaStream_t stream_handle, unsigned flags) {
  Event* const event = find_event(handle);
  Stream* const stream = find_stream(stream_handle);
  if (event == nullptr || stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (flags != cudaEventRecordDefault) return cudaErrorNotSupported;
  if (stream->capture != nullptr) {
    if (!stream->capture->valid) return cudaErrorStreamCaptureInvalidated;
    event->operation = nullptr;
    event->capture = stream->capture;
    event->capture_id = stream->capture->id;
    event->captured = stream->captured;
    return cudaSuccess;
  }
  if (const cudaError_t code = legacy_stream_in_capture(*stream); code != cudaSuccess) return code;
  auto work = std::make_shared<Work>();
  work->name = "event record";
  event->capture = nullptr;
  event->captured.clear();
  event->operation = enqueue(*stream, std::move(work));
  return cudaSuccess;
}

cudaError_t wait(cudaStream_t stream_handle, cudaEvent_t handle, unsigned flags) {
  Event* const event = find_event(handle);
  Stream* const stream = find_stream(stream_handle);
  if (event == nullptr || stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (flags != cudaEventWaitDefault) return cudaErrorNotSupported;
  if (event->capture != nullptr) {
    Capture* const capture = capture_of(*event);
    if (capture == nullptr) return cudaErrorCapturedEvent;  // its capture has ended
    return join_capture(*stream, *capture, event->captured);
  }
  if (stream->capture != nullptr) {
    // An event that was never recorded is nothing to wait for; any other is work outside the capture.
    if (event->operation == nullptr) return cudaSuccess;
    stream->capture->valid = false;
    return cudaErrorStreamCaptureIsolation;
  }
  if (event->operation == nullptr) return cudaSuccess;
  stream->waits.push_back(event->operation);
  stream->clock.join(event->operation->clock);
  return cudaSuccess;
}

cudaError_t synchronize_device() {
  if (const cudaError_t code = use_device(); code != cudaSuccess) return code;
  if (const cudaError_t code = unsafe_in_capture(); code != cudaSuccess) return code;
  std::vector<OperationPtr> all;
  for (const Stream* stream : streams()) {
    if (stream->device != current_device()) continue;
    if (stream->capture != nullptr) return cudaErrorStreamCaptureUnsupported;
    const auto tail = tail_of(*stream);
    all.insert(all.end(), tail.begin(), tail.end());
  }
  run_until(all);
  return cudaSuccess;
}

}  // namespace

Stream* find_stream(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) {
    return use_device() == cudaSuccess ? &legacy_stream(current_device()) : nullptr;
  }
  const auto found = handles().streams.find(handle);
  return found == handles().streams.end() ? nullptr : found->second.get();
}

Event* find_event(cudaEvent_t handle) {
  const auto found = handles().events.find(handle);
  return found == handles().events.end() ? nullptr : found->second.get();
}

std::vector<Stream*> streams() {
  std::vector<Stream*> result;
  for (const auto& [device, stream] : handles().legacy) result.push_back(stream.get());
  for (const auto& [handle, stream] : handles().streams) result.push_back(stream.get());
  return result;
}

void reset_streams() {
  Handles& state = handles();
  state = Handles{};
}

void describe_stream_leaks(std::vector<std::string>& to) {
  for (const auto& [handle, stream] : handles().streams) {
    to.push_back("stream " + std::to_string(stream->number) + " was not destroyed");
  }
  if (const std::size_t count = handles().events.size(); count > 0) {
    to.push_back(std::to_string(count) + " event(s) were not destroyed");
  }
}

}  // namespace cuda_sim

using namespace cuda_sim;  // NOLINT(google-build-using-namespace): the functions below are C

extern "C" {

cudaError_t CUDARTAPI cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(make_stream(stream, flags, priority));
}

cudaError_t CUDARTAPI cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(make_stream(stream, flags, 0));
}

cudaError_t CUDARTAPI cudaStreamCreate(cudaStream_t* stream) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(make_stream(stream, cudaStreamDefault, 0));
}

cudaError_t CUDARTAPI cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  if (least != nullptr) *least = 0;
  if (greatest != nullptr) *greatest = -5;
  return call.result(use_device());
}

cudaError_t CUDARTAPI cudaStreamDestroy(cudaStream_t handle) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  Stream* const stream = handle == nullptr ? nullptr : find_stream(handle);
  if (stream == nullptr || stream->number == 0) return call.result(cudaErrorInvalidResourceHandle);
  forget_stream_in_captures(*stream);
  // A lane that the host has seen to its end may serve another stream; its work may go on otherwise.
  if (host_clock().at(stream->lane) == lanes().last(stream->lane)) lanes().release(stream->lane);
  handles().streams.erase(handle);
  return call.result(cudaSuccess);
}

cudaError_t CUDARTAPI cudaStreamSynchronize(cudaStream_t handle) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  Stream* const stream = find_stream(handle);
  if (stream == nullptr) return call.result(cudaErrorInvalidResourceHandle);
  if (const cudaError_t code = forbidden_while_capturing(*stream); code != cudaSuccess) return call.result(code);
  if (const cudaError_t code = legacy_stream_in_capture(*stream); code != cudaSuccess) return call.result(code);
  if (const cudaError_t code = unsafe_in_capture(); code != cudaSuccess) return call.result(code);
  run_until(tail_of(*stream));
  return call.result(cudaSuccess);
}

cudaError_t CUDARTAPI cudaStreamQuery(cudaStream_t handle) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  Stream* const stream = find_stream(handle);
  if (stream == nullptr) return call.result(cudaErrorInvalidResourceHandle);
  if (const cudaError_t code = forbidden_while_capturing(*stream); code != cudaSuccess) return call.result(code);
  if (const cudaError_t code = legacy_stream_in_capture(*stream); code != cudaSuccess) return call.result(code);
  if (const cudaError_t code = unsafe_in_capture(); code != cudaSuccess) return call.result(code);
  return call.result(answer(tail_of(*stream)));
}

cudaError_t CUDARTAPI cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(wait(stream, event, flags));
}

cudaError_t CUDARTAPI cudaDeviceSynchronize() {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(synchronize_device());
}

cudaError_t CUDARTAPI cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  if (event == nullptr) return call.result(cudaErrorInvalidValue);
  if (const cudaError_t code = use_device(); code != cudaSuccess) return call.result(code);
  auto fresh = std::make_unique<Event>();
  fresh->timed = (flags & cudaEventDisableTiming) == 0;
  *event = reinterpret_cast<cudaEvent_t>(fresh.get());
  handles().events.emplace(*event, std::move(fresh));
  return call.result(cudaSuccess);
}

cudaError_t CUDARTAPI cudaEventDestroy(cudaEvent_t event) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  return call.result(handles().events.erase(event) == 1 ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

cudaError_t CUDARTAPI cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(record(event, stream, cudaEventRecordDefault));
}

cudaError_t CUDARTAPI cudaEventQuery(cudaEvent_t handle) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  Event* const event = find_event(handle);
  if (event == nullptr) return call.result(cudaErrorInvalidResourceHandle);
  if (event->capture != nullptr) return call.result(cudaErrorCapturedEvent);
  if (const cudaError_t code = unsafe_in_capture(); code != cudaSuccess) return call.result(code);
  return call.result(answer({event->operation}));
}

cudaError_t CUDARTAPI cudaEventSynchronize(cudaEvent_t handle) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  Event* const event = find_event(handle);
  if (event == nullptr) return call.result(cudaErrorInvalidResourceHandle);
  if (event->capture != nullptr) return call.result(cudaErrorCapturedEvent);
  if (const cudaError_t code = unsafe_in_capture(); code != cudaSuccess) return call.result(code);
  run_until({event->operation});
  return call.result(cudaSuccess);
}

cudaError_t CUDARTAPI cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  const Event* const from = find_event(start);
  const Event* const to = find_event(end);
  if (milliseconds == nullptr) return call.result(cudaErrorInvalidValue);
  if (from == nullptr || to == nullptr || !from->timed || !to->timed || from->operation == nullptr ||
      to->operation == nullptr) {
    return call.result(cudaErrorInvalidResourceHandle);
  }
  if (!from->operation->done || !to->operation->done) return call.result(cudaErrorNotReady);
  const auto milliseconds_at = [](const Event& event) { return 1e-6 * static_cast<double>(event.operation->ends); };
  *milliseconds = static_cast<float>(milliseconds_at(*to) - milliseconds_at(*from));
  return call.result(cudaSuccess);
}

cudaError_t CUDARTAPI cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  Stream* const stream = find_stream(handle);
  if (stream == nullptr) return call.result(cudaErrorInvalidResourceHandle);
  if (function == nullptr) return call.result(cudaErrorInvalidValue);
  auto work = std::make_shared<Work>();
  work->kind = cudaGraphNodeTypeHost;
  work->name = "host function";
  work->run = [function, data] { function(data); };
  return call.result(issue(*stream, std::move(work)));
}

}  // extern "C"
