// One training at a time writes to a run's folder; and one that has lost it without knowing writes nothing more.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "report/run_folder.hpp"

namespace ganymede {

/// A training's hold on its run's folder: flock on RUN/.lock, which the kernel lets go however the process ends. The
/// file says who holds it, since when, and how many have held it, this one included: its generation. It stays, and
/// blocks nothing.
///
/// A file server may let go of the lock of a host that is cut off, and whoever trains there goes on. When another
/// training has taken the folder meanwhile, the file names that one: check() sees it.
class RunLock {
 public:
  /// Throws Error(data) that names the holder where another training has it, or where the file cannot be written.
  explicit RunLock(const RunFolder& folder);
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  ~RunLock();

  /// Why the folder is not held after all, where its file system has no such locks; else empty.
  [[nodiscard]] const std::string& warning() const { return warning_; }

  /// 1 for the folder's first training, and one more for each after it.
  [[nodiscard]] std::uint64_t generation() const { return generation_; }

  /// Throws Error(data) when another training has taken the folder. To be called before anything is given its name
  /// there; from any thread.
  void check() const;

  /// Puts a file into the folder as write_file_atomically() does, unless another training has taken the folder. That
  /// one's start deletes what is still being written: also for a process that is stopped right before the rename, there
  /// is no way to put something over its successor's.
  /// `first` is called once the file is written aside, and where it throws, the file is not put there: two files that
  /// make a pair are put so, one in the `first` of the other.
  void put(const std::filesystem::path& file, std::string_view bytes, const std::function<void()>& first = {}) const;

 private:
  std::filesystem::path name_;
  int file_ = -1;
  std::uint64_t generation_ = 1;
  std::string line_;
  std::string warning_;
};

/// Whether a training has the run's folder; also where that cannot be known, as without locks.
bool is_in_use(const RunFolder& folder);

}  // namespace ganymede
