// See sampler.hpp.
#include "gan/sampler.hpp"

#include <algorithm>

namespace ganymede {

Sampler::Sampler(const Network& generator, int block)
    : generator_(&generator),
      block_(block),
      zero_(generator.device(), 1),
      z_(generator.device(), static_cast<std::size_t>(block) * static_cast<std::size_t>(generator.inputs())),
      images_(generator.device(), static_cast<std::size_t>(block) * static_cast<std::size_t>(generator.outputs())),
      tape_(generator.make_tape(block, false)) {}

std::vector<float> Sampler::draw(const DeviceArray<float>& parameters, std::uint64_t seed, math::Stream stream,
                                 std::uint64_t first, int count) {
  const auto pixels = static_cast<std::size_t>(generator_->outputs());
  std::vector<float> result(static_cast<std::size_t>(count) * pixels);
  for (int done = 0; done < count; done += block_) {
    const int rows = std::min(block_, count - done);
    generator_->device().draw_normal(seed, static_cast<std::uint32_t>(stream),
                                     {zero_.data(), 0, first + static_cast<std::uint64_t>(done)}, rows,
                                     generator_->inputs(), z_.data());
    forward(parameters, rows, result, static_cast<std::size_t>(done) * pixels);
  }
  return result;
}

std::vector<float> Sampler::images(const DeviceArray<float>& parameters, const std::vector<float>& z) {
  const auto latent = static_cast<std::size_t>(generator_->inputs());
  const auto pixels = static_cast<std::size_t>(generator_->outputs());
  const int count = static_cast<int>(z.size() / latent);
  std::vector<float> result(static_cast<std::size_t>(count) * pixels);
  for (int done = 0; done < count; done += block_) {
    const int rows = std::min(block_, count - done);
    generator_->device().upload(z_.data(), z.data() + static_cast<std::size_t>(done) * latent,
                                static_cast<std::size_t>(rows) * latent * sizeof(float));
    forward(parameters, rows, result, static_cast<std::size_t>(done) * pixels);
  }
  return result;
}

std::vector<float> Sampler::latents(std::uint64_t seed, math::Stream stream, std::uint64_t first, int count) {
  Device& device = generator_->device();
  DeviceArray<float> z(device, static_cast<std::size_t>(count) * static_cast<std::size_t>(generator_->inputs()));
  device.draw_normal(seed, static_cast<std::uint32_t>(stream), {zero_.data(), 0, first}, count, generator_->inputs(),
                     z.data());
  return z.host();
}

void Sampler::forward(const DeviceArray<float>& parameters, int rows, std::vector<float>& to, std::size_t at) {
  generator_->evaluate(BatchLayout{1, rows, {0, rows}}, parameters, z_.data(), tape_, images_.data());
  generator_->device().download(
      to.data() + at, images_.data(),
      static_cast<std::size_t>(rows) * static_cast<std::size_t>(generator_->outputs()) * sizeof(float));
}

}  // namespace ganymede
