// See nan_guard.hpp.
#include "train/nan_guard.hpp"

#include "gan/gradient_penalty.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

// Whether there is no penalty, and could be one.
bool r1_would_be_new(const TrainOptions& options) {
  if (has_penalties(options)) return false;
  TrainOptions penalised = options;
  penalised.r1 = 5;
  try {
    check_train_options(penalised);
  } catch (const Error&) {
    return false;
  }
  return true;
}

}  // namespace

NanGuard::Verdict NanGuard::judge(const GanStep::NotFinite& known) {
  if (known.count == seen_) return Verdict::fine;
  seen_ = known.count;
  if (policy_ == "stop") return Verdict::fail;
  if (policy_ == "skip") return known.longest < row_to_give_up ? Verdict::skipped : Verdict::fail;
  if (known.longest < row_to_roll_back) return Verdict::skipped;
  return rollbacks_ < most_rollbacks ? Verdict::roll_back : Verdict::fail;
}

std::string NanGuard::what_was_tried() const {
  if (policy_ == "skip") return "nor that of the " + std::to_string(row_to_give_up - 1) + " before it, ";
  if (rollbacks_ == 0) return "";
  return "nor did it help to go back " + std::to_string(rollbacks_) + " times and halve the learning rate each time, ";
}

std::string steadier_options(const TrainOptions& options) {
  const bool own_rates = options.generator_learning_rate > 0 && options.discriminator_learning_rate > 0;
  return std::string(own_rates ? "smaller --generator-learning-rate and --discriminator-learning-rate"
                               : "a smaller --learning-rate") +
         (r1_would_be_new(options) ? " or with --r1 5" : "") +
         (options.reproducible ? "; or without --reproducible, whose sums hold no element of 1024 or more" : "");
}

}  // namespace ganymede
