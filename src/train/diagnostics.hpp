// What a training measures of itself now and then, at little cost: whether samples are as varied as real images, how
// steep D is, how far an update goes. What follows from it in words: src/report/findings.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eval/judge.hpp"
#include "gan/gan.hpp"
#include "gan/sampler.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/dataset.hpp"
#include "ganymede/metrics.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

/// Replicas are alike, so that the ranks share the work: each looks at its part of the images and of the parameters.
/// What is measured does not depend on how many they are.
class Diagnostics {
 public:
  /// Images of each kind that are looked at.
  static constexpr int samples = 128;
  /// Real images of the training and held-out ones that D's outputs are compared on.
  static constexpr std::uint32_t compared = 512;

  /// What they take of the GAN's device.
  struct Workspace {
    /// For this rank of as many.
    Workspace(const TrainOptions& options, const Gan& gan, const Communicator& ranks);
    Sampler sampler;
    Tape tape;  ///< of D
    DeviceArray<float> x;
    DeviceArray<float> y;
    DeviceArray<float> gradient;       ///< empty where D has no slope
    DeviceArray<std::uint8_t> labels;  ///< empty without classes
  };

  /// `gan` and `ranks` must outlive it; `images` are the training's, `held_out` others like them, or none. `digits`:
  /// they are MNIST's, so that the shipped judge knows them. Collective.
  Diagnostics(const TrainOptions& options, Gan& gan, const ImageSet& images, const ImageSet& held_out, bool digits,
              Communicator& ranks);

  /// What is missing from them, and why; empty where nothing is. The same on every rank.
  [[nodiscard]] const std::string& warning() const { return warning_; }

  /// Keeps the parameters, for how far the next step takes them.
  void before_step(std::uint64_t steps);
  /// Fills in the record's part, on every rank. `steps`: how many have been made, as before_step() counts them.
  /// Collective.
  void measure(std::uint64_t steps, MetricsRecord& record);

 private:
  /// Sums over D's outputs for images in evaluation.
  struct Scores {
    double sum = 0;
    double squares = 0;
    Scores& operator+=(const Scores& other);
  };
  /// Of a step: Σ (after - before)² and Σ before² over parameters.
  struct Change {
    double squared = 0;
    double squared_before = 0;
    Change& operator+=(const Change& other);
  };
  /// What is measured of one of the `samples`, and of as large a part of all else. Ranks send each other these, and add
  /// them up in one order.
  struct Part {
    double real_slope = 0;
    double fake_slope = 0;
    Scores generated;
    Scores seen;
    Scores held_out;
    std::array<double, eval::Judge::classes> classes{};  // how many of its channels show each
    Change discriminator;
    Change generator;
    Part& operator+=(const Part& other);
  };
  /// The part of `all` things that belongs to part number `part`.
  struct Range {
    std::uint64_t first;
    std::uint64_t count;
  };
  static Range range(std::uint64_t all, int part);
  /// That of all of this rank's parts.
  [[nodiscard]] Range own(std::uint64_t all) const;

  /// This rank's parameters of a network.
  [[nodiscard]] std::vector<float> parameters(const Network& network) const;
  /// Makes images `at` … at+count-1 of `images`, of which the first is number `number` of its kind, D's input.
  void show(const std::vector<float>& images, std::uint64_t number, int at, int count);
  /// ‖∇D‖ at each of this rank's samples.
  void slopes(const std::vector<float>& images, double Part::*to);
  void score(const std::vector<float>& images, std::uint64_t all, Scores Part::*to);
  void count_classes(const std::vector<float>& images);
  void compare(const Network& network, const std::vector<float>& before, Change Part::*to);
  /// All ranks' parts, added up.
  Part gathered();
  /// Σ over the pixels of their variance over all ranks' images; where networks are told the class, about their class's
  /// mean, as a G that draws one image of each would seem varied otherwise.
  double total_variance(const std::vector<float>& images);
  static double held_out_gap(const Part& all, std::uint64_t compared);

  const TrainOptions& options_;
  Gan& gan_;
  Communicator& ranks_;
  int first_;               // of this rank's parts
  int count_;               // may be 0
  std::size_t image_size_;  // values
  std::size_t groups_;      // of images whose variety is measured: classes, if there are enough images of each
  Workspace work_;
  std::vector<float> real_;  // [count_, height, width, channels]
  double real_variance_;
  std::uint64_t compared_;   // images of each of these, on all ranks:
  std::vector<float> seen_;  // the training's
  std::vector<float> held_out_;
  std::unique_ptr<Device> judges_device_;
  std::optional<eval::Judge> judge_;
  std::string warning_;
  std::vector<Part> parts_;  // this rank's
  std::vector<float> discriminator_before_;
  std::vector<float> generator_before_;
  std::optional<std::uint64_t> before_;  // the steps that these are of
};

}  // namespace ganymede
