// Names of the types of a list (src/math/type_list.hpp), and the way back; texts of several parts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ganymede/error.hpp"

namespace ganymede {

template <class List>
std::vector<std::string> names_of() {
  std::vector<std::string> names;
  for (int i = 0; i < List::size; ++i) List::visit(i, [&](auto known) { names.emplace_back(decltype(known)::name); });
  return names;
}

/// "a, b, c": the parts, or what `text` makes of each, with `between` between any two.
template <class Parts, class Text = std::identity>
std::string joined(const Parts& parts, std::string_view between = ", ", const Text& text = {}) {
  std::string all;
  bool first = true;
  for (const auto& part : parts) {
    if (!first) all += between;
    all += std::string_view(std::invoke(text, part));
    first = false;
  }
  return all;
}

/// What joined() was made of, of parts without the separator: of an empty text one, which is empty.
inline std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

/// The parts with commas between them, but `last` before the last.
inline std::string listed(const std::vector<std::string>& parts, const char* last) {
  std::string list;
  for (std::size_t i = 0; i < parts.size(); ++i) list += (i == 0 ? "" : i + 1 == parts.size() ? last : ", ") + parts[i];
  return list;
}

/// "a, b or c".
inline std::string either(const std::vector<std::string>& names) { return listed(names, " or "); }
/// "a, b and c".
inline std::string every(const std::vector<std::string>& names) { return listed(names, " and "); }

/// The known name nearest to a mistyped one; empty when none is near.
std::string nearest_name(const std::string& mistyped, std::span<const std::string> known);

/// The index in the list; throws Error(usage) naming the known ones. `what` is what the list's types are ("loss").
template <class List>
int index_of(const std::string& what, const std::string& name) {
  const int index = List::find([&](const char* known) { return name == known; });
  if (index >= 0) return index;
  throw Error(ExitCode::usage, "there is no " + what + " '" + name + "'; there are " + joined(names_of<List>()));
}

}  // namespace ganymede
