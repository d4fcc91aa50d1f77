// A training's log, RUN/logs/rank-NNNN.log of this rank, and what of it the user is told at once.
#pragma once

#include <spdlog/logger.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace ganymede {

class TrainLog {
 public:
  /// `warned`: who is to be told of warnings; empty on other ranks than 0.
  explicit TrainLog(std::function<void(const std::string&)> warned) : warned_(std::move(warned)) {}

  /// Makes the file's folder where there is none; a resumed run's lines go behind the earlier ones. Error(data).
  void open(const std::filesystem::path& file, bool go_on);
  /// From now on a line that cannot be written is nobody's concern.
  void ignore_failures();

  void info(const std::string& message) { logger_->info("{}", message); }
  void error(const std::string& message) { logger_->error("{}", message); }
  /// To the user, too.
  void warn(const std::string& message);
  /// To the log alone.
  void note_warning(const std::string& message) { logger_->warn("{}", message); }
  void flush() { logger_->flush(); }

 private:
  std::function<void(const std::string&)> warned_;
  std::unique_ptr<spdlog::logger> logger_;
  bool incomplete_ = false;
};

}  // namespace ganymede
