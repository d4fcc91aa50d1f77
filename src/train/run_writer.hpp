// What rank 0 writes into the run's folder while a training goes on, checkpoints aside: its options, records, pictures,
// the page and the final weights. It writes nothing once the folder is another training's.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "gan/sampler.hpp"
#include "ganymede/metrics.hpp"
#include "ganymede/options.hpp"
#include "ganymede/tensor_file.hpp"
#include "report/findings.hpp"
#include "report/metrics_log.hpp"
#include "report/report.hpp"
#include "report/run_folder.hpp"
#include "report/timing.hpp"
#include "train/run_lock.hpp"
#include "train/setup.hpp"
#include "train/tensorboard_log.hpp"

namespace ganymede {

/// Of rank 0 alone. What cannot be written is an Error(data), if not said otherwise.
class RunWriter {
 public:
  /// Makes the folder of the run that `lock` holds, clears away what an interrupted training left there and writes the
  /// options down, `recipe` with them. What a user should know goes to `setup.plan.warnings`, and later to `warn`. All
  /// that is referred to must outlive it.
  RunWriter(const TrainOptions& options, TrainSetup& setup, RunLock& lock, const std::string& recipe,
            std::function<void(const std::string&)> warn);

  /// Of the last record before the training was resumed; 0 for a new one.
  [[nodiscard]] double seconds_before() const { return metrics_->seconds_before(); }

  /// Takes the records back to those up to `step`.
  void go_back(std::uint64_t step);

  /// The newest; as made by default where there is none.
  [[nodiscard]] const MetricsRecord& last_record() const { return last_record_; }

  /// Gives the findings that are new with this record. With --checkpoint-failure warn a record that cannot be written
  /// is a warning.
  std::vector<Finding> write_record(const MetricsRecord& record);

  [[nodiscard]] const Findings& findings() const { return reported_.findings; }

  /// Draws the generator's images and writes them to RunFolder::sample(step); failures as with records.
  void write_grid(std::uint64_t step, std::uint64_t images_seen);

  /// Of the parameters and gradients as the last step has left them, for TensorBoard; failures as with records.
  void write_histograms();

  /// At every start: --sample-count may have changed. A report needs no data set for it then. Failures as with records.
  void write_real_grid();

  void write_page();

  /// What the ranks' time has gone to since this start (timing_text() of them), behind that of the newest starts
  /// before.
  void write_timing(const std::string& ranks);

  /// The final weights, with what they are of as metadata. The generator's come last: where they are, the run has
  /// ended.
  void write_weights(TensorFile& generator, TensorFile& discriminator, const Shown& shown);

 private:
  using Clock = std::chrono::steady_clock;

  void read_timing_of_before(std::vector<std::string>& warnings);
  void write_or_warn(const char* what, const std::function<void()>& write);
  void write_events(const std::function<void()>& write);
  void write_png(const std::filesystem::path& file, const std::vector<float>& images,
                 std::map<std::string, std::string> text) const;

  const TrainOptions& options_;
  const TrainSetup& setup_;
  RunLock& lock_;
  std::function<void(const std::string&)> warn_;
  RunFolder folder_;
  ReportedRun reported_;
  std::optional<MetricsLog> metrics_;
  std::optional<TensorBoardLog> tensorboard_;
  MetricsRecord last_record_;
  std::vector<RankTiming> earlier_timing_;  // of the starts before this one
  Sampler sampler_;
  Clock::time_point looked_;  // whether the run's folder is still ours
  std::set<std::string> warned_of_;
};

}  // namespace ganymede
