// What a training measures of itself now and then, at little cost: whether samples are as varied as real images, how
// steep D is, how far an update goes. What follows from it in words: src/report/findings.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eval/judge.hpp"
#include "gan/gan.hpp"
#include "gan/sampler.hpp"
#include "ganymede/dataset.hpp"
#include "ganymede/metrics.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

/// Of one rank: replicas are alike.
class Diagnostics {
 public:
  /// Images of each kind that are looked at.
  static constexpr int samples = 128;
  /// Real images of the training and held-out ones that D's outputs are compared on.
  static constexpr std::uint32_t compared = 512;

  /// `gan` and `sampler`, which draws from its generator, must outlive it; `images` are the training's, `held_out`
  /// others like them, or none. `digits`: they are MNIST's, so that the shipped judge knows them.
  Diagnostics(const TrainOptions& options, Gan& gan, Sampler& sampler, const ImageSet& images, const ImageSet& held_out,
              bool digits);

  /// What is missing from them, and why; empty where nothing is.
  [[nodiscard]] const std::string& warning() const { return warning_; }

  /// Keeps the parameters, for how far the next step takes them.
  void before_step(std::uint64_t steps);
  /// Fills in the record's part. `steps`: how many have been made, as before_step() counts them.
  void measure(std::uint64_t steps, MetricsRecord& record);

 private:
  /// Why D's slope cannot be had from a pass without training: it depends on the batch, or on draws.
  [[nodiscard]] bool has_slope() const;
  /// Makes images first … first+count-1 D's input.
  void show(const std::vector<float>& images, int first, int count);
  double mean_slope(const std::vector<float>& images);
  double classes_seen(const std::vector<float>& images);
  /// Of D's outputs for `count` images in evaluation.
  struct Scores {
    double mean;
    double squared_error;  // of the mean
  };
  Scores scores(const std::vector<float>& images, int count);
  double held_out_gap(const std::vector<float>& drawn);

  const TrainOptions& options_;
  Gan& gan_;
  Sampler& sampler_;
  std::vector<float> real_;  // [samples, height, width, channels]
  double real_variance_;
  int compared_ = 0;         // images of each of these:
  std::vector<float> seen_;  // the training's
  std::vector<float> held_out_;
  Tape tape_;  // of D
  DeviceArray<std::uint8_t> labels_;
  DeviceArray<float> x_;
  DeviceArray<float> y_;
  DeviceArray<float> gradient_;  // empty where D has no slope
  std::unique_ptr<Device> judges_device_;
  std::optional<eval::Judge> judge_;
  std::string warning_;
  std::vector<float> discriminator_before_;
  std::vector<float> generator_before_;
  std::optional<std::uint64_t> before_;  // the steps that these are of
};

}  // namespace ganymede
