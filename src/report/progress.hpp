// What a person watches while training: one updating line on a terminal, plain lines elsewhere.
#pragma once

#include <cstdint>
#include <string>

#include "report/metrics_log.hpp"
#include "report/output.hpp"

namespace ganymede {

/// The line for one record, at most `width` columns: epoch, step, images/s, losses, D's accuracy on real
/// and fake, time left.
std::string progress_line(const MetricsRecord& record, std::uint64_t total_steps, double total_epochs,
                          double seconds_left, int width);

class Progress {
 public:
  Progress(Output& to, std::uint64_t total_steps, double total_epochs);
  /// Redraws the line on a terminal (unless `last` at most ten times a second, and not while it takes nothing);
  /// elsewhere prints a plain line for every tenth of the training, every minute or so, the first and the last record.
  void show(const MetricsRecord& record, double seconds_left, bool last);
  /// On a terminal, the line is yellow from now on, or no longer.
  void trouble(bool present) { troubled_ = present; }
  /// Ends the updating line, so that other output starts on a line of its own.
  void finish();

 private:
  Output& to_;
  std::uint64_t total_steps_;
  double total_epochs_;
  bool terminal_;
  bool troubled_ = false;
  bool drawn_ = false;
  double last_drawn_ = -1;  // or printed
  int tenths_shown_ = -1;
};

}  // namespace ganymede
