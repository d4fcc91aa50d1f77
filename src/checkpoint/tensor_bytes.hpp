// The bytes of a tensor file, for whoever has a digest to hold them against.
#pragma once

#include <filesystem>
#include <string>

namespace ganymede {

/// What TensorFile::read() parses. A size that the file's header does not account for is found out before there is
/// memory for it. Throws Error(data).
std::string read_tensor_bytes(const std::filesystem::path& file);

}  // namespace ganymede
