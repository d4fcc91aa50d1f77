#include "train/records.hpp"

#include <algorithm>

#include "gan/losses.hpp"
#include "gan/update_schedule.hpp"
#include "math/optimizer/schedules.hpp"

namespace ganymede {
namespace {

// Of update number `update`, counted from 0.
double learning_rate(const Optimizer& optimizer, std::uint64_t update) {
  const OptimizerConstants& c = optimizer.constants();
  return c.learning_rate * math::schedule_factor(c.schedule, update, c.schedule.updates);
}

}  // namespace

void Records::begin() {
  began_ = interval_began_ = Clock::now();
  interval_step_ = setup_.step->steps();
}

void Records::go_back(const MetricsRecord& last) {
  newest_ = last;
  interval_step_ = setup_.step->steps();
  interval_began_ = Clock::now();
}

void Records::add(const GanStep::MeansUntil& until) {
  const auto now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - interval_began_).count();
  const std::uint64_t step = until.step;
  const StepMeans& means = until.means;
  newest_.step = step;
  newest_.images_seen = images_seen(step);
  newest_.epoch = static_cast<double>(newest_.images_seen) / setup_.dataset.train().count;
  newest_.discriminator_loss = means.discriminator_loss;
  newest_.generator_loss = means.generator_loss;
  newest_.penalty = means.penalty;
  newest_.real_accuracy = means.real_accuracy;
  newest_.fake_accuracy = means.fake_accuracy;
  newest_.real_score = means.real_score;
  newest_.fake_score = means.fake_score;
  if (loss_estimates_distance(loss_index(options_.loss)))
    newest_.wasserstein_estimate = means.real_score - means.fake_score;
  newest_.discriminator_gradient_norm = means.discriminator_gradient_norm;
  newest_.generator_gradient_norm = means.generator_gradient_norm;
  newest_.discriminator_learning_rate =
      learning_rate(*setup_.gan->discriminator_optimizer, discriminator_updates(options_, step) - 1);
  newest_.generator_learning_rate = learning_rate(*setup_.gan->generator_optimizer, step - 1);
  newest_.seconds = seconds_before_ + std::chrono::duration<double>(now - began_).count();
  newest_.images_per_second = static_cast<double>(newest_.images_seen - images_seen(interval_step_)) / seconds;
  interval_began_ = now;
  interval_step_ = step;
}

double Records::seconds_left() const {
  const std::uint64_t first = setup_.plan.first_step;
  // A roll-back may lead to before the beginning.
  const double done = static_cast<double>(std::max(newest_.step, first + 1) - first);
  return (newest_.seconds - seconds_before_) / done * static_cast<double>(setup_.plan.steps - newest_.step);
}

}  // namespace ganymede
