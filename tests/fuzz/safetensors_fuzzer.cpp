// Any bytes as a safetensors file: refused with an Error, or consistent with what is written from them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "ganymede/error.hpp"
#include "ganymede/tensor_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ganymede::TensorFile file;
  try {
    file = ganymede::TensorFile::parse(std::string(reinterpret_cast<const char*>(data), size), "input");
  } catch (const ganymede::Error&) {
    return 0;
  }
  // From here on nothing may be refused: what was read can be written and read again.
  const std::string bytes = file.serialize();
  if (ganymede::TensorFile::parse(bytes, "written").serialize() != bytes) std::abort();
  return 0;
}
