// Numbers as people read them.
#pragma once

#include <cstdio>
#include <string>

namespace ganymede {

/// Six digits, and no more zeros than needed: "0.0002", "1e-08".
inline std::string pretty(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

}  // namespace ganymede
