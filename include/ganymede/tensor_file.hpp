// Named float32 tensors in a safetensors file, the format that PyTorch, JAX and others read. Used for
// weights and for what a checkpoint holds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace ganymede {

struct Tensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;  ///< row-major
};

struct TensorFile {
  std::vector<Tensor> tensors;                  ///< in file order
  std::map<std::string, std::string> metadata;  ///< `__metadata__`

  /// The tensor called `name`; throws Error(data) naming the file's tensors when there is none.
  [[nodiscard]] const Tensor& at(const std::string& name) const;

  /// XXH3-128 over the values of the tensors, in order, in hex: what --reproducible promises to be equal.
  [[nodiscard]] std::string weights_digest() const;

  /// The file's bytes: the same tensors and metadata always give the same bytes (keys sorted, header
  /// padded to 8 bytes, tensors in order).
  [[nodiscard]] std::string serialize() const;
  /// Parses; checks every size and offset against what is there before it takes memory, and the rest against the
  /// digest that write() leaves, where there is one. Throws Error(data) that names `source`, the field, what was
  /// expected and what was found.
  static TensorFile parse(const std::string& bytes, const std::string& source);

  /// Writes aside, fsyncs, renames, fsyncs the folder: the file is complete or not there. Its metadata get a digest
  /// (`ganymede-digest`) of all the rest, so that damage is seen. Throws Error(data).
  void write(const std::filesystem::path& file) const;
  /// The bytes of that file.
  [[nodiscard]] std::string sealed() const;
  static TensorFile read(const std::filesystem::path& file);
};

}  // namespace ganymede
