// CUDA's runtime as the backend uses it: calls that throw, and streams and events that end with their owner.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>

#include "ganymede/error.hpp"

namespace ganymede::cuda {

/// There is too little of the GPU's memory for something. Says how much is free, and what to do in general.
class OutOfMemory : public Error {
 public:
  /// `failure`: what could not be had, in a sentence; `asked`: its bytes, 0 where only a library knows them.
  OutOfMemory(const std::string& failure, std::size_t asked);
  /// The same with other advice.
  [[nodiscard]] Error with(const std::string& advice) const { return {code(), facts_ + ": " + advice}; }
  [[nodiscard]] std::size_t asked() const { return asked_; }

 private:
  struct Facts {
    std::string text;
  };
  OutOfMemory(Facts facts, std::size_t asked);
  std::string facts_;
  std::size_t asked_;
};

/// Whether --debug is on in this process, so that no failure advises it.
void set_debugging(bool on);

/// Throws Error(launch) that names `what` was being done and what CUDA says of it; OutOfMemory where that is why.
void check(cudaError_t error, const char* what);

class Stream {
 public:
  /// `urgent`: its kernels go before those of other streams.
  explicit Stream(bool urgent);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();
  [[nodiscard]] cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// A point in a stream's work, without a time.
class Event {
 public:
  Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event();

  void record(cudaStream_t stream);
  /// What `stream` is given from now on waits for the last record.
  void hold_back(cudaStream_t stream) const;
  /// True once the work before the last record is done. Throws when it failed.
  [[nodiscard]] bool reached() const;

 private:
  cudaEvent_t event_ = nullptr;
};

/// Memory of the current device, for as long as its owner lives.
class Memory {
 public:
  Memory() = default;
  explicit Memory(std::size_t bytes);
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory();
  template <class T>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(pointer_);
  }

 private:
  void* pointer_ = nullptr;
};

/// Page-locked memory of the host, for as long as its owner lives: copies to and from it are the stream's alone, where
/// the host may have to wait for those of other memory.
class HostMemory {
 public:
  explicit HostMemory(std::size_t bytes);
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;
  ~HostMemory();
  [[nodiscard]] void* get() const { return pointer_; }

 private:
  void* pointer_ = nullptr;
};

/// cudaMalloc; when there is not enough, OutOfMemory.
void* allocate(std::size_t bytes);
/// cudaHostAlloc with these flags; when there is not enough, Error(launch) with what was asked for and what is free.
void* allocate_host(std::size_t bytes, unsigned flags);
/// Of the current device.
std::size_t free_memory();

}  // namespace ganymede::cuda
