// Looks losses up in the one list that every backend dispatches on.
#include "gan/losses.hpp"

#include "core/names.hpp"
#include "math/loss/losses.hpp"

namespace ganymede {
namespace {

template <class Trait>
bool of(int loss, Trait trait) {
  bool result = false;
  math::Losses::visit(loss, [&](auto known) { result = trait(known); });
  return result;
}

}  // namespace

std::vector<std::string> loss_names() { return names_of<math::Losses>(); }

int loss_index(const std::string& name) { return index_of<math::Losses>("loss", name); }

bool generator_sees_real(int loss) {
  return of(loss, [](auto known) { return decltype(known)::generator_sees_real; });
}

bool loss_has_target(int loss) {
  return of(loss, [](auto known) { return decltype(known)::has_target; });
}

bool loss_is_unbounded(int loss) {
  return of(loss, [](auto known) { return decltype(known)::unbounded; });
}

bool loss_of_differences(int loss) {
  return of(loss, [](auto known) { return decltype(known)::of_differences; });
}

bool loss_estimates_distance(int loss) {
  return of(loss, [](auto known) { return decltype(known)::estimates_distance; });
}

}  // namespace ganymede
