// A GAN: two networks, their optimisers, the moving average of G.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "ganymede/network.hpp"
#include "ganymede/options.hpp"
#include "nn/optimizer.hpp"

namespace ganymede {

struct Gan {
  Network generator;
  Network discriminator;
  std::unique_ptr<Optimizer> generator_optimizer;
  std::unique_ptr<Optimizer> discriminator_optimizer;
  /// The exponential moving average of G's parameters; empty without --ema.
  DeviceArray<float> average;
  DataShape data;

  /// G's parameters that pictures are drawn from: the average where there is one.
  [[nodiscard]] const DeviceArray<float>& picture_parameters() const {
    return average.size() > 0 ? average : generator.parameter_array();
  }

  /// Everything a checkpoint holds of it, as named tensor files, and the way back. load() throws
  /// Error(data) where a file or tensor is missing or has another shape.
  [[nodiscard]] std::map<std::string, TensorFile> save() const;
  void load(const std::map<std::string, TensorFile>& files, const std::string& source);
};

/// The networks that the options name, for such images (square ones), with initial weights. Classes matter with
/// --condition alone. A schedule other than the constant one runs over options.steps, which then say how long the
/// training is.
Gan make_gan(const TrainOptions& options, const DataShape& data, Device& device);
/// The same without values: everything that it has memory for is there.
Gan make_empty_gan(const TrainOptions& options, const DataShape& data, Device& device);

/// One of the two, uninitialised: what sampling and export need.
Network make_generator(const TrainOptions& options, const DataShape& data, Device& device);
Network make_discriminator(const TrainOptions& options, const DataShape& data, Device& device);

/// Latent vectors z[rows, options.latent] of global samples `first` …: normal, or uniform on (-1, 1).
void draw_latent(Device& device, const TrainOptions& options, std::uint64_t seed, std::uint32_t stream, StepCount first,
                 int rows, float* z);

}  // namespace ganymede
