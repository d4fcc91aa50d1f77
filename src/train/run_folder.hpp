// The folder of a run: what is written where, and by one training at a time.
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

  [[nodiscard]] std::filesystem::path lock() const { return root_ / ".lock"; }

  /// Makes the folders that training writes to. Throws Error(data).
  void make() const;

 private:
  std::filesystem::path root_;
};

/// A training's hold on its run's folder: flock on RUN/.lock, which the kernel lets go however the process ends. The
/// file says who holds it; it stays, and blocks nothing.
class RunLock {
 public:
  /// Throws Error(usage) that names the holder where another training has it, Error(data) where the file cannot be
  /// written.
  explicit RunLock(const RunFolder& folder);
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  ~RunLock();

  /// Why the folder is not held after all, where its file system has no such locks; else empty.
  [[nodiscard]] const std::string& warning() const { return warning_; }

 private:
  int file_ = -1;
  std::string warning_;
};

}  // namespace ganymede
