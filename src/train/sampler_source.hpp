// What a generator draws, as a source of samples to be judged: the images of `ganymede sample`, in 8 bits.
#pragma once

#include <cstdint>

#include "eval/sample_source.hpp"
#include "gan/sampler.hpp"

namespace ganymede {

/// Number 0 first; of a generator that is told classes, these in turn. Sampler and parameters must outlive it.
class SamplerSource final : public eval::SampleSource {
 public:
  /// The first `count` images of the seed, with these parameters of a generator of `classes` classes.
  SamplerSource(Sampler& sampler, const DeviceArray<float>& parameters, int image_size, int classes, std::uint64_t seed,
                std::uint64_t count)
      : sampler_(sampler),
        parameters_(parameters),
        image_size_(image_size),
        classes_(classes),
        seed_(seed),
        count_(count) {}

  [[nodiscard]] std::uint64_t count() const override { return count_; }
  [[nodiscard]] int image_size() const override { return image_size_; }
  [[nodiscard]] int classes() const override { return classes_; }
  void read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) override;

 private:
  Sampler& sampler_;
  const DeviceArray<float>& parameters_;
  int image_size_;
  int classes_;
  std::uint64_t seed_;
  std::uint64_t count_;
};

}  // namespace ganymede
