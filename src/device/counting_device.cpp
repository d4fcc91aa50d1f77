// See counting_device.hpp.
#include "device/counting_device.hpp"

#include <cstdlib>
#include <new>

namespace ganymede {
namespace {

class NoRoutine final : public Routine {
  void run() override {}
};

}  // namespace

template <class T>
class CountingDevice::CountedReduction final : public Reduction<T> {
 public:
  CountedReduction(CountingDevice& device, std::size_t count) : device_(device) {
    this->size_ = count;
    this->data_ = static_cast<T*>(device.allocate(count * sizeof(T)));
    this->sum_ = this->data_;
    device_.arrays_ -= count * sizeof(T);
    device_.sums_ += count * sizeof(T);
  }
  CountedReduction(const CountedReduction&) = delete;
  CountedReduction& operator=(const CountedReduction&) = delete;
  ~CountedReduction() override {
    device_.sums_ -= this->size_ * sizeof(T);
    device_.arrays_ += this->size_ * sizeof(T);
    device_.release(this->data_);
  }
  void start() override {}
  void finish() override {}

 private:
  CountingDevice& device_;
};

void* CountingDevice::allocate(std::size_t bytes) {
  void* pointer = reinterpret_cast<void*>(next_);  // NOLINT(performance-no-int-to-ptr): nobody follows it
  next_ += (bytes / 64 + 1) * 64;
  sizes_.emplace(pointer, bytes);
  arrays_ += bytes;
  return pointer;
}

void CountingDevice::release(void* pointer) noexcept {
  const auto found = sizes_.find(pointer);
  if (found == sizes_.end()) return;
  arrays_ -= found->second;
  sizes_.erase(found);
}

void* CountingDevice::allocate_host(std::size_t bytes) {
  void* pointer = std::calloc(bytes, 1);
  if (pointer == nullptr) throw std::bad_alloc();
  return pointer;
}

void CountingDevice::release_host(void* pointer) noexcept { std::free(pointer); }

std::unique_ptr<Routine> CountingDevice::make_routine(std::function<void()> /*enqueue*/) {
  return std::make_unique<NoRoutine>();
}

std::unique_ptr<Reduction<float>> CountingDevice::make_float_reduction(Communicator& /*ranks*/, std::size_t count) {
  return std::make_unique<CountedReduction<float>>(*this, count);
}

std::unique_ptr<Reduction<std::int64_t>> CountingDevice::make_fixed_reduction(Communicator& /*ranks*/,
                                                                              std::size_t count) {
  return std::make_unique<CountedReduction<std::int64_t>>(*this, count);
}

}  // namespace ganymede
