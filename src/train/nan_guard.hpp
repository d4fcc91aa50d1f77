// What becomes of a training whose gradient is not finite: --on-nan. Every decision follows from reports that are the
// same on all ranks.
#pragma once

#include <cstdint>
#include <string>

#include "gan/step.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

class NanGuard {
 public:
  /// A row of steps without an update that a training is taken back for, and how often that is done.
  static constexpr std::uint64_t row_to_roll_back = 3;
  static constexpr std::uint64_t most_rollbacks = 3;
  /// What a training without roll-backs may skip in a row.
  static constexpr std::uint64_t row_to_give_up = 100;
  /// What a roll-back multiplies the learning rate with.
  static constexpr double rollback_factor = 0.5;

  /// `policy`: rollback, skip or stop.
  explicit NanGuard(std::string policy) : policy_(std::move(policy)) {}

  enum class Verdict {
    fine,
    skipped,    ///< updates of steps that were not known of before were not made; the training goes on
    roll_back,  ///< it goes back
    fail
  };
  Verdict judge(const GanStep::NotFinite& known);

  /// Whether a roll-back may be one step away: no state to come back to.
  [[nodiscard]] bool in_doubt(const GanStep::NotFinite& known) const {
    return policy_ == "rollback" && known.in_a_row > 0;
  }

  /// Before a failure, in words that go on; empty where nothing was.
  [[nodiscard]] std::string what_was_tried() const;

  [[nodiscard]] std::uint64_t rollbacks() const { return rollbacks_; }
  /// That a checkpoint knows of, or one more.
  void set_rollbacks(std::uint64_t rollbacks) {
    rollbacks_ = rollbacks;
    seen_ = 0;
  }

 private:
  std::string policy_;
  std::uint64_t seen_ = 0;  // of known.count
  std::uint64_t rollbacks_ = 0;
};

/// What to train again with after a failure, in words.
std::string steadier_options(const TrainOptions& options);

}  // namespace ganymede
