// RUN/metrics.jsonl: one JSON object per logged step.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/files.hpp"
#include "ganymede/metrics.hpp"

namespace ganymede {

/// A number of a record by the name that metrics.jsonl has for it.
struct MetricsField {
  const char* key;
  double MetricsRecord::*member;
  bool evaluation = false;  ///< of an evaluation: a line has it where it was measured
  bool whole = false;       ///< a number of something, or of a step: written without a fraction
};

/// In the order in which a line shows them, behind step and images_seen.
std::span<const MetricsField> metrics_fields();

/// The field's value in the record: of a whole one its digits, else the shortest text that reads back as the same
/// double; "null" where it is not finite, as JSON has no such numbers.
std::string value_text(const MetricsRecord& record, const MetricsField& field);

std::string to_json_line(const MetricsRecord& record);
MetricsRecord parse_json_line(const std::string& line);

/// Appends records to a file; a resumed run first drops what lies beyond its checkpoint's step, so the
/// file never shows a step twice. Where a line is no record, the file is kept aside as metrics.jsonl.damaged and goes
/// on with the lines before that one; where it has more than 1 GiB, with none.
class MetricsLog {
 public:
  /// Opens RUN/metrics.jsonl, keeping records up to and including `from_step`; calls `kept`, if it is there, with each.
  MetricsLog(const std::filesystem::path& file, std::uint64_t from_step,
             const std::function<void(const MetricsRecord&)>& kept = {});
  void append(const MetricsRecord& record);

  /// What was wrong with the file that was found and what became of it; empty when nothing was.
  [[nodiscard]] const std::string& warning() const { return warning_; }
  /// `seconds` of the last record that was kept; 0 where there is none.
  [[nodiscard]] double seconds_before() const { return seconds_before_; }

 private:
  std::optional<AppendedFile> file_;
  std::string warning_;
  double seconds_before_ = 0;
};

/// All records of a run's file. Throws Error(data) that names the line that is none, or a size of more than 1 GiB.
std::vector<MetricsRecord> read_metrics(const std::filesystem::path& file);

/// The same for whoever can do with less: those before the line that is none, of which `damage` says why (empty: all).
std::vector<MetricsRecord> read_metrics(const std::filesystem::path& file, std::string& damage);

}  // namespace ganymede
