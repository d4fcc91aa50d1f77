// manifest.json of a checkpoint: what the checkpoint is, and the size and digest of each of its files.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace ganymede {

struct Manifest {
  struct File {
    std::uint64_t bytes = 0;
    std::string digest;  ///< XXH3-128, hex
  };
  std::uint64_t step = 0;
  std::uint64_t images_seen = 0;
  std::map<std::string, std::string> options;
  std::string data_digest;
  std::string arithmetic;
  std::string program;
  std::map<std::string, File> files;  ///< by file name, "generator.safetensors"

  /// The file's text. Its field "digest" is the digest of the same text without that field, so that damage
  /// anywhere in it is found.
  [[nodiscard]] std::string serialize() const;

  /// Takes only what serialize() writes, byte for byte. Throws Error(data) that names `source`, the field,
  /// what was expected and what was found.
  static Manifest parse(std::string_view text, const std::string& source);
};

/// True for names that a manifest may give a file: NAME.safetensors of letters, digits, '-', '_' and '.',
/// not led by a '.', so that none can point out of its folder.
bool is_checkpoint_file_name(std::string_view name);

}  // namespace ganymede
