// Judges samples by what the GAN's own loss knows nothing of: held-out digits and a classifier of real ones.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ganymede/dataset.hpp"
#include "ganymede/network.hpp"

namespace ganymede::quality {

/// What the judge finds in a set of samples.
struct Verdict {
  /// Mean log-likelihood of test digits, in nats, under the mean of normal densities of one width around the
  /// samples: log mean exp(-‖x-μ‖²/2σ²) - 784 log(σ√2π) (Breuleux, Bengio, Vincent 2011; Goodfellow et al. 2014).
  double parzen = 0;
  double sigma = 0;  ///< the width, chosen on held-out training digits
  /// Mean distance from a sample to the nearest held-out digit, relative to that of test digits.
  double distance = 0;
  /// Mean distance from a sample to the nearest other sample, relative to that among as many real digits.
  double spread = 0;
  std::array<double, 10> shares{};  ///< of the samples, by the classifier's answer
  /// Classes with at least 2 % of the samples.
  [[nodiscard]] int classes() const;
  /// In one line.
  [[nodiscard]] std::string text() const;
};

class Judge {
 public:
  /// `training`: labelled digits to learn the classifier from and to choose the width on (the last 10 000,
  /// which GANs that are judged must not see); `test`: labelled digits that nothing is fitted to.
  Judge(Device& device, const ImageSet& training, const ImageSet& test);

  /// `samples` are [count, pixels] in 0 … 1; all but the Parzen score look at the first 1 000 of them.
  [[nodiscard]] Verdict judge(std::span<const float> samples);
  /// The classifier's share of right answers on the test digits.
  [[nodiscard]] double accuracy() const { return accuracy_; }

 private:
  [[nodiscard]] std::vector<int> classify(std::span<const float> images);
  void learn(const ImageSet& training);

  Network classifier_;
  std::vector<float> held_out_;
  std::vector<float> test_;
  double real_spread_ = 0;
  double real_distance_ = 0;
  double accuracy_ = 0;
};

/// Images first … first+count-1, as floats in 0 … 1.
std::vector<float> pixels_of(const ImageSet& set, std::uint32_t first, std::uint32_t count);

}  // namespace ganymede::quality
