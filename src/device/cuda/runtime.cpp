// See runtime.hpp.
#include "device/cuda/runtime.hpp"

#include <exception>

#include "core/numbers.hpp"
#include "ganymede/error.hpp"

namespace ganymede::cuda {
namespace {

// How to mend what can be mended; empty where CUDA's own words have to do.
const char* advice(cudaError_t error) {
  switch (error) {
    case cudaErrorDevicesUnavailable:
      return ": another process has the GPU to itself (nvidia-smi shows it, and the compute mode); wait for it, or "
             "name "
             "another GPU with --device cuda:N";
    case cudaErrorInvalidDevice:
      return ": nvidia-smi -L lists the GPUs; --device cuda:N counts those that CUDA_VISIBLE_DEVICES leaves";
    case cudaErrorMemoryAllocation:
      return ": use a smaller --batch or network, more ranks, or a GPU that nobody else uses";
    case cudaErrorNoKernelImageForDevice:
      return ": the GPU backend was built for other GPUs; build it with -DGANYMEDE_CUDA_ARCHITECTURES=native or all";
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorMisalignedAddress:
      return ": --debug finds the operation; compute-sanitizer the line, if built with -DCMAKE_CUDA_FLAGS=-lineinfo";
    case cudaErrorECCUncorrectable:
    case cudaErrorHardwareStackError:
      return ": the GPU is faulty; take its host out of the job and go on with --resume";
    default:
      return "";
  }
}

}  // namespace

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // so that the next check does not find this one again
  throw Error(ExitCode::launch, std::string("CUDA could not ") + what + " (" + cudaGetErrorName(error) + ", " +
                                    cudaGetErrorString(error) + ")" + advice(error));
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

HostMemory::HostMemory(std::size_t bytes) {
  check(cudaHostAlloc(&pointer_, bytes == 0 ? 1 : bytes, cudaHostAllocDefault), "allocate page-locked host memory");
}
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
  std::size_t free = 0;
  std::size_t total = 0;
  cudaMemGetInfo(&free, &total);
  throw Error(ExitCode::launch, "the GPU has no memory for " + bytes_text(static_cast<double>(bytes)) + ": " +
                                    bytes_text(static_cast<double>(free)) + " of its " +
                                    bytes_text(static_cast<double>(total)) +
                                    " are free; use a smaller --batch or network, or more ranks");
}

std::size_t free_memory() {
  std::size_t free = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&free, &total), "say how much of its memory is free");
  return free;
}

}  // namespace ganymede::cuda
