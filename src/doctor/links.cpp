// See links.hpp.
#include "doctor/links.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "core/quantile.hpp"
#include "core/stopwatch.hpp"
#include "device/cuda_module.hpp"

namespace ganymede::doctor {
namespace {

/// A gradient's sum, as trainings make them. Collective, as all of it is.
class TimedSum {
 public:
  /// `complete` waits for what finish() has only begun to wait for.
  TimedSum(
      Communicator& ranks, std::unique_ptr<Reduction<float>> sum, std::function<void()> complete = [] {})
      : ranks_(ranks), sum_(std::move(sum)), complete_(std::move(complete)) {
    times(1);
    first_ = times(1)[0];
    ranks.broadcast(&first_, sizeof first_, 0);
  }

  /// Seconds of one that is not the very first, as rank 0 sees it.
  [[nodiscard]] double first() const { return first_; }
  /// In the median, of as many as take half a second.
  double seconds() { return median(times(static_cast<int>(std::clamp(0.5 / std::max(first_, 1e-6), 1.0, 300.0)))); }

 private:
  std::vector<double> times(int repeats) {
    std::vector<double> seconds;
    together(ranks_, [&] {
      for (int i = 0; i < repeats; ++i) {
        const Stopwatch watch;
        sum_->start();
        sum_->finish();
        complete_();
        seconds.push_back(watch.seconds());
      }
    });
    return seconds;
  }

  Communicator& ranks_;
  std::unique_ptr<Reduction<float>> sum_;
  std::function<void()> complete_;
  double first_ = 0;
};

constexpr std::size_t least_bytes = 64 << 10;

/// Of the sizes up to `most` the largest whose sum takes no longer than `seconds`, by what least_bytes take.
std::size_t affordable(double seconds, std::size_t most, double takes) {
  std::size_t bytes = least_bytes;
  for (; bytes < most && 2 * takes <= seconds; bytes *= 2) takes *= 2;
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
  const auto sum_of = [&](std::size_t bytes) {
    return TimedSum(ranks, ranks.make_float_reduction(bytes / sizeof(float)));
  };
  links.latency = sum_of(1024).seconds();
  const std::size_t bytes = affordable(0.5, std::size_t{4} << 20, sum_of(least_bytes).first());
  links.large_bytes = static_cast<double>(bytes);
  links.large = sum_of(bytes).seconds();

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

bool gpus_can_sum(const std::vector<Facts>& ranks) {
  std::map<std::string, std::set<std::string>> gpus;  // by host
  std::map<std::string, std::size_t> ranks_on;
  for (const Facts& facts : ranks) {
    if (facts.gpus.empty() || !facts.gpu_problem.empty()) return false;
    gpus[facts.host].insert(facts.gpus.begin(), facts.gpus.end());
    ++ranks_on[facts.host];
  }
  return ranks.size() > 1 && std::all_of(ranks_on.begin(), ranks_on.end(),
                                         [&](const auto& host) { return gpus[host.first].size() >= host.second; });
}

GpuSums measure_gpu_sums(Communicator& ranks, double seconds, double join_seconds) {
  // Those that come to an end take a second or two in all.
  constexpr double for_sums = 3;
  CudaOptions options;
  options.wait_seconds = 2;
  options.nccl_seconds = std::min(join_seconds, seconds - for_sums);
  GpuSums sums;
  if (options.nccl_seconds < 1) {
    sums.late = true;
    sums.problem = "NCCL was not tried, for want of time; mend what the doctor has waited for, and ask it again";
    return sums;
  }
  const Stopwatch watch;
  try {
    MakeCudaDevice make = nullptr;
    together(ranks, [&] {
      make = cuda_device_factory();
      const std::string libraries = open_cuda_module().look().libraries;
      sums.version = libraries.substr(std::min(libraries.find("NCCL"), libraries.size()));
    });
    const std::unique_ptr<Device> device = make(ranks, options);
    const auto sum_of = [&](std::size_t bytes) {
      std::unique_ptr<Reduction<float>> sum;
      together(ranks, [&] { sum = device->make_reduction<float>(ranks, bytes / sizeof(float)); });
      return TimedSum(ranks, std::move(sum), [&] { device->synchronize(); });
    };
    sums.latency = sum_of(1024).seconds();
    const std::size_t bytes = affordable(0.25, std::size_t{16} << 20, sum_of(least_bytes).first());
    sums.large_bytes = static_cast<double>(bytes);
    sums.large = sum_of(bytes).seconds();
  } catch (const AgreedError& failure) {
    sums.problem = failure.what();
    sums.late = failure.code() == ExitCode::rank_lost || watch.seconds() >= options.nccl_seconds;
  }
  return sums;
}

}  // namespace ganymede::doctor
