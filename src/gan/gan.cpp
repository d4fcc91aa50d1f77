// Builds a GAN from options; saves and loads all of it.
#include "gan/gan.hpp"

#include "gan/gradient_penalty.hpp"
#include "gan/models/models.hpp"
#include "ganymede/error.hpp"
#include "math/philox.hpp"

namespace ganymede {
namespace {

Layers generator_layers(const TrainOptions& o, int side) {
  if (o.model == "mlp") return mlp_generator(o, side);
  throw Error(ExitCode::usage, "there is no model '" + o.model + "'");
}

Layers discriminator_layers(const TrainOptions& o, int side) {
  if (o.model == "mlp") return mlp_discriminator(o, side);
  throw Error(ExitCode::usage, "there is no model '" + o.model + "'");
}

TensorFile moments(const Network& network, Optimizer& optimizer) {
  TensorFile file;
  for (const Optimizer::State& state : optimizer.state())
    for (Tensor& t : network.tensors(*state.values, std::string(state.name) + "."))
      file.tensors.push_back(std::move(t));
  return file;
}

void load_moments(const Network& network, Optimizer& optimizer, const TensorFile& file, const std::string& source) {
  for (const Optimizer::State& state : optimizer.state())
    network.load(file, *state.values, source, std::string(state.name) + ".");
}

}  // namespace

std::map<std::string, TensorFile> Gan::save() const {
  std::map<std::string, TensorFile> files;
  files["generator"].tensors = generator.tensors(generator.parameter_array());
  files["discriminator"].tensors = discriminator.tensors(discriminator.parameter_array());
  files["generator-optimizer"] = moments(generator, *generator_optimizer);
  files["discriminator-optimizer"] = moments(discriminator, *discriminator_optimizer);
  if (average.size() > 0) files["generator-average"].tensors = generator.tensors(average);
  return files;
}

void Gan::load(const std::map<std::string, TensorFile>& files, const std::string& source) {
  const auto file = [&](const std::string& name) -> const TensorFile& {
    const auto found = files.find(name);
    if (found == files.end()) throw Error(ExitCode::data, source + " lacks " + name + ".safetensors");
    return found->second;
  };
  generator.load(file("generator"), source + "/generator.safetensors");
  discriminator.load(file("discriminator"), source + "/discriminator.safetensors");
  load_moments(generator, *generator_optimizer, file("generator-optimizer"),
               source + "/generator-optimizer.safetensors");
  load_moments(discriminator, *discriminator_optimizer, file("discriminator-optimizer"),
               source + "/discriminator-optimizer.safetensors");
  if (average.size() > 0) generator.load(file("generator-average"), average, source + "/generator-average.safetensors");
}

Gan make_gan(const TrainOptions& o, int side, Device& device) {
  Gan gan{
      Network(device, generator_layers(o, side)), Network(device, discriminator_layers(o, side)), nullptr, nullptr, {}};
  const OptimizerConstants constants{o.learning_rate, o.beta1, o.beta2, o.epsilon};
  gan.generator_optimizer = make_optimizer(o.optimizer, constants, device, gan.generator.parameter_count());
  gan.discriminator_optimizer = make_optimizer(o.optimizer, constants, device, gan.discriminator.parameter_count());
  gan.generator.initialise(o.seed, static_cast<std::uint32_t>(math::Stream::init_generator));
  gan.discriminator.initialise(o.seed, static_cast<std::uint32_t>(math::Stream::init_discriminator));
  if (o.ema > 0) {
    gan.average = DeviceArray<float>(device, gan.generator.parameter_count());
    device.copy(gan.average.data(), gan.generator.parameters(), gan.average.bytes());
  }
  for (const PenaltySpec& spec : penalties_of(o)) {
    const std::string obstacle = gan.discriminator.penalty_obstacle();
    if (!obstacle.empty())
      throw Error(ExitCode::usage, std::string(spec.option) + " has no exact gradient on this discriminator: " +
                                       obstacle + "; use " + spec.option + " 0");
  }
  return gan;
}

Network make_generator(const TrainOptions& options, int side, Device& device) {
  return {device, generator_layers(options, side)};
}

}  // namespace ganymede
