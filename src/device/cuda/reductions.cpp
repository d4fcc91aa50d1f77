// See reductions.hpp.
#include "device/cuda/reductions.hpp"

#include <cstring>
#include <exception>
#include <optional>
#include <thread>
#include <type_traits>

#include "core/numbers.hpp"

namespace ganymede::cuda {
namespace {

void clear(void* pointer, std::size_t bytes, cudaStream_t stream) {
  check(cudaMemsetAsync(pointer, 0, bytes, stream), "clear memory");
}

template <class T>
class AloneReduction final : public Reduction<T> {
 public:
  AloneReduction(cudaStream_t stream, std::size_t count) : memory_(count * sizeof(T)) {
    this->size_ = count;
    this->data_ = memory_.template as<T>();
    this->sum_ = this->data_;
    clear(this->data_, count * sizeof(T), stream);
  }
  void start() override {}
  void finish() override {}

 private:
  Memory memory_;
};

template <class T>
class NcclReduction final : public Reduction<T> {
 public:
  NcclReduction(comm::NcclGroup& group, StepTimer& timer, cudaStream_t compute, cudaStream_t urgent, std::size_t count)
      : group_(group), timer_(timer), compute_(compute), urgent_(urgent) {
    const std::size_t bytes = count * sizeof(T);
    void* pointer = nullptr;
    if (bytes < worth_registering) {
      pointer = plain_.emplace(bytes).template as<void>();
    } else {
      // Memory that NCCL takes itself and knows of needs no copies through its buffers.
      const ncclResult_t taken = ncclMemAlloc(&pointer, bytes);
      // It has no code of its own for memory: what CUDA refuses here is that.
      if (taken == ncclUnhandledCudaError)
        throw OutOfMemory("NCCL could not allocate " + bytes_text(static_cast<double>(bytes)) + " (" +
                              ncclGetErrorString(taken) + ")",
                          bytes);
      group_.complete(taken, "allocate memory");
      // Registering is an optimisation that some set-ups refuse.
      if (ncclCommRegister(group_.get(), pointer, bytes, &registration_) != ncclSuccess) registration_ = nullptr;
    }
    this->size_ = count;
    this->data_ = static_cast<T*>(pointer);
    this->sum_ = this->data_;
    clear(pointer, bytes, compute_);
  }
  NcclReduction(const NcclReduction&) = delete;
  NcclReduction& operator=(const NcclReduction&) = delete;
  ~NcclReduction() override {
    if (std::uncaught_exceptions() > 0) return;  // see CudaDevice::release()
    if (registration_ != nullptr) ncclCommDeregister(group_.get(), registration_);
    if (!plain_) ncclMemFree(this->data_);
  }

  void start() override {
    ready_.record(compute_);
    ready_.hold_back(urgent_);
    constexpr ncclDataType_t type = std::is_same_v<T, float> ? ncclFloat32 : ncclInt64;
    group_.complete(ncclAllReduce(this->data_, this->data_, this->size_, type, ncclSum, group_.get(), urgent_),
                    "sum over the ranks");
    done_.record(urgent_);
  }
  void finish() override {
    timer_.stop(compute_);
    done_.hold_back(compute_);
    done_.hold_back(timer_.stream());
    timer_.go_on();
  }

 private:
  // Of less NCCL sends copies anyway; and it rounds memory of its own up to megabytes, of which batch normalisation
  // would take two for each layer.
  static constexpr std::size_t worth_registering = std::size_t{1} << 20;

  comm::NcclGroup& group_;
  StepTimer& timer_;
  cudaStream_t compute_;
  cudaStream_t urgent_;
  std::optional<Memory> plain_;
  void* registration_ = nullptr;
  Event ready_;
  Event done_;
};

template <class T>
class StagedReduction final : public Reduction<T> {
 public:
  StagedReduction(Communicator& ranks, StepTimer& timer, cudaStream_t compute, std::size_t count)
      : host_(ranks.make_reduction<T>(count)),
        memory_(count * sizeof(T)),
        staged_(count * sizeof(T)),
        timer_(timer),
        compute_(compute) {
    this->size_ = count;
    this->data_ = memory_.template as<T>();
    this->sum_ = this->data_;
    clear(this->data_, count * sizeof(T), compute_);
  }
  void start() override {
    check(cudaMemcpyAsync(staged_.get(), this->data_, bytes(), cudaMemcpyDeviceToHost, compute_),
          "copy a sum to the host");
    copied_.record(compute_);
  }
  void finish() override {
    while (!copied_.reached()) std::this_thread::yield();
    std::memcpy(host_->data(), staged_.get(), bytes());
    host_->start();
    timer_.stop(compute_);
    host_->finish();
    timer_.go_on();
    std::memcpy(staged_.get(), host_->sum(), bytes());
    check(cudaMemcpyAsync(this->data_, staged_.get(), bytes(), cudaMemcpyHostToDevice, compute_),
          "copy a sum to the GPU");
  }

 private:
  [[nodiscard]] std::size_t bytes() const { return this->size_ * sizeof(T); }
  std::unique_ptr<Reduction<T>> host_;
  Memory memory_;
  // The sum's memory is the ranks' own (src/comm/node_sum.hpp), which CUDA cannot be told of everywhere.
  HostMemory staged_;
  StepTimer& timer_;
  cudaStream_t compute_;
  Event copied_;
};

}  // namespace

template <class T>
std::unique_ptr<Reduction<T>> make_alone_reduction(cudaStream_t stream, std::size_t count) {
  return std::make_unique<AloneReduction<T>>(stream, count);
}
template <class T>
std::unique_ptr<Reduction<T>> make_nccl_reduction(comm::NcclGroup& group, StepTimer& timer, cudaStream_t compute,
                                                  cudaStream_t urgent, std::size_t count) {
  return std::make_unique<NcclReduction<T>>(group, timer, compute, urgent, count);
}
template <class T>
std::unique_ptr<Reduction<T>> make_staged_reduction(Communicator& ranks, StepTimer& timer, cudaStream_t compute,
                                                    std::size_t count) {
  return std::make_unique<StagedReduction<T>>(ranks, timer, compute, count);
}

template std::unique_ptr<Reduction<float>> make_alone_reduction(cudaStream_t, std::size_t);
template std::unique_ptr<Reduction<std::int64_t>> make_alone_reduction(cudaStream_t, std::size_t);
template std::unique_ptr<Reduction<float>> make_nccl_reduction(comm::NcclGroup&, StepTimer&, cudaStream_t, cudaStream_t,
                                                               std::size_t);
template std::unique_ptr<Reduction<std::int64_t>> make_nccl_reduction(comm::NcclGroup&, StepTimer&, cudaStream_t,
                                                                      cudaStream_t, std::size_t);
template std::unique_ptr<Reduction<float>> make_staged_reduction(Communicator&, StepTimer&, cudaStream_t, std::size_t);
template std::unique_ptr<Reduction<std::int64_t>> make_staged_reduction(Communicator&, StepTimer&, cudaStream_t,
                                                                        std::size_t);

}  // namespace ganymede::cuda
