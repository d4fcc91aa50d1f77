// How wide text is on a terminal.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

namespace ganymede::cli {

/// Display columns of UTF-8 text: every byte that does not continue a character.
inline std::size_t columns(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](unsigned char c) { return (c & 0xC0U) != 0x80U; }));
}

}  // namespace ganymede::cli
