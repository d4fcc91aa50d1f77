// Comparisons of two sets of feature vectors, and of a classifier's answers. What is heavy is dealt out to the ranks;
// every rank has all features and gets the same bits, whatever their number.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ganymede/communicator.hpp"
#include "ganymede/device.hpp"

namespace ganymede::eval {

/// Vectors [count(), size].
struct Features {
  std::vector<float> values;
  int size = 0;

  [[nodiscard]] int count() const { return static_cast<int>(values.size()) / size; }
  [[nodiscard]] const float* row(int i) const { return values.data() + static_cast<std::ptrdiff_t>(i) * size; }
};

/// The Fréchet distance between normal distributions of the sets' means and covariances (Dowson and Landau 1982; Heusel
/// et al. 2017): ‖μ-ν‖² + tr(S + T - 2 (S T)^½), in double. Never negative, as rounding might make it. With fewer
/// vectors than twice their size it says little.
double frechet_distance(const Features& a, const Features& b);

/// An estimate of the squared maximum mean discrepancy for the kernel (x·y/size + 1)³ (Bińkowski et al. 2018),
/// unbiased: the mean over disjoint subsets of equal size, one behind another, and its standard error, which supposes
/// that the sets' order means nothing. Needs two subsets. Collective.
struct KernelDistance {
  double mean = 0;
  double standard_error = 0;
  int subsets = 0;
};
KernelDistance kernel_distance(const Features& a, const Features& b, int subset, Device& device, Communicator& ranks);

/// How sets cover each other, by balls around vectors that reach their k-th nearest neighbour in their own set.
struct Coverage {
  double precision = 0;  ///< share of generated vectors within a real one's ball (Kynkäänniemi et al. 2019)
  double recall = 0;     ///< share of real vectors within a generated one's ball
  double density = 0;    ///< mean over generated ones of the real balls that they are in, / k (Naeem et al. 2020)
  double coverage = 0;   ///< share of real balls with a generated vector inside
};
/// Both sets have more than k vectors. Collective.
Coverage coverage(const Features& real, const Features& generated, int k, Device& device, Communicator& ranks);

/// exp(E KL(p(class|x) ‖ p(class))) (Salimans et al. 2016) over all logits [n, classes] at once: from 1 to `classes`.
double inception_score(std::span<const float> logits, int classes);

/// How often each class is the answer.
std::vector<std::uint64_t> class_histogram(std::span<const float> logits, int classes);
/// KL(p ‖ q) of two histograms, in nats; infinite where p has a class that q lacks.
double histogram_divergence(std::span<const std::uint64_t> p, std::span<const std::uint64_t> q);

}  // namespace ganymede::eval
