// Copies a GAN's state and makes files of the copy.
#include "gan/snapshot.hpp"

#include <iterator>

#include "checkpoint/weights_facts.hpp"

namespace ganymede {

GanSnapshot::GanSnapshot(const Gan& gan) : gan_(&gan) {
  add("generator", "", gan.generator, gan.generator.parameter_array());
  add("discriminator", "", gan.discriminator, gan.discriminator.parameter_array());
  for (const Optimizer::State& state : gan.generator_optimizer->state())
    add("generator-optimizer", std::string(state.name) + ".", gan.generator, state.values);
  for (const Optimizer::State& state : gan.discriminator_optimizer->state())
    add("discriminator-optimizer", std::string(state.name) + ".", gan.discriminator, state.values);
  if (gan.average.size() > 0) add("generator-average", "", gan.generator, gan.average);
}

void GanSnapshot::add(const char* file, const std::string& prefix, const Network& network,
                      const DeviceArray<float>& from) {
  parts_.push_back({file, prefix, &network, &from, std::vector<float>(from.size())});
}

void GanSnapshot::take() {
  for (Part& part : parts_) part.from->read(part.values.data());
}

std::map<std::string, TensorFile> GanSnapshot::files() const {
  std::map<std::string, TensorFile> files;
  for (const Part& part : parts_) {
    std::vector<Tensor> tensors = part.network->tensors(part.values, part.prefix);
    std::vector<Tensor>& all = files[part.file].tensors;
    all.insert(all.end(), std::make_move_iterator(tensors.begin()), std::make_move_iterator(tensors.end()));
  }
  // Convolutions' shapes do not say for which images they are.
  WeightsFacts facts;
  facts.set_shape(gan_->data);
  files["generator"].metadata = facts.entries();
  return files;
}

}  // namespace ganymede
