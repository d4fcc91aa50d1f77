// What a training says of itself: the newest record, and the times that go into it.
#pragma once

#include <chrono>
#include <cstdint>

#include "gan/step.hpp"
#include "ganymede/metrics.hpp"
#include "ganymede/options.hpp"
#include "train/setup.hpp"

namespace ganymede {

class Records {
 public:
  using Duration = std::chrono::steady_clock::duration;

  /// Both must outlive it.
  Records(const TrainOptions& options, const TrainSetup& setup) : options_(options), setup_(setup) {}

  /// Goes on behind the last record of what is resumed, and of what its training had taken until then, in seconds.
  void resume(const MetricsRecord& last, double seconds) {
    newest_ = last;
    seconds_before_ = seconds;
  }

  /// The loop begins.
  void begin();
  /// What has taken that long was no training: the speed is that of steps.
  void leave_out(Duration taken) { interval_began_ += taken; }
  /// The training has gone back to the step that it is at, and of its records to this one.
  void go_back(const MetricsRecord& last);

  /// With the options as they are now only since the start: a batch may have been of another size before.
  [[nodiscard]] std::uint64_t images_seen(std::uint64_t steps) const {
    return ganymede::images_seen(options_, setup_.from, steps);
  }

  /// Makes the means the newest record; what diagnoses and evaluations have found stands.
  void add(const GanStep::MeansUntil& until);
  /// Diagnoses and evaluations write theirs into it.
  [[nodiscard]] MetricsRecord& newest() { return newest_; }
  /// From the newest record to the training's end.
  [[nodiscard]] double seconds_left() const;

 private:
  using Clock = std::chrono::steady_clock;

  const TrainOptions& options_;
  const TrainSetup& setup_;
  MetricsRecord newest_;
  double seconds_before_ = 0;  // before the training was resumed
  Clock::time_point began_;
  Clock::time_point interval_began_;
  std::uint64_t interval_step_ = 0;  // at which the interval began
};

}  // namespace ganymede
