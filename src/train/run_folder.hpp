// The folder of a run: what is written where.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "ganymede/tensor_file.hpp"

namespace ganymede {

class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path root) : root_(std::move(root)) {}

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  [[nodiscard]] std::filesystem::path config() const { return root_ / "config.ini"; }
  [[nodiscard]] std::filesystem::path metrics() const { return root_ / "metrics.jsonl"; }
  [[nodiscard]] std::filesystem::path samples() const { return root_ / "samples"; }
  [[nodiscard]] std::filesystem::path sample(std::uint64_t step) const;
  [[nodiscard]] std::filesystem::path log(int rank) const;
  /// The final weights: the generator's are those that pictures are drawn from (its average with --ema).
  [[nodiscard]] std::filesystem::path generator() const { return root_ / "generator.safetensors"; }
  [[nodiscard]] std::filesystem::path discriminator() const { return root_ / "discriminator.safetensors"; }

  /// Makes the folders that training writes to. Throws Error(data).
  void make() const;

 private:
  std::filesystem::path root_;
};

}  // namespace ganymede
