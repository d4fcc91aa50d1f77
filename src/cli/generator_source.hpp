// A trained generator as a source of samples, on every rank alike. All that `eval` knows of how generators are made
// and drawn from is here.
#pragma once

#include <cstdint>

#include "cli/saved_generator.hpp"
#include "eval/sample_source.hpp"
#include "gan/sampler.hpp"
#include "train/sampler_source.hpp"

namespace ganymede::cli {

/// The images that `ganymede sample` draws, number 0 first, in 8 bits; of a generator that is told classes, these in
/// turn.
class GeneratorSource final : public eval::SampleSource {
 public:
  /// The first `count` of them. Throws Error(data) where the weights do not fit the options.
  GeneratorSource(const SavedGenerator& saved, std::uint64_t seed, std::uint64_t count, Device& device);

  [[nodiscard]] std::uint64_t count() const override { return images_.count(); }
  [[nodiscard]] int image_size() const override { return images_.image_size(); }
  [[nodiscard]] int classes() const override { return images_.classes(); }
  void read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) override {
    images_.read(first, count, images, labels);
  }

 private:
  Network generator_;
  Sampler sampler_;
  SamplerSource images_;
};

}  // namespace ganymede::cli
