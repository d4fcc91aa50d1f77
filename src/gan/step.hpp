// One training step: D's updates, then G's, and what is measured on the way.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "gan/batch_share.hpp"
#include "gan/gan.hpp"
#include "gan/gradient_penalty.hpp"
#include "gan/gradient_sum.hpp"
#include "gan/phases.hpp"
#include "gan/step_flops.hpp"
#include "gan/step_results.hpp"
#include "gan/update_schedule.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/dataset.hpp"
#include "ganymede/options.hpp"
#include "math/philox.hpp"

namespace ganymede {

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

  // What is known of steps by now: see StepResults.
  void settle() { results_.settle(); }
  [[nodiscard]] bool stop_agreed() const { return results_.stop_agreed(); }
  using NotFinite = StepResults::NotFinite;
  [[nodiscard]] const NotFinite& not_finite() const { return results_.not_finite(); }
  [[nodiscard]] bool finite() const { return not_finite().count == 0; }
  using OwnTime = StepResults::OwnTime;
  OwnTime take_own_time() { return results_.take_own_time(); }
  using MeansUntil = StepResults::MeansUntil;
  std::optional<MeansUntil> take_wanted_means() { return results_.take_wanted_means(); }
  StepMeans take_means() { return results_.take_means(squared_norms(last_kind())); }

  /// Of this rank's images of a batch, those that go through the networks at a time.
  [[nodiscard]] int rows() const { return most_rows_; }

  /// Steps run.
  [[nodiscard]] std::uint64_t steps() const { return results_.steps(); }
  /// How a training is resumed, or goes back, once its networks and optimisers are as they were then. Constants of the
  /// optimisers are read anew.
  void set_steps(std::uint64_t steps);

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

  /// step_flops() of this rank's part of the batch.
  [[nodiscard]] double flops() const { return step_flops(*gan_, options_, share_.rows()); }

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
  void logits_for_discriminator(const Slice& slice, int repetition, const PenaltyParts& penalised);
  void logits_for_generator(const Slice& slice);
  void set_draws(math::Stream first_part, StepCount first);
  void discriminate(const Slice& slice, Part first, Part last);
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
  /// Of the step that was run last; before the first, of that.
  [[nodiscard]] StepKind last_kind() const { return step_kind(options_, steps() == 0 ? 0 : steps() - 1); }
  [[nodiscard]] StepResults::SquaredNorms squared_norms(StepKind kind) const;

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
  StepResults results_;
  // Steps that were run, and D's updates in as many: where draws and updates read them.
  DeviceArray<std::uint64_t> counters_;
  FallingDeviation noise_;                                          // on all images that D sees
  std::uint32_t* stop_flag_;                                        // host memory that the device reads
  std::array<std::unique_ptr<Routine>, StepKind::count> routines_;  // by kind
  PhaseClock* clock_ = nullptr;
};

}  // namespace ganymede
