// What a judge makes of samples beside real images.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/feature_metrics.hpp"
#include "eval/judge.hpp"
#include "eval/sample_source.hpp"
#include "eval/share.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/dataset.hpp"

namespace ganymede::eval {

/// A set as a judge sees it.
struct Judged {
  Features features;
  std::vector<float> logits;  ///< [count, Judge::classes]
};

/// Of the source's first `count` images: looked at by their ranks, and then on every rank. Collective.
Judged judged(SampleSource& source, std::uint64_t count, Judge& judge, Communicator& ranks);

/// A set's figures beside a real one.
struct JudgedScores {
  double frechet = 0;     ///< classifier-FD
  KernelDistance kernel;  ///< KID
  Coverage cover;
  double inception = 0;  ///< the set's own
  std::vector<std::uint64_t> histogram;
  double divergence = 0;  ///< KL(the set's histogram of classes ‖ the real one's), in nats
};

inline constexpr int neighbours = 5;  // of Naeem et al.
/// KID's subsets are of the authors' size, or of a tenth of a smaller set: of fewer no standard error would be known.
int kernel_subset(int count);
/// How many images of each kind are judged beside each other, where `samples` are drawn: as many of each, since
/// distances of small sets are greater.
std::uint64_t judged_images(std::uint64_t samples, const Dataset& data);
/// Fewer images than this have no covariance worth the name.
inline constexpr int least_judged = 2 * Judge::features;

/// Both have as many, at least least_judged. Collective.
JudgedScores scores(const Judged& set, const Judged& real, Device& device, Communicator& ranks);

/// The share of the set's first `count` images, labelled ones, that the judge is right about. Collective.
Share judged_right(const ImageSet& labelled, std::uint64_t count, Judge& judge, Communicator& ranks);
/// A sentence for where it is right about too few real images to be asked about others; empty where it is not.
std::string illiteracy(const Share& right, const std::string& data_name);

}  // namespace ganymede::eval
