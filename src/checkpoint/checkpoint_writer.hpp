// Checkpoints written in the background, by a thread of their own, one at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "checkpoint/checkpoint.hpp"

namespace ganymede {

/// What became of a checkpoint.
struct WrittenCheckpoint {
  std::uint64_t step = 0;
  std::string failure;        ///< why it was not written; empty: it was
  std::string prune_failure;  ///< why an old one stays; empty: none does
  double seconds = 0;         ///< that it took
};

/// Used by one thread, the one that trains.
class CheckpointWriter {
 public:
  CheckpointWriter(std::filesystem::path run, const Retention& retention);
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;
  /// Waits for the one under way.
  ~CheckpointWriter();

  /// Begins to write the checkpoint of `step`, which `make` makes in the other thread, and then prunes;
  /// `newest_of_all`: abandons those beyond it. Only after finish() has told of the one before it.
  void begin(std::uint64_t step, bool newest_of_all, std::function<Checkpoint()> make);

  /// Whether one is being written at this moment.
  [[nodiscard]] bool under_way() const { return thread_.joinable() && !done_.load(); }

  /// Waits for the one begun last, with a beat for each piece of it that is completed, and tells what became of it;
  /// nothing when that is told, or there was none.
  std::optional<WrittenCheckpoint> finish();

 private:
  void await();
  void write(bool newest_of_all, const std::function<Checkpoint()>& make);

  std::filesystem::path run_;
  Retention retention_;
  std::thread thread_;
  std::atomic<bool> done_{false};
  std::atomic<std::uint32_t> pieces_{0};     // of the file system's work, completed
  std::optional<WrittenCheckpoint> result_;  // the thread's until it has been joined
};

}  // namespace ganymede
