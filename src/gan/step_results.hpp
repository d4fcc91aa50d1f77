// What steps tell the host, without its waiting for them: a short report of each, some steps late on a GPU, and running
// sums that become means when somebody wants them.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "ganymede/device.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

/// Means over the steps since they were last taken; global over ranks, the same on all.
struct StepMeans {
  double discriminator_loss = 0;
  double generator_loss = 0;
  double penalty = 0;
  double real_accuracy = 0;
  double fake_accuracy = 0;
  double real_score = 0;  ///< D's output, logits
  double fake_score = 0;
  double discriminator_gradient_norm = 0;  ///< of the last step
  double generator_gradient_norm = 0;
};

class StepResults {
 public:
  /// How many sums travel behind each network's gradient: those of its loss and, behind G's, how many ranks have been
  /// asked to stop.
  static constexpr std::size_t discriminator_extras = LossSums::count;
  static constexpr std::size_t generator_stop = LossSums::count;
  static constexpr std::size_t generator_extras = generator_stop + 1;

  /// Both must outlive it.
  StepResults(Device& device, const TrainOptions& options);
  StepResults(const StepResults&) = delete;
  StepResults& operator=(const StepResults&) = delete;
  /// The device must have done what it was asked to.
  ~StepResults();

  /// Where the device adds up D's extras, then G's.
  [[nodiscard]] double* running() { return running_.data(); }
  /// Where it writes the steps' reports, one behind the other: memory of the host.
  [[nodiscard]] StepReport* reports() { return reports_; }
  [[nodiscard]] int report_count() const { return ahead_ + 1; }

  /// ‖gradient‖² of both networks' last updates in a step, on the device.
  struct SquaredNorms {
    const double* discriminator;
    const double* generator;
  };
  /// A step has been given to the device; waits for the one that is Device::steps_ahead() + 1 before it. `means`: those
  /// of the steps since the last are wanted.
  void enqueued(bool means, SquaredNorms norms);
  /// Waits for all of them, and learns of them.
  void settle();
  /// Whether nothing is left to learn.
  [[nodiscard]] bool settled() const { return known_ == steps_; }

  /// Steps given to the device.
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  /// Begins anew behind that many. What is under way is waited for.
  void set_steps(std::uint64_t steps);

  /// True once any rank had been asked to stop before a step that is known of; the same on every rank.
  [[nodiscard]] bool stop_agreed() const { return stop_agreed_; }
  /// What is known of steps with a gradient that was not finite, so that its update was not made.
  struct NotFinite {
    std::uint64_t count = 0;     ///< since the training began, was resumed or went back
    std::uint64_t last = 0;      ///< the last such step, counted from 1; 0: none
    std::uint64_t in_a_row = 0;  ///< up to the newest step that is known of
    std::uint64_t longest = 0;   ///< row of them
  };
  [[nodiscard]] const NotFinite& not_finite() const { return not_finite_; }

  /// What this rank took for steps, without waiting for the others' parts of sums: those steps that have become known
  /// since this was last asked.
  struct OwnTime {
    std::uint64_t steps = 0;
    double seconds = 0;
  };
  OwnTime take_own_time() { return std::exchange(own_time_, {}); }

  /// The oldest means that were wanted and are known by now, each once, before the next step. What they are of: the
  /// steps up to this one.
  struct MeansUntil {
    std::uint64_t step = 0;
    StepMeans means;
  };
  std::optional<MeansUntil> take_wanted_means();
  /// Waits for all steps, and takes the means of those since the last.
  StepMeans take_means(SquaredNorms norms);

 private:
  void learn(std::uint64_t step);
  void fetch_sums(int to, SquaredNorms norms);
  [[nodiscard]] StepMeans means_of(int slot) const;
  [[nodiscard]] int slot(std::uint64_t step) const {
    return static_cast<int>(step % static_cast<std::uint64_t>(ahead_ + 1));
  }

  Device* device_;
  const TrainOptions* options_;
  int ahead_;
  std::uint64_t steps_ = 0;
  std::uint64_t known_ = 0;      // steps whose reports have been read
  DeviceArray<double> running_;  // since means were taken or wanted
  std::uint64_t since_ = 0;      // steps since then
  // Sums on their way to the host: those that were wanted with a step in its slot, those taken at once in the last.
  struct Sums {
    std::uint64_t step = 0;  // 0: none
    double discriminator_updates = 0;
    double generator_updates = 0;
  };
  std::vector<Sums> fetched_;  // [ahead_ + 2]
  double* fetched_sums_;       // [ahead_ + 2][fetched_count], host memory that the device writes
  StepReport* reports_;        // [ahead_ + 1], host memory that the device writes
  bool stop_agreed_ = false;
  NotFinite not_finite_;
  OwnTime own_time_;
};

}  // namespace ganymede
