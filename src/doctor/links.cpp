// See links.hpp.
#include "doctor/links.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>

#include "core/stopwatch.hpp"

namespace ganymede::doctor {
namespace {

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

/// A gradient's sum of so many floats, as trainings make them. Collective, as all of it is.
class TimedSum {
 public:
  TimedSum(Communicator& ranks, std::size_t floats) : sum_(ranks.make_float_reduction(floats)) {
    once();
    ranks.barrier();
    first_ = once();
    ranks.broadcast(&first_, sizeof first_, 0);
  }

  /// Seconds of one that is not the very first, as rank 0 sees it.
  [[nodiscard]] double first() const { return first_; }
  /// In the median, of as many as take half a second.
  double seconds() {
    std::vector<double> times;
    const auto repeats = static_cast<int>(std::clamp(0.5 / std::max(first_, 1e-6), 1.0, 300.0));
    for (int i = 0; i < repeats; ++i) times.push_back(once());
    return median(times);
  }

 private:
  double once() {
    const Stopwatch watch;
    sum_->start();
    sum_->finish();
    return watch.seconds();
  }

  std::unique_ptr<Reduction<float>> sum_;
  double first_ = 0;
};

/// Of the sizes up to 4 MiB the largest whose sum takes no longer than `seconds`, by what 64 KiB take.
std::size_t affordable(Communicator& ranks, double seconds) {
  constexpr std::size_t least = 64 << 10;
  double takes = TimedSum(ranks, least / sizeof(float)).first();
  std::size_t bytes = least;
  for (; bytes < std::size_t{4} << 20 && 2 * takes <= seconds; bytes *= 2) takes *= 2;
  return bytes;
}

double copy_speed() {
  constexpr std::size_t bytes = std::size_t{4} << 20;
  const std::vector<char> from(bytes, 1);
  std::vector<char> to(from.size());
  double best = 1;
  for (int i = 0; i < 10; ++i) {
    const Stopwatch watch;
    std::memcpy(to.data(), from.data(), from.size());
    // So that the compiler believes that somebody reads it.
    asm volatile("" ::"r"(to.data()) : "memory");
    best = std::min(best, watch.seconds());
  }
  return static_cast<double>(bytes) / std::max(best, 1e-9);
}

}  // namespace

Links measure_links(Communicator& ranks, int hosts) {
  Links links;
  links.hosts = hosts;
  links.copy = copy_speed();
  if (ranks.size() == 1) {
    links.clocks = {0};
    return links;
  }
  links.latency = TimedSum(ranks, 256).seconds();
  const std::size_t bytes = affordable(ranks, 0.5);
  links.large_bytes = static_cast<double>(bytes);
  links.large = TimedSum(ranks, bytes / sizeof(float)).seconds();

  // All leave a barrier at about the same time. Of several such moments the median: some rank is late for one or two.
  constexpr int moments = 21;
  std::vector<std::int64_t> seen(moments);
  for (std::int64_t& moment : seen) {
    ranks.barrier();
    moment = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
                 .count();
  }
  std::string mine(seen.size() * sizeof seen[0], '\0');
  std::memcpy(mine.data(), seen.data(), mine.size());
  std::vector<std::int64_t> first(moments);
  for (const std::string& text : ranks.all_gather(mine)) {
    std::vector<std::int64_t> theirs(moments);
    std::memcpy(theirs.data(), text.data(), text.size());
    if (links.clocks.empty()) first = theirs;
    std::vector<double> ahead;
    for (int i = 0; i < moments; ++i) ahead.push_back(static_cast<double>(theirs[i] - first[i]) * 1e-9);
    links.clocks.push_back(median(ahead));
    const auto [least, most] = std::minmax_element(ahead.begin(), ahead.end());
    links.clock_error = std::max(links.clock_error, *most - *least);
  }
  return links;
}

}  // namespace ganymede::doctor
