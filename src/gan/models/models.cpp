// The list of families, and what their hidden layers share.
#include "gan/models/models.hpp"

#include <array>

#include "core/names.hpp"
#include "ganymede/error.hpp"
#include "math/activation/activations.hpp"

namespace ganymede {
namespace {

constexpr std::array mlp_options = {"generator-hidden", "discriminator-hidden"};
constexpr std::array dcgan_options = {"channels", "kernel", "fully-connected"};
constexpr std::array modern_options = {"channels", "kernel", "blocks"};

constexpr std::array families = {Family{"mlp", false, mlp_options, mlp_generator, mlp_discriminator},
                                 Family{"dcgan", true, dcgan_options, dcgan_generator, dcgan_discriminator},
                                 Family{"modern", true, modern_options, modern_generator, modern_discriminator}};

Hidden hidden_layers(const TrainOptions& o, const std::string& activation, const std::string& norm) {
  return {Activation::named(activation, static_cast<float>(o.leak)), norm == "batch",
          o.init == "normal" ? Init::normal : Init::glorot_uniform, false, 0};
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const Family& family : families) names.emplace_back(family.name);
  return names;
}

std::map<std::string, std::vector<std::string>> models_with_options() {
  std::map<std::string, std::vector<std::string>> models;
  for (const Family& family : families)
    for (const char* option : family.options) models[option].emplace_back(family.name);
  return models;
}

const Family& family_named(const std::string& name) {
  for (const Family& family : families)
    if (name == family.name) return family;
  throw Error(ExitCode::usage, "there is no model '" + name + "': known are " + joined(model_names()));
}

std::vector<std::string> latent_distribution_names() { return {"normal", "uniform"}; }
std::vector<std::string> init_names() { return {"glorot", "normal"}; }
std::vector<std::string> condition_names() { return {"none", "concat", "projection"}; }
bool is_conditional(const TrainOptions& o) { return o.condition != "none"; }
bool projects_class(const TrainOptions& o) { return o.condition == "projection"; }
bool takes_leak(const std::string& activation) { return activation == math::LeakyRelu::name; }
std::vector<std::string> norm_names() { return {"none", "batch"}; }

Hidden generator_hidden_layers(const TrainOptions& o) {
  return hidden_layers(o, o.generator_activation, o.generator_norm);
}
Hidden discriminator_hidden_layers(const TrainOptions& o) {
  Hidden hidden = hidden_layers(o, o.discriminator_activation, o.discriminator_norm);
  hidden.spectral_norm = o.spectral_norm;
  hidden.dropout = o.dropout;
  return hidden;
}

}  // namespace ganymede
