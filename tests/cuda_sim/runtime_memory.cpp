// The runtime functions that allocate, copy and fill memory, with CUDA's rules for pageable and pinned host
// memory: section "API synchronization behavior" of the runtime's documentation.
#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda_sim/cuda_sim.hpp"
#include "cuda_sim/devices.hpp"
#include "cuda_sim/errors.hpp"
#include "cuda_sim/graphs.hpp"
#include "cuda_sim/memory.hpp"
#include "cuda_sim/scheduler.hpp"

namespace cuda_sim {
namespace {

bool waiting_copies_forbidden = false;

cudaError_t device_malloc(void** to, std::size_t bytes) {
  if (to == nullptr) return cudaErrorInvalidValue;
  if (const cudaError_t code = use_device(); code != cudaSuccess) return code;
  if (const cudaError_t code = unsafe_in_capture(); code != cudaSuccess) return code;
  *to = nullptr;
  if (bytes == 0) return cudaSuccess;
  Allocation* const allocation = allocate_device(current_device(), bytes);
  if (allocation == nullptr) return cudaErrorMemoryAllocation;
  *to = allocation->begin;
  return cudaSuccess;
}

cudaError_t device_free(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  if (const cudaError_t code = unsafe_in_capture(); code != cudaSuccess) return code;
  Allocation* const allocation = find_device(pointer);
  if (allocation == nullptr || allocation->pinned() || allocation->begin != pointer) return cudaErrorInvalidValue;
  if (!allocation->live) {
    violation(allocation->text() + " is freed twice");
    return cudaErrorInvalidValue;
  }
  release(*allocation, host_clock());
  return cudaSuccess;
}

cudaError_t host_alloc(void** to, std::size_t bytes, unsigned flags) {
  constexpr unsigned known = cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined;
  if (to == nullptr || (flags & ~known) != 0) return cudaErrorInvalidValue;
  if (const cudaError_t code = use_device(); code != cudaSuccess) return code;
  if (const cudaError_t code = unsafe_in_capture(); code != cudaSuccess) return code;
  *to = nullptr;
  if (bytes == 0) return cudaSuccess;
  *to = allocate_pinned(current_device(), bytes, (flags & cudaHostAllocMapped) != 0)->host;
  return cudaSuccess;
}

cudaError_t host_free(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  if (const cudaError_t code = unsafe_in_capture(); code != cudaSuccess) return code;
  Allocation* const allocation = find_pinned(pointer);
  if (allocation == nullptr || allocation->host != pointer) return cudaErrorInvalidValue;
  release(*allocation, host_clock());
  return cudaSuccess;
}

/// One end of a copy.
struct End {
  std::byte* address;      ///< the devices' where they have one
  Allocation* allocation;  ///< null: pageable host memory
  [[nodiscard]] bool host() const { return allocation == nullptr || allocation->pinned(); }
  [[nodiscard]] bool pageable() const { return allocation == nullptr; }
  [[nodiscard]] bool holds(std::size_t bytes) const {
    return allocation == nullptr || (allocation->live && address >= allocation->begin &&
                                     address + bytes <= allocation->begin + allocation->bytes);
  }
};

End end_at(const void* address) {
  std::byte* const view = device_view(address);
  return {view, find_device(view)};
}

bool kind_fits(cudaMemcpyKind kind, bool from_host, bool to_host) {
  switch (kind) {
    case cudaMemcpyDefault:
      return true;
    case cudaMemcpyHostToHost:
      return from_host && to_host;
    case cudaMemcpyHostToDevice:
      return from_host && !to_host;
    case cudaMemcpyDeviceToHost:
      return !from_host && to_host;
    case cudaMemcpyDeviceToDevice:
      return !from_host && !to_host;
  }
  return false;
}

const char* name_of(bool from_host, bool to_host) {
  if (from_host) return to_host ? "memcpy host to host" : "memcpy host to device";
  return to_host ? "memcpy device to host" : "memcpy device to device";
}

/// `synchronous`: cudaMemcpy.
cudaError_t copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t handle,
                 bool synchronous) {
  Stream* const stream = find_stream(handle);
  if (stream == nullptr) {
    const cudaError_t code = use_device();
    return code == cudaSuccess ? cudaErrorInvalidResourceHandle : code;
  }
  if (synchronous) {
    if (const cudaError_t code = legacy_stream_in_capture(*stream); code != cudaSuccess) return code;
    if (const cudaError_t code = unsafe_in_capture(); code != cudaSuccess) return code;
  }
  if (bytes == 0) return cudaSuccess;
  if (to == nullptr || from == nullptr) return cudaErrorInvalidValue;
  const End source = end_at(from);
  const End target = end_at(to);
  if (!kind_fits(kind, source.host(), target.host())) return cudaErrorInvalidValue;
  if (!source.holds(bytes) || !target.holds(bytes)) return cudaErrorInvalidValue;

  if (waiting_copies_forbidden && (synchronous || source.pageable() || target.pageable())) {
    violation(std::string(name_of(source.host(), target.host())) +
              (synchronous ? ": the host waits for it"
                           : ": of pageable memory, for which the host may have to wait; cudaHostAlloc makes other"));
  }
  auto work = std::make_shared<Work>();
  work->kind = cudaGraphNodeTypeMemcpy;
  work->name = name_of(source.host(), target.host());
  if (!source.pageable()) work->accesses.push_back({source.address, bytes, false});
  if (!target.pageable()) work->accesses.push_back({target.address, bytes, true});
  const bool capturing = stream->capture != nullptr;
  if (source.pageable() && !target.host() && !capturing) {
    // Staged at once; the copy from there may be under way when the call returns, even that of cudaMemcpy.
    if (synchronous) run_until({stream->last});
    auto staged = std::make_shared<std::vector<std::byte>>(static_cast<const std::byte*>(from),
                                                           static_cast<const std::byte*>(from) + bytes);
    work->run = [staged, at = target.address] { std::memcpy(at, staged->data(), staged->size()); };
    return issue(*stream, std::move(work));
  }
  work->run = [at = target.address, source_at = source.address, bytes] { std::memmove(at, source_at, bytes); };
  if (const cudaError_t code = issue(*stream, std::move(work)); code != cudaSuccess) return code;
  const bool device_to_device = !source.host() && !target.host();
  const bool waits = synchronous ? !device_to_device : source.pageable() || target.pageable();
  if (waits && !capturing) run_until({stream->last});
  return cudaSuccess;
}

cudaError_t fill(void* pointer, int value, std::size_t bytes, cudaStream_t handle, bool synchronous) {
  Stream* const stream = find_stream(handle);
  if (stream == nullptr) {
    const cudaError_t code = use_device();
    return code == cudaSuccess ? cudaErrorInvalidResourceHandle : code;
  }
  if (synchronous) {
    if (const cudaError_t code = legacy_stream_in_capture(*stream); code != cudaSuccess) return code;
    if (const cudaError_t code = unsafe_in_capture(); code != cudaSuccess) return code;
  }
  if (bytes == 0) return cudaSuccess;
  const End target = end_at(pointer);
  if (target.pageable() || !target.holds(bytes)) return cudaErrorInvalidValue;
  auto work = std::make_shared<Work>();
  work->kind = cudaGraphNodeTypeMemset;
  work->name = "memset";
  work->accesses.push_back({target.address, bytes, true});
  work->run = [at = target.address, value, bytes] { std::memset(at, value, bytes); };
  if (const cudaError_t code = issue(*stream, std::move(work)); code != cudaSuccess) return code;
  if (synchronous && target.host()) run_until({stream->last});
  return cudaSuccess;
}

}  // namespace

void forbid_waiting_copies(bool forbidden) {
  const std::lock_guard lock(simulation_mutex());
  waiting_copies_forbidden = forbidden;
}

}  // namespace cuda_sim

using namespace cuda_sim;  // NOLINT(google-build-using-namespace): the functions below are C

extern "C" {

cudaError_t CUDARTAPI cudaMalloc(void** to, size_t bytes) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(device_malloc(to, bytes));
}

cudaError_t CUDARTAPI cudaFree(void* pointer) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  // cudaFree(nullptr) is how programs initialise a device.
  if (const cudaError_t code = use_device(); code != cudaSuccess) return call.result(code);
  return call.result(device_free(pointer));
}

cudaError_t CUDARTAPI cudaHostAlloc(void** to, size_t bytes, unsigned flags) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(host_alloc(to, bytes, flags));
}

cudaError_t CUDARTAPI cudaFreeHost(void* pointer) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(host_free(pointer));
}

cudaError_t CUDARTAPI cudaHostGetDevicePointer(void** to, void* host, unsigned flags) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  const Allocation* const allocation = find_pinned(host);
  if (to == nullptr || flags != 0 || allocation == nullptr || !allocation->mapped) {
    return call.result(cudaErrorInvalidValue);
  }
  *to = device_view(host);
  return call.result(cudaSuccess);
}

cudaError_t CUDARTAPI cudaMemGetInfo(size_t* free, size_t* total) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  if (free == nullptr || total == nullptr) return call.result(cudaErrorInvalidValue);
  if (const cudaError_t code = use_device(); code != cudaSuccess) return call.result(code);
  *total = device_memory(current_device());
  *free = *total - allocated_on(current_device());
  return call.result(cudaSuccess);
}

cudaError_t CUDARTAPI cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(copy(to, from, bytes, kind, nullptr, true));
}

cudaError_t CUDARTAPI cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                                      cudaStream_t stream) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(copy(to, from, bytes, kind, stream, false));
}

cudaError_t CUDARTAPI cudaMemset(void* pointer, int value, size_t bytes) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(fill(pointer, value, bytes, nullptr, true));
}

cudaError_t CUDARTAPI cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(fill(pointer, value, bytes, stream, false));
}

}  // extern "C"
