#include "gan/step_results.hpp"

#include <algorithm>
#include <cmath>

#include "core/heartbeat.hpp"
#include "gan/update_schedule.hpp"

namespace ganymede {
namespace {

// What the host fetches: the running sums, and the squared norms of the last gradients.
constexpr std::size_t sums_count = StepResults::discriminator_extras + StepResults::generator_extras;
constexpr std::size_t fetched_count = sums_count + 2;

}  // namespace

StepResults::StepResults(Device& device, const TrainOptions& options)
    : device_(&device),
      options_(&options),
      ahead_(device.steps_ahead()),
      running_(device, sums_count),
      fetched_(static_cast<std::size_t>(ahead_ + 2)),
      fetched_sums_(static_cast<double*>(device.allocate_host(fetched_.size() * fetched_count * sizeof(double)))),
      reports_(
          static_cast<StepReport*>(device.allocate_host(static_cast<std::size_t>(ahead_ + 1) * sizeof(StepReport)))) {}

StepResults::~StepResults() {
  device_->release_host(fetched_sums_);
  device_->release_host(reports_);
}

void StepResults::enqueued(bool means, SquaredNorms norms) {
  ++steps_;
  ++since_;
  if (means) fetch_sums(slot(steps_ - 1), norms);
  device_->mark(slot(steps_ - 1));
  if (steps_ - known_ > static_cast<std::uint64_t>(ahead_)) learn(known_ + 1);
}

void StepResults::set_steps(std::uint64_t steps) {
  settle();
  not_finite_ = {};
  for (Sums& sums : fetched_) sums = {};
  device_->zero(running_.data(), running_.bytes());
  steps_ = known_ = steps;
  since_ = 0;
}

void StepResults::settle() {
  while (known_ < steps_) learn(known_ + 1);
}

// Reads the report of a step, after waiting until the device has written it.
void StepResults::learn(std::uint64_t step) {
  {
    const heartbeat::Waiting waiting("the device's report");
    device_->await(slot(step - 1));
  }
  const StepReport& report = reports_[slot(step - 1)];
  known_ = step;
  ++own_time_.steps;
  own_time_.seconds += report.own_seconds;
  if (report.stop > 0) stop_agreed_ = true;
  const bool finite = std::isfinite(report.discriminator_squared_norm) && std::isfinite(report.generator_squared_norm);
  not_finite_.in_a_row = finite ? 0 : not_finite_.in_a_row + 1;
  not_finite_.longest = std::max(not_finite_.longest, not_finite_.in_a_row);
  if (finite) return;
  ++not_finite_.count;
  not_finite_.last = step;
}

// Begins to: they have come when this point has been awaited.
void StepResults::fetch_sums(int to, SquaredNorms norms) {
  double* host = fetched_sums_ + static_cast<std::size_t>(to) * fetched_count;
  device_->fetch(host, running_.data(), running_.bytes());
  device_->zero(running_.data(), running_.bytes());
  device_->fetch(host + sums_count, norms.discriminator, sizeof(double));
  device_->fetch(host + sums_count + 1, norms.generator, sizeof(double));
  fetched_[static_cast<std::size_t>(to)] = {
      steps_,
      static_cast<double>(discriminator_updates(*options_, steps_) - discriminator_updates(*options_, steps_ - since_)),
      static_cast<double>(since_)};
  since_ = 0;
}

StepMeans StepResults::means_of(int slot) const {
  const Sums& of = fetched_[static_cast<std::size_t>(slot)];
  const double* sums = fetched_sums_ + static_cast<std::size_t>(slot) * fetched_count;
  StepMeans means;
  means.discriminator_loss = sums[LossSums::loss] / of.discriminator_updates;
  means.generator_loss = sums[discriminator_extras + LossSums::loss] / of.generator_updates;
  means.penalty = sums[LossSums::penalty] / of.discriminator_updates;
  means.real_accuracy = sums[LossSums::real_right] / of.discriminator_updates;
  means.fake_accuracy = sums[LossSums::fake_right] / of.discriminator_updates;
  means.real_score = sums[LossSums::real_score] / of.discriminator_updates;
  means.fake_score = sums[LossSums::fake_score] / of.discriminator_updates;
  means.discriminator_gradient_norm = std::sqrt(sums[sums_count]);
  means.generator_gradient_norm = std::sqrt(sums[sums_count + 1]);
  return means;
}

std::optional<StepResults::MeansUntil> StepResults::take_wanted_means() {
  Sums* oldest = nullptr;
  for (Sums& each : fetched_)
    if (each.step > 0 && each.step <= known_ && (oldest == nullptr || each.step < oldest->step)) oldest = &each;
  if (oldest == nullptr) return {};
  const MeansUntil taken{oldest->step, means_of(static_cast<int>(oldest - fetched_.data()))};
  *oldest = {};
  return taken;
}

StepMeans StepResults::take_means(SquaredNorms norms) {
  settle();
  const int at = ahead_ + 1;
  fetch_sums(at, norms);
  device_->synchronize();
  fetched_[static_cast<std::size_t>(at)].step = 0;  // nobody is to take them again
  return means_of(at);
}

}  // namespace ganymede
