// See sampler.hpp.
#include "gan/sampler.hpp"

#include <algorithm>

#include "gan/gan.hpp"

namespace ganymede {

Sampler::Sampler(const Network& generator, const TrainOptions& options, int classes, int block)
    : generator_(&generator),
      options_(options),
      classes_(classes),
      block_(block),
      zero_(generator.device(), 1),
      z_(generator.device(), static_cast<std::size_t>(block) * static_cast<std::size_t>(generator.inputs())),
      labels_(generator.device(), static_cast<std::size_t>(block)),
      images_(generator.device(), static_cast<std::size_t>(block) * static_cast<std::size_t>(generator.outputs())),
      tape_(generator.make_tape(block, false)) {
  if (classes > 0) tape_.set_labels(labels_.data());
}

std::vector<float> Sampler::draw(const DeviceArray<float>& parameters, std::uint64_t seed, math::Stream stream,
                                 std::uint64_t first, int count, std::optional<int> only) {
  const auto pixels = static_cast<std::size_t>(generator_->outputs());
  std::vector<float> result(static_cast<std::size_t>(count) * pixels);
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(block_));
  for (int done = 0; done < count; done += block_) {
    const int rows = std::min(block_, count - done);
    const std::uint64_t image = first + static_cast<std::uint64_t>(done);
    for (int i = 0; i < rows; ++i)
      labels[static_cast<std::size_t>(i)] =
          static_cast<std::uint8_t>(only ? *only : class_of(image + static_cast<std::uint64_t>(i)));
    set_labels(labels.data(), rows);
    draw_latent(generator_->device(), options_, seed, static_cast<std::uint32_t>(stream), {zero_.data(), 0, image},
                rows, z_.data());
    forward(parameters, rows, result, static_cast<std::size_t>(done) * pixels);
  }
  return result;
}

int Sampler::class_of(std::uint64_t image) const {
  return classes_ == 0 ? 0 : static_cast<int>(image % static_cast<std::uint64_t>(classes_));
}

std::vector<float> Sampler::images(const DeviceArray<float>& parameters, const std::vector<float>& z,
                                   const std::vector<std::uint8_t>& labels) {
  const auto latent = static_cast<std::size_t>(generator_->inputs());
  const auto pixels = static_cast<std::size_t>(generator_->outputs());
  const int count = static_cast<int>(z.size() / latent);
  std::vector<float> result(static_cast<std::size_t>(count) * pixels);
  for (int done = 0; done < count; done += block_) {
    const int rows = std::min(block_, count - done);
    if (classes_ > 0) set_labels(labels.data() + done, rows);
    generator_->device().upload(z_.data(), z.data() + static_cast<std::size_t>(done) * latent,
                                static_cast<std::size_t>(rows) * latent * sizeof(float));
    forward(parameters, rows, result, static_cast<std::size_t>(done) * pixels);
  }
  return result;
}

std::vector<float> Sampler::latents(std::uint64_t seed, math::Stream stream, std::uint64_t first, int count) {
  Device& device = generator_->device();
  DeviceArray<float> z(device, static_cast<std::size_t>(count) * static_cast<std::size_t>(generator_->inputs()));
  draw_latent(device, options_, seed, static_cast<std::uint32_t>(stream), {zero_.data(), 0, first}, count, z.data());
  return z.host();
}

void Sampler::set_labels(const std::uint8_t* labels, int rows) {
  generator_->device().upload(labels_.data(), labels, static_cast<std::size_t>(rows));
}

void Sampler::forward(const DeviceArray<float>& parameters, int rows, std::vector<float>& to, std::size_t at) {
  generator_->evaluate(BatchLayout{1, rows, {0, rows}}, parameters, z_.data(), tape_, images_.data());
  generator_->device().download(
      to.data() + at, images_.data(),
      static_cast<std::size_t>(rows) * static_cast<std::size_t>(generator_->outputs()) * sizeof(float));
}

}  // namespace ganymede
