// See stragglers.hpp.
#include "train/stragglers.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "core/numbers.hpp"

namespace ganymede {
namespace {

std::string who(std::size_t rank, const std::vector<std::string>& hosts) {
  return "rank " + std::to_string(rank) + " on " + hosts[rank];
}

std::string milliseconds(double seconds) { return formatted("%.3g ms", seconds * 1000); }

}  // namespace

std::string Stragglers::text(const GanStep::OwnTime& taken, bool held_up) {
  return formatted("%llu %.9g %d", static_cast<unsigned long long>(taken.steps), taken.seconds, held_up ? 1 : 0);
}

std::vector<std::string> Stragglers::judge(const std::vector<std::string>& taken,
                                           const std::vector<std::string>& hosts) {
  window_seconds_.resize(taken.size());
  unsigned long long steps = 0;
  std::size_t held_up = 0;
  for (std::size_t rank = 0; rank < taken.size(); ++rank) {
    double seconds = 0;
    int held = 0;
    if (std::sscanf(taken[rank].c_str(), "%llu %lg %d", &steps, &seconds, &held) != 3) return {};
    window_seconds_[rank] += seconds;
    if (held != 0) ++held_up;
  }
  if (held_up == taken.size()) {
    window_seconds_.clear();
    window_steps_ = 0;
    return {};
  }
  window_steps_ += steps;
  std::vector<double> sorted = window_seconds_;
  std::sort(sorted.begin(), sorted.end());
  // Of two ranks the faster one is what the other is measured by.
  const double median = sorted.empty() ? 0 : sorted[(sorted.size() - 1) / 2];
  if (window_steps_ < least_steps || median < least_seconds) return {};
  const std::vector<double> seconds = std::exchange(window_seconds_, {});
  const auto each = static_cast<double>(std::exchange(window_steps_, 0));
  ++windows_;
  slow_.resize(seconds.size());
  counts_.resize(seconds.size());
  std::vector<std::string> sentences;
  for (std::size_t rank = 0; rank < seconds.size(); ++rank) {
    const bool slow = seconds[rank] > factor * median;
    if (slow) ++counts_[rank];
    if (slow && !slow_[rank]) {
      sentences.push_back(
          who(rank, hosts) + " is slower than the others, which wait for it: its part of a step takes " +
          milliseconds(seconds[rank] / each) + ", the median rank's " + milliseconds(median / each) + "; its host " +
          (on_gpus_ ? "or GPU " : "") + "may be slower, throttled or busy with something else");
    }
    slow_[rank] = slow;
  }
  return sentences;
}

std::vector<std::string> Stragglers::summary(const std::vector<std::string>& hosts) const {
  std::vector<std::string> sentences;
  for (std::size_t rank = 0; rank < counts_.size(); ++rank)
    if (counts_[rank] > 0)
      sentences.push_back(who(rank, hosts) + " was slower than the others, which waited for it, in " +
                          std::to_string(counts_[rank]) + " of " + std::to_string(windows_) +
                          " comparisons of the ranks");
  return sentences;
}

}  // namespace ganymede
