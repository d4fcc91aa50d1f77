// See runtime.hpp.
#include "device/cuda/runtime.hpp"

#include <exception>
#include <utility>

#include "core/host_memory.hpp"
#include "core/numbers.hpp"

namespace ganymede::cuda {
namespace {

bool debugging = false;

// How to mend what can be mended; empty where CUDA's own words have to do.
const char* advice(cudaError_t error) {
  switch (error) {
    case cudaErrorDevicesUnavailable:
      return ": another process has the GPU to itself (nvidia-smi shows it, and the compute mode); wait for it, or "
             "name "
             "another GPU with --device cuda:N";
    case cudaErrorInvalidDevice:
      return ": nvidia-smi -L lists the GPUs; --device cuda:N counts those that CUDA_VISIBLE_DEVICES leaves";
    case cudaErrorNoKernelImageForDevice:
      return ": the GPU backend was built for other GPUs; build it with -DGANYMEDE_CUDA_ARCHITECTURES=native or all";
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorMisalignedAddress:
      return debugging ? ": compute-sanitizer finds the line, if built with -DCMAKE_CUDA_FLAGS=-lineinfo"
                       : ": --debug finds the operation; compute-sanitizer the line, if built with "
                         "-DCMAKE_CUDA_FLAGS=-lineinfo";
    case cudaErrorECCUncorrectable:
    case cudaErrorHardwareStackError:
      return ": the GPU is faulty; take its host out of the job and go on with --resume";
    default:
      return "";
  }
}

std::string text(std::size_t bytes) { return bytes_text(static_cast<double>(bytes)); }

std::string with_what_is_free(const std::string& failure) {
  std::size_t free = 0;
  std::size_t total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) {
    cudaGetLastError();
    return failure;
  }
  return failure + " on the GPU, and " + text(free) + " of its " + text(total) + " are free";
}

}  // namespace

void set_debugging(bool on) { debugging = on; }

OutOfMemory::OutOfMemory(const std::string& failure, std::size_t asked)
    : OutOfMemory(Facts{with_what_is_free(failure)}, asked) {}
OutOfMemory::OutOfMemory(Facts facts, std::size_t asked)
    : Error(ExitCode::launch, facts.text +
                                  ": use a smaller --batch or --micro-batch, a smaller network or more GPUs; "
                                  "nvidia-smi shows what else has memory there"),
      facts_(std::move(facts.text)),
      asked_(asked) {}

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // so that the next check does not find this one again
  const std::string failure =
      std::string("CUDA could not ") + what + " (" + cudaGetErrorName(error) + ", " + cudaGetErrorString(error) + ")";
  if (error == cudaErrorMemoryAllocation) throw OutOfMemory(failure, 0);
  throw Error(ExitCode::launch, failure + advice(error));
}

Stream::Stream(bool urgent) {
  int least = 0;
  int greatest = 0;
  check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "read the range of stream priorities");
  check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, urgent ? greatest : least), "make a stream");
}
Stream::~Stream() { cudaStreamDestroy(stream_); }

Event::Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "make an event"); }
Event::~Event() { cudaEventDestroy(event_); }
void Event::record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "record an event"); }
void Event::hold_back(cudaStream_t stream) const {
  check(cudaStreamWaitEvent(stream, event_, 0), "let a stream wait for an event");
}
bool Event::reached() const {
  const cudaError_t state = cudaEventQuery(event_);
  if (state == cudaErrorNotReady) {
    cudaGetLastError();  // CUDA remembers this as an error, which it is not
    return false;
  }
  check(state, "run the training's operations");
  return true;
}

Memory::Memory(std::size_t bytes) : pointer_(allocate(bytes)) {}
// See CudaDevice::release().
Memory::~Memory() {
  if (std::uncaught_exceptions() == 0) cudaFree(pointer_);
}

HostMemory::HostMemory(std::size_t bytes) : pointer_(allocate_host(bytes, cudaHostAllocDefault)) {}
// See CudaDevice::release().
HostMemory::~HostMemory() {
  if (std::uncaught_exceptions() == 0) cudaFreeHost(pointer_);
}

void* allocate(std::size_t bytes) {
  void* pointer = nullptr;
  const cudaError_t error = cudaMalloc(&pointer, bytes == 0 ? 1 : bytes);
  if (error != cudaErrorMemoryAllocation) {
    check(error, "allocate memory");
    return pointer;
  }
  cudaGetLastError();
  throw OutOfMemory("there is no memory for " + text(bytes), bytes);
}

void* allocate_host(std::size_t bytes, unsigned flags) {
  void* pointer = nullptr;
  const cudaError_t error = cudaHostAlloc(&pointer, bytes == 0 ? 1 : bytes, flags);
  if (error != cudaErrorMemoryAllocation) {
    check(error, "allocate page-locked memory of the host");
    return pointer;
  }
  cudaGetLastError();
  throw Error(ExitCode::launch, "the host has no memory for " + text(bytes) +
                                    " that the GPU copies from or writes to, and " + text(available_host_memory()) +
                                    " are free there: end other programs on it, start fewer ranks on it, or grant its "
                                    "container or job more memory");
}

std::size_t free_memory() {
  std::size_t free = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&free, &total), "say how much of its memory is free");
  return free;
}

}  // namespace ganymede::cuda
