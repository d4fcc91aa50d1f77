// Any bytes as a checkpoint's manifest: refused with an Error, or exactly what a manifest is written as.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "checkpoint/manifest.hpp"
#include "ganymede/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  ganymede::Manifest manifest;
  try {
    manifest = ganymede::Manifest::parse(text, "input");
  } catch (const ganymede::Error&) {
    return 0;
  }
  if (manifest.serialize() != text) std::abort();
  for (const auto& [name, file] : manifest.files) {
    if (name.find('/') != std::string_view::npos || name.front() == '.') std::abort();
  }
  return 0;
}
