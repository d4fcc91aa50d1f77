// See curves.hpp.
#include "report/curves.hpp"

#include "report/metrics_log.hpp"

namespace ganymede {
namespace {

/// The mean of `earlier`, which is of `weight` records, and one of `other_weight` records that follow them.
MetricsRecord mean(const MetricsRecord& earlier, std::uint64_t weight, const MetricsRecord& later,
                   std::uint64_t other_weight) {
  MetricsRecord result = later;
  const double share = static_cast<double>(other_weight) / static_cast<double>(weight + other_weight);
  for (const MetricsField& field : metrics_fields())
    result.*field.member = (1 - share) * (earlier.*field.member) + share * (later.*field.member);
  // Where it stands, not what it is.
  result.epoch = later.epoch;
  result.seconds = later.seconds;
  result.diagnosed_step = later.diagnosed_step;
  result.evaluated_step = later.evaluated_step;
  return result;
}

}  // namespace

void Curves::add(const MetricsRecord& record) {
  ++records_;
  begun_ = begun_ ? mean(*begun_, begun_records_, record, 1) : record;
  if (++begun_records_ < records_per_point_) return;
  whole_.push_back(*begun_);
  begun_.reset();
  begun_records_ = 0;
  if (whole_.size() < most_) return;
  for (std::size_t i = 0; i < most_ / 2; ++i) whole_[i] = mean(whole_[2 * i], 1, whole_[2 * i + 1], 1);
  whole_.resize(most_ / 2);
  records_per_point_ *= 2;
}

std::vector<MetricsRecord> Curves::points() const {
  std::vector<MetricsRecord> result = whole_;
  if (begun_) result.push_back(*begun_);
  return result;
}

}  // namespace ganymede
