// Optimisers by name.
#include "nn/optimizer.hpp"

#include "ganymede/error.hpp"

namespace ganymede {

std::unique_ptr<Optimizer> make_optimizer(const std::string& name, const OptimizerConstants& constants, Device& device,
                                          std::size_t count) {
  if (name == "adam") return make_adam(constants, device, count);
  throw Error(ExitCode::usage, "there is no optimiser '" + name + "'; there is adam");
}

}  // namespace ganymede
