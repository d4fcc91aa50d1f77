// Looks losses up in the one list that every backend dispatches on.
#include "gan/losses.hpp"

#include "ganymede/error.hpp"
#include "math/loss/losses.hpp"

namespace ganymede {

std::vector<std::string> loss_names() {
  std::vector<std::string> names;
  for (int i = 0; i < math::Losses::size; ++i)
    math::Losses::visit(i, [&](auto loss) { names.emplace_back(decltype(loss)::name); });
  return names;
}

int loss_index(const std::string& name) {
  const int index = math::Losses::find([&](const char* known) { return name == known; });
  if (index >= 0) return index;
  std::string list;
  for (const std::string& known : loss_names()) list += (list.empty() ? "" : ", ") + known;
  throw Error(ExitCode::usage, "there is no loss '" + name + "'; there are " + list);
}

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

}  // namespace ganymede
