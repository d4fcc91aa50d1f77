// One training step: D's updates, then G's, and what is measured on the way.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/heartbeat.hpp"
#include "gan/batch_share.hpp"
#include "gan/gan.hpp"
#include "gan/gradient_penalty.hpp"
#include "gan/gradient_sum.hpp"
#include "gan/update_schedule.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/dataset.hpp"
#include "ganymede/options.hpp"
#include "math/philox.hpp"

namespace ganymede {

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
  discriminator_reduction,
  generator_reduction,
  update,
  count
};
const char* phase_name(Phase phase);

/// Adds up wall time by phase; a step without one measures nothing.
class PhaseClock {
 public:
  /// From now on time belongs to `phase`; Phase::count: to none.
  void enter(Phase phase) {
    const auto now = std::chrono::steady_clock::now();
    const std::uint64_t waited = heartbeat::pulse().waited.load(std::memory_order_relaxed);
    if (phase_ != Phase::count) {
      seconds_[static_cast<std::size_t>(phase_)] += std::chrono::duration<double>(now - since_).count();
      waited_[static_cast<std::size_t>(phase_)] += waited - waited_before_;
    }
    since_ = now;
    waited_before_ = waited;
    phase_ = phase;
  }
  [[nodiscard]] double seconds(Phase phase) const { return seconds_[static_cast<std::size_t>(phase)]; }
  /// The part of it in which this rank waited for others.
  [[nodiscard]] double seconds_waited(Phase phase) const {
    return 1e-9 * static_cast<double>(waited_[static_cast<std::size_t>(phase)]);
  }

 private:
  std::chrono::steady_clock::time_point since_;
  std::uint64_t waited_before_ = 0;
  Phase phase_ = Phase::count;
  std::array<double, static_cast<std::size_t>(Phase::count)> seconds_{};
  std::array<std::uint64_t, static_cast<std::size_t>(Phase::count)> waited_{};  // nanoseconds
};

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

class GanStep {
 public:
  /// `gan`, `device`, `ranks` and `images` must outlive the step. Allocates all that a step needs. Instance noise
  /// falls over options.steps, which then say how long the training is. Collective.
  GanStep(Device& device, Communicator& ranks, Gan& gan, const ImageSet& images, const TrainOptions& options);
  GanStep(const GanStep&) = delete;
  GanStep& operator=(const GanStep&) = delete;
  ~GanStep();

  /// Runs one step. `stop`: this rank has been asked to stop. The device may still be at work when it returns, up to
  /// Device::steps_ahead() steps behind, and what the next functions say is then of that many steps ago. `means`: those
  /// of the steps since the last are wanted.
  void run(bool stop, bool means = false);
  /// Waits for all steps that were run, and learns of them.
  void settle();

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
  [[nodiscard]] bool finite() const { return not_finite_.count == 0; }

  /// Of this rank's images of a batch, those that go through the networks at a time.
  [[nodiscard]] int rows() const { return most_rows_; }
  /// What this rank took for steps, without waiting for the others' parts of sums: those steps that have become known
  /// since this was last asked.
  struct OwnTime {
    std::uint64_t steps = 0;
    double seconds = 0;
  };
  OwnTime take_own_time() { return std::exchange(own_time_, {}); }

  /// Steps run.
  [[nodiscard]] std::uint64_t steps() const { return completed_; }
  /// How a training is resumed, or goes back, once its networks and optimisers are as they were then. Constants of the
  /// optimisers are read anew.
  void set_steps(std::uint64_t steps);

  /// The oldest means that were wanted and are known by now, each once, before the next run(). What they are of: the
  /// steps up to this one.
  struct MeansUntil {
    std::uint64_t step = 0;
    StepMeans means;
  };
  std::optional<MeansUntil> take_wanted_means();
  /// Waits for all steps, and takes the means of those since the last.
  StepMeans take_means();

  /// The gradients, summed over the ranks, that the last step's (last) updates were made of; zeros before the first.
  struct Gradients {
    std::vector<float> discriminator;
    std::vector<float> generator;
  };
  /// For after settle().
  [[nodiscard]] Gradients gradients() const;

  /// Measures phases from now on; null to stop. A measured step waits for the device at every phase.
  void measure(PhaseClock* clock) { clock_ = clock; }

  /// Kernels and copies of one step, once a GPU has recorded it; else 0.
  [[nodiscard]] int recorded() const;

  /// Floating-point operations of this rank's matrix products in one step: the mean over the steps of a training.
  [[nodiscard]] double flops() const;

 private:
  /// Parts of D's input, in the order in which they lie there.
  enum Part { between = -1, real, fake, own };

  void make_routines();
  void enqueue(StepKind kind);
  void alternate(int updates, const PenaltyParts& penalised);
  void update_together(const PenaltyParts& penalised);
  void draw_for_discriminator(const Slice& slice, int repetition, bool with_own);
  void draw_for_generator(const Slice& slice, int repetition);
  void draw_real(const Slice& slice, int repetition);
  void draw_noise(const Slice& slice, math::Stream stream, StepCount first, int generator_part);
  void add_noise(const Slice& slice, math::Stream stream, StepCount first, const float* clean, Part part);
  void gather_labels(const Slice& slice, StepCount first, Part part);
  void copy_labels(const Slice& slice, Part to);
  void generate(const Slice& slice, int parts);
  void judge_for_discriminator(const Slice& slice, int repetition, const PenaltyParts& penalised);
  void judge_for_generator(const Slice& slice);
  void set_draws(math::Stream first_part, StepCount first);
  void judge(const Slice& slice, Part first, Part last);
  void discriminator_gradient(const Slice& slice, const PenaltyParts& penalised);
  void generator_gradient(const Slice& slice, int discriminator_part, int generator_part);
  void update_discriminator(int repetition);
  void begin_generator_sum();
  void update_generator();
  void end_step(int updates);
  [[nodiscard]] StepCount discriminator_sample(const Slice& slice, int repetition) const;
  [[nodiscard]] StepCount generator_sample(const Slice& slice) const;
  /// Where a slice's part of D's input begins, and its classes; null where networks are not told any.
  [[nodiscard]] std::ptrdiff_t first_image(const Slice& slice, Part part) const {
    const int before = penalties_ && penalties_->parts().between ? 1 : 0;
    return static_cast<std::ptrdiff_t>(before + part) * slice.rows();
  }
  [[nodiscard]] float* images(const Slice& slice, Part part) {
    return x_.data() + first_image(slice, part) * image_size_;
  }
  [[nodiscard]] std::uint8_t* labels(const Slice& slice, Part part) {
    return labels_.size() == 0 ? nullptr : labels_.data() + first_image(slice, part);
  }
  /// A part of the images that G has generated, as it has made them: D may see them under noise.
  [[nodiscard]] float* generated(const Slice& slice, int generator_part) {
    float* first = noise_.start > 0 ? generator_tape_.output() : images(slice, fake);
    return first + static_cast<std::ptrdiff_t>(generator_part) * slice.rows() * image_size_;
  }
  [[nodiscard]] bool is_first(const Slice& slice) const { return &slice == slices_.data(); }
  void enter(Phase phase);
  void learn(std::uint64_t step);
  void fetch_sums(int to);
  StepMeans means_of(int slot) const;
  [[nodiscard]] int slot(std::uint64_t step) const {
    return static_cast<int>(step % static_cast<std::uint64_t>(ahead_ + 1));
  }

  Device* device_;
  Gan* gan_;
  ImageSet images_;
  int image_size_;
  TrainOptions options_;
  GanLoss loss_;
  float ema_;
  BatchShare share_;
  std::vector<Slice> slices_;  // of it, in order
  int most_rows_;              // of a slice
  bool alone_;                 // one rank: nobody to agree with
  bool simultaneous_;
  bool generator_sees_real_;
  // Alternating, G's weights are the same for D's fakes and for its own: where no sum over ranks is there to hide the
  // second forward pass behind, one pass makes both. (Not where D is to see G's fakes right behind real images, or
  // where the next slice needs the room.)
  bool one_generator_pass_;
  std::optional<GradientPenalties> penalties_;

  DeviceArray<std::uint8_t> image_copy_;  // where the device cannot read the host's
  DeviceArray<std::uint8_t> label_copy_;
  // Of one slice at a time. D's input, parts of [rows, image_size_]: with such a penalty points between images, then
  // real images, generated ones, and with one G pass G's own.
  DeviceArray<float> x_;
  DeviceArray<std::uint8_t> labels_;  // of the rows of x_; generated images have those of the real ones beside them
  DeviceArray<float> z_;              // G's input [rows or 2·rows, latent]
  Tape generator_tape_;
  Tape discriminator_tape_;
  GradientSum discriminator_sum_;
  GradientSum generator_sum_;

  std::uint64_t completed_ = 0;
  std::uint64_t known_ = 0;  // steps whose reports have been read
  // completed_, and D's updates in as many steps: where draws and updates read them
  DeviceArray<std::uint64_t> counters_;
  FallingDeviation noise_;       // on all images that D sees
  DeviceArray<double> running_;  // sums of the extras since means were taken or wanted
  std::uint64_t since_ = 0;      // steps since then
  int ahead_;
  // Sums on their way to the host: those that were wanted with a step in its slot, those taken at once in the last.
  struct Sums {
    std::uint64_t step = 0;  // 0: none
    double discriminator_updates = 0;
    double generator_updates = 0;
  };
  std::vector<Sums> fetched_;  // [ahead_ + 2]
  double* fetched_sums_;       // [ahead_ + 2][fetched_count], host memory that the device writes
  StepReport* reports_;        // [ahead_ + 1], host memory that the device writes
  std::uint32_t* stop_flag_;   // host memory that the device reads
  std::array<std::unique_ptr<Routine>, StepKind::count> routines_;  // by kind
  bool stop_agreed_ = false;
  NotFinite not_finite_;
  OwnTime own_time_;
  PhaseClock* clock_ = nullptr;
};

}  // namespace ganymede
