// One training step: D's updates, then G's, and what is measured on the way.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "gan/gan.hpp"
#include "gan/gradient_sum.hpp"
#include "gan/r1_penalty.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/dataset.hpp"
#include "ganymede/options.hpp"
#include "math/philox.hpp"

namespace ganymede {

/// This rank's rows of the global batch, cut into its virtual shards.
struct BatchShare {
  int first_row = 0;
  std::vector<int> shard_begin;  ///< relative to first_row
  [[nodiscard]] int rows() const { return shard_begin.back(); }
};

/// By default each rank takes ⌊rB/R⌋ … ⌊(r+1)B/R⌋-1 as one shard; exact: of V shards, shard s holding
/// samples ⌊sB/V⌋ … ⌊(s+1)B/V⌋-1, rank r takes shards ⌊rV/R⌋ … ⌊(r+1)V/R⌋-1. Throws Error(usage) when a
/// rank would get nothing.
BatchShare share_of_batch(int batch, int rank, int size, bool exact, int shards);

/// Where a step's time goes.
enum class Phase {
  data,
  noise,
  generator_forward,
  discriminator_forward,
  loss,
  penalty,
  discriminator_backward,
  generator_backward,
  reduction,
  update,
  count
};
const char* phase_name(Phase phase);

/// Adds up wall time by phase; a step without one measures nothing.
class PhaseClock {
 public:
  void restart() { last_ = std::chrono::steady_clock::now(); }
  /// The time since the last mark belongs to `phase`.
  void mark(Phase phase) {
    const auto now = std::chrono::steady_clock::now();
    seconds_[static_cast<std::size_t>(phase)] += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }
  [[nodiscard]] double seconds(Phase phase) const { return seconds_[static_cast<std::size_t>(phase)]; }
  void clear() { seconds_ = {}; }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  std::array<double, static_cast<std::size_t>(Phase::count)> seconds_{};
};

/// Means over the steps since they were last taken; global over ranks, the same on all.
struct StepMeans {
  double discriminator_loss = 0;
  double generator_loss = 0;
  double penalty = 0;
  double real_accuracy = 0;
  double fake_accuracy = 0;
  double discriminator_gradient_norm = 0;  ///< of the last step
  double generator_gradient_norm = 0;
};

class GanStep {
 public:
  /// `gan`, `device`, `ranks` and `images` must outlive the step. Allocates all that a step needs.
  GanStep(Device& device, Communicator& ranks, Gan& gan, const ImageSet& images, const TrainOptions& options);

  /// Runs one step. `stop`: this rank has been asked to stop.
  void run(bool stop);

  /// True when any rank had been asked to stop before the last step; the same on every rank.
  [[nodiscard]] bool stop_agreed() const;
  /// False when a gradient of the last step was not finite (that update was then not made).
  [[nodiscard]] bool finite() const { return finite_; }

  /// Steps completed; setting it is how a training is resumed.
  [[nodiscard]] std::uint64_t steps() const { return completed_; }
  void set_steps(std::uint64_t steps);

  /// Takes the means gathered since the last call.
  StepMeans take_means();

  /// Measures phases from now on; null to stop.
  void measure(PhaseClock* clock) { clock_ = clock; }

  /// Floating-point operations of this rank's matrix products in one step.
  [[nodiscard]] double flops() const;

 private:
  void discriminator_gradient(int repetition);
  void update_discriminator();
  void start_generator(math::Stream stream, int repetition);
  void generator_gradient(int first_row);
  void update_generator();
  void check_finite(const GradientSum& sum);
  void mark(Phase phase) {
    if (clock_ != nullptr) clock_->mark(phase);
  }

  Device* device_;
  Gan* gan_;
  const ImageSet* images_;
  int batch_;
  int d_steps_;
  bool simultaneous_;
  int loss_;
  float ema_;
  std::uint64_t seed_;
  BatchShare share_;
  BatchLayout one_;   // fake alone, or real alone
  BatchLayout both_;  // real above fake
  std::optional<R1Penalty> r1_;

  DeviceArray<float> x_;  // D's input [2·rows, pixels]: real above fake
  DeviceArray<float> z_;  // G's input [rows, latent]
  Tape generator_tape_;
  Tape discriminator_tape_;
  GradientSum discriminator_sum_;
  GradientSum generator_sum_;

  std::uint64_t completed_ = 0;
  DeviceArray<std::uint64_t> step_;                // completed_, where draws read it
  DeviceArray<std::uint64_t> discriminator_step_;  // D's updates made
  DeviceArray<double> running_;                    // sums of the extras since take_means()
  std::uint64_t since_ = 0;
  bool finite_ = true;
  PhaseClock* clock_ = nullptr;
};

}  // namespace ganymede
