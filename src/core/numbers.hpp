// Numbers as people read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

namespace ganymede {

/// Six digits, and no more zeros than needed: "0.0002", "1e-08".
inline std::string pretty(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

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
  char text[48];
  std::snprintf(text, sizeof text, "%.3g %s", bytes, unit);
  return text;
}

/// "1 step", "2 steps".
inline std::string counted(std::uint64_t count, const std::string& what) {
  return grouped(count) + " " + what + (count == 1 ? "" : "s");
}

}  // namespace ganymede
