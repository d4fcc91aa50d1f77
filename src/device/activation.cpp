// Activations by name.
#include <string_view>

#include "ganymede/device.hpp"
#include "ganymede/error.hpp"
#include "math/activation/activations.hpp"

namespace ganymede {

Activation Activation::named(const std::string& name, float parameter) {
  const int kind = math::Activations::find([&](const char* known) { return std::string_view(known) == name; });
  if (kind >= 0) return {kind, parameter};
  std::string known;
  for (int i = 0; i < math::Activations::size; ++i) {
    if (i > 0) known += i + 1 == math::Activations::size ? " and " : ", ";
    known += Activation{i, 0.0F}.name();
  }
  throw Error(ExitCode::usage, "there is no activation '" + name + "': known are " + known);
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
