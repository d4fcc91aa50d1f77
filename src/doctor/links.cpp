// See links.hpp.
#include "doctor/links.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>

namespace ganymede::doctor {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

/// Seconds of a gradient's sum of so many floats, as trainings make them. For about half a second, with rank 0's view
/// of how often that is.
double time_sum(Communicator& ranks, std::size_t floats) {
  const std::unique_ptr<Reduction<float>> sum = ranks.make_float_reduction(floats);
  const auto once = [&] {
    const auto begin = Clock::now();
    sum->start();
    sum->finish();
    return seconds_since(begin);
  };
  once();
  ranks.barrier();
  auto repeats = static_cast<long>(std::clamp(0.5 / std::max(once(), 1e-6), 3.0, 300.0));
  ranks.broadcast(&repeats, sizeof repeats, 0);
  std::vector<double> times;
  for (long i = 0; i < repeats; ++i) times.push_back(once());
  return median(times);
}

double copy_speed() {
  const std::vector<char> from(static_cast<std::size_t>(Links::large_bytes), 1);
  std::vector<char> to(from.size());
  double best = 1;
  for (int i = 0; i < 10; ++i) {
    const auto begin = Clock::now();
    std::memcpy(to.data(), from.data(), from.size());
    // So that the compiler believes that somebody reads it.
    asm volatile("" ::"r"(to.data()) : "memory");
    best = std::min(best, seconds_since(begin));
  }
  return Links::large_bytes / std::max(best, 1e-9);
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
  links.latency = time_sum(ranks, 256);
  links.large = time_sum(ranks, static_cast<std::size_t>(Links::large_bytes / sizeof(float)));

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
