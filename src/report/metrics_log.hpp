// RUN/metrics.jsonl: one JSON object per logged step.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace ganymede {

/// The means over the steps since the last record.
struct MetricsRecord {
  std::uint64_t step = 0;         ///< steps completed
  std::uint64_t images_seen = 0;
  double epoch = 0;               ///< images_seen / images in the set
  double discriminator_loss = 0;  ///< without penalties
  double generator_loss = 0;
  double penalty = 0;             ///< the sum of gradient penalties in D's objective
  double real_accuracy = 0;       ///< share of real images with D(x) > 0, logits
  double fake_accuracy = 0;       ///< share of generated images with D(x) < 0
  double discriminator_gradient_norm = 0;  ///< of the last step, after the reduction
  double generator_gradient_norm = 0;
  double seconds = 0;             ///< since this process began to train
  double images_per_second = 0;   ///< over the interval
};

std::string to_json_line(const MetricsRecord& record);
MetricsRecord parse_json_line(const std::string& line);

/// Appends records to a file; a resumed run first drops what lies beyond its checkpoint's step, so the
/// file never shows a step twice.
class MetricsLog {
 public:
  /// Opens RUN/metrics.jsonl, keeping records up to and including `from_step`.
  MetricsLog(const std::filesystem::path& file, std::uint64_t from_step);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;
  void append(const MetricsRecord& record);

 private:
  int file_ = -1;
  std::filesystem::path path_;
};

/// All records of a run's file.
std::vector<MetricsRecord> read_metrics(const std::filesystem::path& file);

}  // namespace ganymede
