// The waiting, where the buffers lie, and the adding.
#include "comm/node_sum.hpp"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

namespace ganymede::comm {
namespace {

// Two lines apart, as processors fetch lines in pairs.
constexpr std::size_t counter_bytes = 128;
constexpr std::size_t counter_stride = counter_bytes / sizeof(std::uint64_t);

static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free, "processes share the counters");

void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

constexpr int watched_looks = 200;
constexpr int yielding_looks = 50000;

std::size_t stride(std::size_t buffer_bytes) {
  // Five lines beyond a multiple of the page, because a processor takes addresses that are equal in their
  // last 12 bits for the same when it orders loads after stores.
  constexpr std::size_t page = 4096;
  return (buffer_bytes + page - 1) / page * page + 5 * 64;
}

}  // namespace

void Patience::wait() noexcept {
  ++looks_;
  if (looks_ < watched_looks) {
    pause();
    return;
  }
  progress_();
  if (looks_ < yielding_looks) {
    sched_yield();
  } else {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

std::size_t Gate::bytes(int ranks) { return static_cast<std::size_t>(ranks) * counter_bytes; }

Gate::Gate(void* counters, int rank, int ranks, Progress progress)
    : counters_(static_cast<std::uint64_t*>(counters)), rank_(rank), ranks_(ranks), progress_(progress) {}

void Gate::arrive() noexcept {
  ++arrivals_;
  seen_ = 0;
  std::atomic_ref(counters_[static_cast<std::size_t>(rank_) * counter_stride])
      .store(arrivals_, std::memory_order_release);
}

bool Gate::open() noexcept {
  for (; seen_ < ranks_; ++seen_) {
    const std::atomic_ref counter(counters_[static_cast<std::size_t>(seen_) * counter_stride]);
    if (counter.load(std::memory_order_acquire) < arrivals_) return false;
  }
  return true;
}

void Gate::wait() noexcept {
  Patience patience(progress_);
  while (!open()) patience.wait();
}

std::size_t NodeBuffers::bytes(int ranks, std::size_t buffer_bytes) {
  const auto buffers = static_cast<std::size_t>(ranks == 1 ? 1 : ranks + 1);
  return Gate::bytes(ranks) + buffers * stride(buffer_bytes);
}

NodeBuffers::NodeBuffers(std::shared_ptr<void> memory, int rank, int ranks, std::size_t buffer_bytes, Progress progress)
    : memory_(std::move(memory)),
      rank_(rank),
      ranks_(ranks),
      stride_(stride(buffer_bytes)),
      buffers_(static_cast<std::byte*>(memory_.get()) + Gate::bytes(ranks)),
      gate_(memory_.get(), rank, ranks, progress) {}

template <class T, class Combine>
void combine_slice(const NodeBuffers& buffers, std::size_t count) {
  const Combine combine;
  const auto ranks = static_cast<std::size_t>(buffers.ranks());
  if (ranks == 1) return;
  constexpr std::size_t line = 64 / sizeof(T);  // no two ranks write to one cache line
  const std::size_t lines = (count + line - 1) / line;
  const auto rank = static_cast<std::size_t>(buffers.rank());
  const std::size_t begin = std::min(lines * rank / ranks * line, count);
  const std::size_t end = std::min(lines * (rank + 1) / ranks * line, count);

  // Blocks that stay in the first-level cache while the third and later buffers are added to them.
  constexpr std::size_t block = 8192 / sizeof(T);
  for (std::size_t from = begin; from < end; from += block) {
    const std::size_t length = std::min(block, end - from);
    T* __restrict result = reinterpret_cast<T*>(buffers.result()) + from;
    const T* __restrict first = reinterpret_cast<const T*>(buffers.buffer(0)) + from;
    const T* __restrict second = reinterpret_cast<const T*>(buffers.buffer(1)) + from;
    for (std::size_t i = 0; i < length; ++i) result[i] = combine(first[i], second[i]);
    for (int other = 2; other < buffers.ranks(); ++other) {
      const T* __restrict next = reinterpret_cast<const T*>(buffers.buffer(other)) + from;
      for (std::size_t i = 0; i < length; ++i) result[i] = combine(result[i], next[i]);
    }
  }
}

template void combine_slice<float, Sum>(const NodeBuffers&, std::size_t);
template void combine_slice<double, Sum>(const NodeBuffers&, std::size_t);
template void combine_slice<std::int64_t, Sum>(const NodeBuffers&, std::size_t);
template void combine_slice<std::int64_t, Min>(const NodeBuffers&, std::size_t);
template void combine_slice<std::int64_t, Max>(const NodeBuffers&, std::size_t);

}  // namespace ganymede::comm
