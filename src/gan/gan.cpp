// Builds a GAN from options; saves and loads all of it.
#include "gan/gan.hpp"

#include "gan/gradient_penalty.hpp"
#include "gan/models/models.hpp"
#include "gan/snapshot.hpp"
#include "gan/update_schedule.hpp"
#include "ganymede/error.hpp"
#include "math/philox.hpp"

namespace ganymede {
namespace {

enum class Role { generator, discriminator };

OptimizerConstants optimizer_constants(const TrainOptions& o, Role role) {
  const bool d = role == Role::discriminator;
  const double own_rate = d ? o.discriminator_learning_rate : o.generator_learning_rate;
  OptimizerConstants c;
  c.learning_rate = own_rate > 0 ? own_rate : o.learning_rate;
  c.momentum = o.momentum;
  c.beta1 = o.beta1;
  c.beta2 = o.beta2;
  c.rmsprop_decay = o.rmsprop_decay;
  c.epsilon = o.epsilon;
  c.weight_decay = o.weight_decay;
  c.clip_gradient = o.clip_gradient;
  c.clip_weights = d ? o.clip_weights : 0;
  c.schedule = {schedule_index(o.schedule), o.schedule_start, o.schedule_end,
                d ? discriminator_updates(o, o.steps) : o.steps};
  return c;
}

void load_moments(const Network& network, Optimizer& optimizer, const TensorFile& file, const std::string& source) {
  for (Optimizer::State& state : optimizer.state())
    network.load(file, state.values, source, std::string(state.name) + ".");
}

}  // namespace

std::map<std::string, TensorFile> Gan::save() const {
  GanSnapshot snapshot(*this);
  snapshot.take();
  return snapshot.files();
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

Gan make_empty_gan(const TrainOptions& o, const DataShape& labelled, Device& device) {
  DataShape data = labelled;
  if (!is_conditional(o))
    data.classes = 0;
  else if (data.classes == 0)
    throw Error(ExitCode::data, "--condition " + o.condition + " needs labels, and the images have none");
  Gan gan{make_generator(o, data, device), make_discriminator(o, data, device), nullptr, nullptr, {}, data};
  gan.generator_optimizer = std::make_unique<Optimizer>(o.optimizer, optimizer_constants(o, Role::generator), device,
                                                        gan.generator.parameter_count());
  gan.discriminator_optimizer = std::make_unique<Optimizer>(o.optimizer, optimizer_constants(o, Role::discriminator),
                                                            device, gan.discriminator.parameter_count());
  if (o.ema > 0) gan.average = DeviceArray<float>(device, gan.generator.parameter_array().size());
  for (const PenaltySpec& spec : penalties_of(o)) {
    const std::string obstacle = gan.discriminator.penalty_obstacle();
    if (!obstacle.empty())
      throw Error(ExitCode::usage, std::string(spec.option) + " has no exact gradient on this discriminator: " +
                                       obstacle + "; use " + spec.option + " 0");
  }
  return gan;
}

Gan make_gan(const TrainOptions& o, const DataShape& data, Device& device) {
  Gan gan = make_empty_gan(o, data, device);
  gan.generator.initialise(o.seed, static_cast<std::uint32_t>(math::Stream::init_generator));
  gan.discriminator.initialise(o.seed, static_cast<std::uint32_t>(math::Stream::init_discriminator));
  if (o.ema > 0) device.copy(gan.average.data(), gan.generator.parameters(), gan.average.bytes());
  return gan;
}

Network make_generator(const TrainOptions& options, const DataShape& data, Device& device) {
  return {device, family_named(options.model).generator(options, data)};
}

Network make_discriminator(const TrainOptions& options, const DataShape& data, Device& device) {
  return {device, family_named(options.model).discriminator(options, data)};
}

void draw_latent(Device& device, const TrainOptions& options, std::uint64_t seed, std::uint32_t stream, StepCount first,
                 int rows, float* z) {
  if (options.latent_distribution == "uniform")
    device.draw_uniform(seed, stream, first, rows, options.latent, z);
  else
    device.draw_normal(seed, stream, first, rows, options.latent, z);
}

}  // namespace ganymede
