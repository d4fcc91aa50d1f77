// Looks losses up in the one list that every backend dispatches on.
#include "gan/losses.hpp"

#include "core/names.hpp"
#include "math/loss/losses.hpp"

namespace ganymede {

std::vector<std::string> loss_names() { return names_of<math::Losses>(); }

int loss_index(const std::string& name) { return index_of<math::Losses>("loss", name); }

bool generator_sees_real(int loss) {
  bool result = false;
  math::Losses::visit(loss, [&](auto known) { result = decltype(known)::generator_sees_real; });
  return result;
}

bool loss_has_target(int loss) {
  bool result = false;
  math::Losses::visit(loss, [&](auto known) { result = decltype(known)::has_target; });
  return result;
}

bool loss_is_unbounded(int loss) {
  bool result = false;
  math::Losses::visit(loss, [&](auto known) { result = decltype(known)::unbounded; });
  return result;
}

bool loss_of_differences(int loss) {
  bool result = false;
  math::Losses::visit(loss, [&](auto known) { result = decltype(known)::of_differences; });
  return result;
}

}  // namespace ganymede
