// JSON that comes from a file: parsed strictly and within bounds, its fields taken one by one, and whatever
// does not fit refused with the file, the field, what was expected and what was found.
#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "core/names.hpp"
#include "core/numbers.hpp"
#include "ganymede/error.hpp"

namespace ganymede {

/// Text from a file as a message may show it: no control characters (a terminal would obey them), bytes
/// beyond ASCII as \xNN, at most `limit` bytes of it.
inline std::string printable(std::string_view text, std::size_t limit = 80) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string result;
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7F) {
      result += c;
    } else {
      result += {'\\', 'x', digits[byte >> 4U], digits[byte & 15U]};
    }
  }
  if (text.size() > limit) result += "...";
  return result;
}

inline std::string in_quotes(std::string_view text) { return '"' + printable(text) + '"'; }

/// A value as a message shows it.
inline std::string describe(const nlohmann::json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array of " + std::to_string(value.size());
  if (value.is_string()) return "the string " + in_quotes(value.get_ref<const std::string&>());
  return value.dump();
}

[[noreturn]] inline void refuse(const std::string& source, const std::string& field, const std::string& expected,
                                const std::string& found) {
  throw Error(ExitCode::data, source + ": " + field + ": expected " + expected + ", found " + found);
}

/// Parses one JSON text (valid UTF-8). Beyond the grammar it refuses a key that stands twice in an object
/// (parsers disagree on which one counts) and bounds what a small file can make of memory: at most 8
/// levels, at most `most_elements` in an array. Throws Error(data) that names `source`.
inline nlohmann::json parse_json(std::string_view text, const std::string& source, std::size_t most_elements = 64) {
  using nlohmann::json;
  constexpr std::size_t most_levels = 8;
  struct Level {
    bool is_array;
    std::size_t elements = 0;
    std::unordered_set<std::string> keys = {};
  };
  std::vector<Level> levels;
  const auto count_element = [&] {
    if (!levels.empty() && levels.back().is_array && ++levels.back().elements > most_elements) {
      refuse(source, "array", "at most " + std::to_string(most_elements) + " elements", "more");
    }
  };
  const auto watch = [&](int, json::parse_event_t event, json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        count_element();
        if (levels.size() == most_levels) {
          refuse(source, "JSON", "at most " + std::to_string(most_levels) + " levels", "more");
        }
        levels.push_back({event == json::parse_event_t::array_start});
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end:
        levels.pop_back();
        break;
      case json::parse_event_t::key: {
        const auto& key = parsed.get_ref<const std::string&>();
        if (!levels.back().keys.insert(key).second) refuse(source, in_quotes(key), "one such key", "two");
        break;
      }
      case json::parse_event_t::value:
        count_element();
        break;
    }
    return true;
  };
  try {
    return json::parse(text, watch);
  } catch (const json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: …": the bracket says nothing to users.
    std::string_view reason = error.what();
    if (const auto bracket = reason.find("] "); bracket != std::string_view::npos) reason.remove_prefix(bracket + 2);
    throw Error(ExitCode::data, source + ": not valid JSON: " + printable(reason, 240));
  }
}

/// `value` is an object with exactly these keys.
inline void expect_keys(const nlohmann::json& value, std::initializer_list<std::string_view> keys,
                        const std::string& source, const std::string& field) {
  if (!value.is_object()) refuse(source, field, "an object", describe(value));
  const std::string all = joined(keys);
  for (const auto key : keys) {
    if (!value.contains(key)) refuse(source, field, "the fields " + all, "no " + std::string(key));
  }
  if (value.size() == keys.size()) return;
  for (const auto& item : value.items()) {
    bool known = false;
    for (const auto key : keys) known = known || item.key() == key;
    if (!known) refuse(source, field, "only the fields " + all, in_quotes(item.key()));
  }
}

/// Six digits, which are more than a curve or a table shows; null of what is not finite.
inline nlohmann::ordered_json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  return number_from<double>(pretty(value)).value();
}

inline const std::string& expect_string(const nlohmann::json& value, const std::string& source,
                                        const std::string& field) {
  if (!value.is_string()) refuse(source, field, "a string", describe(value));
  return value.get_ref<const std::string&>();
}

/// A whole number from 0 to 2^64 - 1, written as one (12, not 12.0).
inline std::uint64_t expect_unsigned(const nlohmann::json& value, const std::string& source, const std::string& field) {
  if (!value.is_number_unsigned()) refuse(source, field, "a whole number, 0 or more", describe(value));
  return value.get<std::uint64_t>();
}

}  // namespace ganymede
