// RUN/metrics.jsonl: one JSON object per logged step.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ganymede/metrics.hpp"

namespace ganymede {

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
