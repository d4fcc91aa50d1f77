// Activations by name.
#include "core/names.hpp"
#include "ganymede/device.hpp"
#include "math/activation/activations.hpp"

namespace ganymede {

Activation Activation::named(const std::string& name, float parameter) {
  return {index_of<math::Activations>("activation", name), parameter};
}

const char* Activation::name() const {
  const char* result = "";
  math::Activations::visit(kind, [&](auto activation) { result = decltype(activation)::name; });
  return result;
}

bool Activation::piecewise_linear() const {
  bool result = false;
  math::Activations::visit(kind, [&](auto activation) { result = decltype(activation)::piecewise_linear; });
  return result;
}

}  // namespace ganymede
