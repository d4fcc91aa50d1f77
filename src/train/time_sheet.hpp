// Where a rank's time goes while it trains: the phases of the step, what lies between steps, and the waiting for other
// ranks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>

#include "comm/diagnosis.hpp"
#include "core/heartbeat.hpp"
#include "core/stopwatch.hpp"
#include "gan/step.hpp"
#include "report/timing.hpp"

namespace ganymede {

/// Looks at the clock, and adds: nothing of it takes memory or a lock until all() is asked.
class TimeSheet {
 public:
  /// What lies between steps.
  enum class Part {
    record,
    comparison,
    diagnosis,
    evaluation,
    picture,
    histograms,
    checkpoint,
    report,
    rollback,
    final_weights,
    count
  };

  /// `divided`: the step's phases can be told apart, as on a CPU, by phases(); else a step is one part.
  explicit TimeSheet(bool divided) : divided_(divided) {}

  /// For GanStep::measure().
  [[nodiscard]] PhaseClock& phases() { return phases_; }
  void count_step() { ++steps_; }

  /// A stage of the training, as the watchdog and this sheet know it.
  class Stage {
   public:
    Stage(TimeSheet& sheet, Part part) noexcept;
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;
    ~Stage();

   private:
    TimeSheet& sheet_;
    Part part_;
    int exceptions_ = std::uncaught_exceptions();
    heartbeat::Stage stage_;
    Stopwatch watch_;
  };

  /// All since the sheet was made: seconds, and steps made. Whose it is, and of which steps, the caller knows.
  [[nodiscard]] RankTiming all() const;

  /// Where an exception ended a stage, the first one that did; nothing where none has.
  [[nodiscard]] const std::optional<comm::Reading>& failed_at() const { return failed_at_; }

 private:
  bool divided_;
  PhaseClock phases_;
  std::uint64_t steps_ = 0;
  Stopwatch watch_;
  std::array<double, static_cast<std::size_t>(Part::count)> seconds_{};
  std::array<double, static_cast<std::size_t>(Part::count)> waited_{};
  std::optional<comm::Reading> failed_at_;
};

}  // namespace ganymede
