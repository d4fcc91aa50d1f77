// Errors of the simulated CUDA: names and texts, the last error of each thread, injected errors, sticky errors
// of failed operations, and violations of the rules that the simulation holds programs to.
#include "cuda_sim/errors.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>
#include <utility>

#include "cuda_sim/cuda_sim.hpp"
#include "cuda_sim/devices.hpp"
#include "cuda_sim/memory.hpp"
#include "cuda_sim/scheduler.hpp"

namespace cuda_sim {
namespace {

struct Counter {
  std::size_t calls = 0;
  std::size_t fail_at = 0;  ///< 0: never
  int code = 0;
};

struct Errors {
  std::map<std::string, Counter, std::less<>> counters;
  cudaError_t sticky = cudaSuccess;
  std::vector<std::string>* collector = nullptr;
  long last_end = 0;
  int depth = 0;
};

Errors& errors() {
  static auto* const state = new Errors;
  return *state;
}

thread_local cudaError_t last_error = cudaSuccess;

long milliseconds() {
  return static_cast<long>(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

int default_code(Call::Kind kind) {
  if (kind == Call::cublas) return 13;   // CUBLAS_STATUS_EXECUTION_FAILED
  if (kind == Call::cudnn) return 5000;  // CUDNN_STATUS_EXECUTION_FAILED
  if (kind == Call::nccl) return 1;      // ncclUnhandledCudaError
  return cudaErrorUnknown;
}

void read_environment() {
  const char* text = std::getenv("GANYMEDE_CUDA_SIM_FAIL");
  if (text == nullptr) return;
  std::istringstream list(text);
  for (std::string entry; std::getline(list, entry, ',');) {
    const auto colon = entry.find(':');
    const auto second = entry.find(':', colon + 1);
    if (colon == std::string::npos) fatal("GANYMEDE_CUDA_SIM_FAIL: FUNCTION:N[:CODE],… is expected");
    fail(entry.substr(0, colon), std::atoi(entry.c_str() + colon + 1),
         second == std::string::npos ? 0 : std::atoi(entry.c_str() + second + 1));
  }
}

struct Text {
  cudaError_t code;
  const char* name;
  const char* text;
};

constexpr Text texts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorDevicesUnavailable, "cudaErrorDevicesUnavailable", "CUDA-capable device(s) is/are busy or unavailable"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
    {cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout", "the launch timed out and was terminated"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotPermitted, "cudaErrorNotPermitted", "operation not permitted"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorSystemDriverMismatch, "cudaErrorSystemDriverMismatch",
     "system has unsupported display driver / cuda driver combination"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate capture sequences"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

}  // namespace

std::recursive_mutex& simulation_mutex() {
  static auto* const mutex = new std::recursive_mutex;
  return *mutex;
}

Call::Call(const char* function, Kind kind) : lock_(simulation_mutex()), kind_(kind) {
  start();
  guard_host_again();
  Errors& state = errors();
  ++state.depth;
  auto found = state.counters.find(function);
  if (found == state.counters.end()) found = state.counters.emplace(function, Counter{}).first;
  Counter& counter = found->second;
  if (++counter.calls == counter.fail_at) {
    error_ = counter.code != 0 ? counter.code : default_code(kind);
  } else if (kind != query && in_host_function()) {
    violation(std::string("a host function that a stream runs calls ") + function + ", which CUDA does not permit");
    error_ = kind == runtime ? static_cast<int>(cudaErrorNotPermitted) : default_code(kind);
  } else if (kind != query && state.sticky != cudaSuccess) {
    error_ = kind == runtime ? static_cast<int>(state.sticky) : default_code(kind);
  }
  if (error_ != 0 && kind == runtime) last_error = error<cudaError_t>();
}

Call::~Call() {
  Errors& state = errors();
  state.last_end = milliseconds();
  if (--state.depth == 0) close_memory();
}

cudaError_t Call::result(cudaError_t code) const {
  if (code == cudaSuccess && kind_ == runtime) code = errors().sticky;
  if (code != cudaSuccess) last_error = code;
  return code;
}

long Call::last_end() { return errors().last_end; }

void violation(const std::string& text) {
  const std::string full = "[cuda_sim] violation (seed " + std::to_string(seed()) + "): " + text;
  if (errors().collector != nullptr) {
    errors().collector->push_back(full);
    return;
  }
  fatal(full.c_str());
}

void fatal(const char* text) {
  const std::size_t length = std::strlen(text);
  if (write(STDERR_FILENO, text, length) < 0 || write(STDERR_FILENO, "\n", 1) < 0) std::abort();
  std::abort();
}

cudaError_t injected_operation_error() {
  Counter& counter = errors().counters["operation"];
  if (++counter.calls != counter.fail_at) return cudaSuccess;
  return counter.code != 0 ? static_cast<cudaError_t>(counter.code) : cudaErrorIllegalAddress;
}

void set_sticky_error(cudaError_t code) {
  if (errors().sticky == cudaSuccess) errors().sticky = code;
}

cudaError_t sticky_error() { return errors().sticky; }

void set_last_error(cudaError_t code) { last_error = code; }

void reset_errors() {
  errors().counters.clear();
  errors().sticky = cudaSuccess;
  last_error = cudaSuccess;
  read_environment();
}

void fail(const std::string& function, int nth, int code) {
  const std::lock_guard lock(simulation_mutex());
  Counter& counter = errors().counters[function];
  counter.fail_at = counter.calls + static_cast<std::size_t>(nth);
  counter.code = code;
}

std::map<std::string, std::size_t> calls() {
  const std::lock_guard lock(simulation_mutex());
  std::map<std::string, std::size_t> result;
  for (const auto& [name, counter] : errors().counters) {
    if (counter.calls > 0) result[name] = counter.calls;
  }
  return result;
}

Violations::Violations() {
  const std::lock_guard lock(simulation_mutex());
  errors().collector = &texts_;
}

Violations::~Violations() {
  const std::lock_guard lock(simulation_mutex());
  errors().collector = nullptr;
}

bool Violations::contain(const std::string& part) const {
  const std::lock_guard lock(simulation_mutex());
  for (const std::string& text : texts_) {
    if (text.find(part) != std::string::npos) return true;
  }
  return false;
}

}  // namespace cuda_sim

extern "C" {

cudaError_t CUDARTAPI cudaGetLastError() {
  const cudaError_t sticky = cuda_sim::sticky_error();
  const cudaError_t code = std::exchange(cuda_sim::last_error, cudaSuccess);
  return code == cudaSuccess ? sticky : code;
}

cudaError_t CUDARTAPI cudaPeekAtLastError() {
  return cuda_sim::last_error == cudaSuccess ? cuda_sim::sticky_error() : cuda_sim::last_error;
}

const char* CUDARTAPI cudaGetErrorName(cudaError_t error) {
  for (const auto& text : cuda_sim::texts) {
    if (text.code == error) return text.name;
  }
  return "unrecognized error code";
}

const char* CUDARTAPI cudaGetErrorString(cudaError_t error) {
  for (const auto& text : cuda_sim::texts) {
    if (text.code == error) return text.text;
  }
  return "unrecognized error code";
}

}  // extern "C"
