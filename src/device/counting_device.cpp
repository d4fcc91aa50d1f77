// See counting_device.hpp.
#include "device/counting_device.hpp"

#include <cstdlib>
#include <new>
#include <utility>

namespace ganymede {
namespace {

class PlainRoutine final : public Routine {
 public:
  explicit PlainRoutine(std::function<void()> enqueue) : enqueue_(std::move(enqueue)) {}
  void run() override { enqueue_(); }

 private:
  std::function<void()> enqueue_;
};

}  // namespace

template <class T>
class CountingDevice::CountedReduction final : public Reduction<T> {
 public:
  CountedReduction(CountingDevice& device, int ranks, std::size_t count) : device_(device), ranks_(ranks) {
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
  // Each byte is read and written once: what a ring sends on its way is the network's.
  void start() override {
    if (ranks_ == 1) return;
    constexpr double numbers = double{sizeof(T)} / sizeof(float);
    device_.note("sum over ranks", std::to_string(this->size_), 0, 2 * numbers * static_cast<double>(this->size_));
  }
  void finish() override {}

 private:
  CountingDevice& device_;
  int ranks_;
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

std::unique_ptr<Routine> CountingDevice::make_routine(std::function<void()> enqueue) {
  return std::make_unique<PlainRoutine>(std::move(enqueue));
}

std::unique_ptr<Reduction<float>> CountingDevice::make_float_reduction(Communicator& ranks, std::size_t count) {
  return std::make_unique<CountedReduction<float>>(*this, ranks.size(), count);
}

std::unique_ptr<Reduction<std::int64_t>> CountingDevice::make_fixed_reduction(Communicator& ranks, std::size_t count) {
  return std::make_unique<CountedReduction<std::int64_t>>(*this, ranks.size(), count);
}

}  // namespace ganymede
