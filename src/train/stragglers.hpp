// Ranks that are slower than the others, which then wait for them in every step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gan/step.hpp"

namespace ganymede {

/// Compares what ranks take for their own part of the steps, without the waiting for each other, window by window.
class Stragglers {
 public:
  explicit Stragglers(bool on_gpus = false) : on_gpus_(on_gpus) {}

  /// Slower than the median by this factor.
  static constexpr double factor = 1.5;
  /// What a window must hold for its times to mean something.
  static constexpr std::uint64_t least_steps = 50;
  static constexpr double least_seconds = 2;

  /// What a rank tells the others: see judge(). `held_up`: it was stopped meanwhile, and its clock went on.
  [[nodiscard]] static std::string text(const GanStep::OwnTime& taken, bool held_up = false);

  /// From every rank's text() of the same steps, a sentence for each rank that has become slow. Too short a window is
  /// judged together with the next, and one in which all of them were held up, as by Ctrl-Z, not at all.
  std::vector<std::string> judge(const std::vector<std::string>& taken, const std::vector<std::string>& hosts);

  /// At the end: a sentence for each rank that judge() has named.
  [[nodiscard]] std::vector<std::string> summary(const std::vector<std::string>& hosts) const;

 private:
  bool on_gpus_;
  std::vector<double> window_seconds_;  // by rank, since the last judgement
  std::uint64_t window_steps_ = 0;
  std::uint64_t windows_ = 0;
  std::vector<bool> slow_;             // by rank, in the last window
  std::vector<std::uint64_t> counts_;  // of windows in which it was
};

}  // namespace ganymede
