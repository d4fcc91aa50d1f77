// Numbers as people read and write them.
#pragma once

#include <array>
#include <charconv>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

namespace ganymede {

/// As printf writes it, up to 63 bytes.
[[gnu::format(printf, 1, 2)]] inline std::string formatted(const char* pattern, ...) {
  std::array<char, 64> text{};
  std::va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text.data(), text.size(), pattern, arguments);
  va_end(arguments);
  return text.data();
}

/// The whole text as a number in plain notation: no locale, no leading '+', no blanks; nothing where it is none, or
/// beyond the type's range.
template <class T>
std::optional<T> number_from(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc{} && stop == end ? std::optional(value) : std::nullopt;
}

/// The whole number that a text begins with; 0 where it begins with none.
inline std::uint64_t leading_number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// Six digits, and no more zeros than needed: "0.0002", "1e-08".
inline std::string pretty(double value) { return formatted("%.6g", value); }

/// 1234567 as "1 234 567".
inline std::string grouped(std::uint64_t value) {
  std::string text = std::to_string(value);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), " ");
  return text;
}

/// "12 B", "1.5 MiB".
inline std::string bytes_text(double bytes) {
  const char* unit = "B";
  for (const char* larger : {"KiB", "MiB", "GiB", "TiB"}) {
    if (bytes < 999.5) break;
    bytes /= 1024;
    unit = larger;
  }
  return formatted("%.3g %s", bytes, unit);
}

/// "1 step", "2 steps".
inline std::string counted(std::uint64_t count, const std::string& what) {
  return grouped(count) + " " + what + (count == 1 ? "" : "s");
}

}  // namespace ganymede
