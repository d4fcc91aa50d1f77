// The thread lives as long as its one checkpoint: starting it takes microseconds, and joining it is all the
// synchronisation that its result needs.
#include "checkpoint/checkpoint_writer.hpp"

#include <chrono>
#include <system_error>
#include <utility>

#include "ganymede/error.hpp"

namespace ganymede {

CheckpointWriter::CheckpointWriter(std::filesystem::path run, const Retention& retention)
    : run_(std::move(run)), retention_(retention) {}

CheckpointWriter::~CheckpointWriter() {
  if (thread_.joinable()) thread_.join();
}

void CheckpointWriter::begin(std::uint64_t step, bool newest_of_all, std::function<Checkpoint()> make) {
  result_.emplace().step = step;
  done_ = false;
  try {
    thread_ = std::thread([this, newest_of_all, make = std::move(make)] {
      write(newest_of_all, make);
      done_ = true;
    });
  } catch (const std::system_error& failure) {
    result_->failure = std::string("no thread could be started to write it: ") + failure.what();
  }
}

std::optional<WrittenCheckpoint> CheckpointWriter::finish() {
  if (thread_.joinable()) thread_.join();
  return std::exchange(result_, std::nullopt);
}

// Failures leave as text: they are reported by another thread, to all ranks.
void CheckpointWriter::write(bool newest_of_all, const std::function<Checkpoint()>& make) {
  const auto began = std::chrono::steady_clock::now();
  try {
    write_checkpoint(run_, make());
  } catch (const std::exception& failure) {
    result_->failure = failure.what();
  }
  if (result_->failure.empty()) {
    try {
      if (newest_of_all) abandon_checkpoints(run_, result_->step);
      prune_checkpoints(run_, result_->step, retention_);
    } catch (const std::exception& failure) {
      result_->prune_failure = failure.what();
    }
  }
  result_->seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace ganymede
