// Modes of stacked digits (Metz et al. 2017; Lin et al. 2018): images of several channels, each of which shows a digit
// of its own. An image's mode is the row of their classes, as a judge sees them: 1000 for three channels, all of them
// equally frequent in the data. A generator that lacks some has collapsed onto the others.
#pragma once

#include <cstdint>

#include "eval/judge.hpp"
#include "eval/sample_source.hpp"
#include "ganymede/communicator.hpp"

namespace ganymede::eval {

/// Digits of a set, each channel in orders of its own, pass by pass through the set: what --stack trains on.
class StackedSource final : public SampleSource {
 public:
  StackedSource(const ImageSet& set, int channels, std::uint64_t count)
      : set_(set), channels_(channels), count_(count) {}
  [[nodiscard]] std::uint64_t count() const override { return count_; }
  [[nodiscard]] int image_size() const override { return set_.pixels() * channels_; }
  [[nodiscard]] int classes() const override { return 0; }
  void read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) override;

 private:
  ImageSet set_;
  int channels_;
  std::uint64_t count_;
};

struct Modes {
  std::uint64_t found = 0;
  std::uint64_t possible = 0;
  double divergence = 0;  ///< KL(histogram of modes ‖ uniform), in nats
};

/// Of the first `count` images, [Judge::side, Judge::side, channels] each. The same on any number of ranks. Collective.
Modes modes(SampleSource& source, std::uint64_t count, int channels, Judge& judge, Communicator& ranks);

}  // namespace ganymede::eval
