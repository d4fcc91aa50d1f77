// Names of the types of a list (src/math/type_list.hpp), and the way back; names in a sentence.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ganymede/error.hpp"

namespace ganymede {

template <class List>
std::vector<std::string> names_of() {
  std::vector<std::string> names;
  for (int i = 0; i < List::size; ++i) List::visit(i, [&](auto known) { names.emplace_back(decltype(known)::name); });
  return names;
}

/// "a, b or c".
inline std::string either(const std::vector<std::string>& names) {
  std::string list;
  for (std::size_t i = 0; i < names.size(); ++i)
    list += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  return list;
}

/// The index in the list; throws Error(usage) naming the known ones. `what` is what the list's types are ("loss").
template <class List>
int index_of(const std::string& what, const std::string& name) {
  const int index = List::find([&](const char* known) { return name == known; });
  if (index >= 0) return index;
  std::string list;
  for (const std::string& known : names_of<List>()) list += (list.empty() ? "" : ", ") + known;
  throw Error(ExitCode::usage, "there is no " + what + " '" + name + "'; there are " + list);
}

}  // namespace ganymede
