#include "train/train_log.hpp"

#include <spdlog/sinks/basic_file_sink.h>

#include <utility>

#include "core/files.hpp"
#include "ganymede/error.hpp"
#include "report/run_log.hpp"

namespace ganymede {

void TrainLog::open(const std::filesystem::path& file, bool go_on) {
  try {
    // Rank 0 has made the folder; a rank whose host does not see it makes its own.
    make_folders(file.parent_path());
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string(), !go_on);
    logger_ = std::make_unique<spdlog::logger>("rank", std::move(sink));
  } catch (const spdlog::spdlog_ex& failure) {
    throw Error(ExitCode::data, "cannot write the log " + file.string() + ": " + failure.what());
  }
  logger_->set_pattern(run_log::pattern);
  // Of every line that is lost spdlog would tell, and on the terminal. Rank 0's log has what the others' have.
  logger_->set_error_handler([this](const std::string& reason) {
    if (!std::exchange(incomplete_, true) && warned_) warned_("the log is incomplete, training goes on: " + reason);
  });
  logger_->flush_on(spdlog::level::info);
}

void TrainLog::ignore_failures() {
  logger_->set_error_handler([](const std::string& /*message*/) {});
}

void TrainLog::warn(const std::string& message) {
  note_warning(message);
  if (warned_) warned_(message);
}

}  // namespace ganymede
