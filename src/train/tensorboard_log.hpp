// --tensorboard: what a training tells TensorBoard while it runs, in RUN/tensorboard.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "core/files.hpp"
#include "gan/gan.hpp"
#include "gan/step.hpp"
#include "ganymede/metrics.hpp"
#include "report/run_folder.hpp"

namespace ganymede {

/// Rank 0's. All throw Error(data) where nothing can be written.
class TensorBoardLog {
 public:
  /// Goes on at `step`: what is there of later ones is taken back, and where nothing is there of a run that has begun,
  /// its past is told first. `options`: as config.ini has them.
  TensorBoardLog(const RunFolder& run, const std::map<std::string, std::string>& options, std::uint64_t step);

  /// `before`: the run's record before this one.
  void write(const MetricsRecord& record, const MetricsRecord& before);
  /// The grid of the step, which lies in the run's folder.
  void write_grid(std::uint64_t step);
  /// Of the parameters, as `step` has left them, and of the gradients that it made them of.
  void write_histograms(const Gan& gan, const GanStep& step);
  /// The training has gone back to `step`.
  void go_back(std::uint64_t step);
  /// It is done.
  void finish();

 private:
  RunFolder run_;
  std::optional<AppendedFile> file_;
};

}  // namespace ganymede
