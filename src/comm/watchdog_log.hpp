// The watchdog's lines in the log, written by a thread of their own: the disk that they go to may be what hangs, and
// whoever says so must not hang with it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

namespace ganymede::comm {

class WatchdogLog {
 public:
  WatchdogLog();
  WatchdogLog(const WatchdogLog&) = delete;
  WatchdogLog& operator=(const WatchdogLog&) = delete;
  /// Leaves behind what is not written within a moment.
  ~WatchdogLog();

  /// Further lines go to the end of `file`, which must be there; nowhere while this is empty.
  void keep_in(const std::filesystem::path& file);
  /// Returns at once. `level` as spdlog names it.
  void add(const char* level, const std::string& line);
  /// Whether all lines were written after at most so many seconds.
  bool written_within(double seconds);

 private:
  struct Lines;
  static void write(const std::shared_ptr<Lines>& lines);  // the thread

  std::shared_ptr<Lines> lines_;  // also the thread's, which may outlive this
  std::thread thread_;
  std::filesystem::path file_;
};

}  // namespace ganymede::comm
