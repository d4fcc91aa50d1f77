// One training at a time writes to a run's folder.
#pragma once

#include <string>

#include "report/run_folder.hpp"

namespace ganymede {

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
