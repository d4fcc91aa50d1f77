// Parzen-window log-likelihood by the protocol of 2014 (Breuleux, Bengio, Vincent 2011; Goodfellow et al. 2014, the
// authors' script): samples become a density, the mean of normal densities of one width σ around them; σ is chosen on
// held-out training images; the score is the test images' mean log-likelihood.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/sample_source.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/device.hpp"

namespace ganymede::eval {

struct ParzenScore {
  double mean = 0;            ///< of the test images' log-likelihoods, in nats; values scaled to 0 … 1
  double standard_error = 0;  ///< their standard deviation / √(their number)
  double sigma = 0;
};

/// log((1/n) Σ_samples exp(-‖x-μ‖²/2σ²)) - size · log(σ√2π) for each σ and each of the images x: [sigmas][images], the
/// same on every rank. Over the source's first `count` samples, at most 2^24. Collective.
std::vector<std::vector<double>> log_likelihoods(SampleSource& samples, std::uint64_t count, const ImageSet& images,
                                                 std::span<const double> sigmas, Device& device, Communicator& ranks);

/// σ is the one of logspace(-1, 0, 10) with the greatest mean on `validation`. Collective.
ParzenScore parzen_score(SampleSource& samples, std::uint64_t count, const ImageSet& validation, const ImageSet& test,
                         Device& device, Communicator& ranks);

/// The validation images of the protocol, which is the first 1 000 of MNIST's last 10 000 training images: of another
/// set, of as large a part.
ImageSet parzen_validation(const ImageSet& training);

}  // namespace ganymede::eval
