// A run's records as curves of bounded length, however long the run is.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ganymede/metrics.hpp"

namespace ganymede {

/// Takes records one by one. As soon as there are `most` points, each two neighbours become one: a point is the mean of
/// records_per_point() records, at the step of the last of them. A mean of which a part is not finite is not either.
class Curves {
 public:
  static constexpr std::size_t usual_most = 3000;

  /// `most`: an even number of points, 2 or more.
  explicit Curves(std::size_t most = usual_most) : most_(most) {}

  void add(const MetricsRecord& record);

  /// At most `most`. The last of them may be of fewer records than the others.
  [[nodiscard]] std::vector<MetricsRecord> points() const;
  [[nodiscard]] std::uint64_t records() const { return records_; }
  [[nodiscard]] std::uint64_t records_per_point() const { return records_per_point_; }

 private:
  std::size_t most_;
  std::uint64_t records_ = 0;
  std::uint64_t records_per_point_ = 1;
  std::vector<MetricsRecord> whole_;    // each of records_per_point_ records
  std::optional<MetricsRecord> begun_;  // the mean of the records since
  std::uint64_t begun_records_ = 0;
};

}  // namespace ganymede
