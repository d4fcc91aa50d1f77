// The thread lives as long as its one checkpoint: starting it takes microseconds, and joining it is all the
// synchronisation that its result needs.
#include "checkpoint/checkpoint_writer.hpp"

#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "core/heartbeat.hpp"
#include "core/stopwatch.hpp"
#include "ganymede/error.hpp"

namespace ganymede {

CheckpointWriter::CheckpointWriter(std::filesystem::path run, const Retention& retention)
    : run_(std::move(run)), retention_(retention) {}

CheckpointWriter::~CheckpointWriter() { await(); }

void CheckpointWriter::begin(std::uint64_t step, bool newest_of_all, std::function<Checkpoint()> make) {
  result_.emplace().step = step;
  done_ = false;
  // Made now: what there is no memory for cannot be said with what takes some.
  const std::string not_written = "the checkpoint of step " + std::to_string(step) + " could not be written";
  try {
    thread_ = std::thread(
        [this, newest_of_all, make = std::move(make), no_memory = not_written + ": out of memory"]() mutable {
          const heartbeat::Aside aside(pieces_);
          try {
            write(newest_of_all, make);
          } catch (const std::bad_alloc&) {
            result_->failure = std::move(no_memory);
          }
          done_ = true;
          heartbeat::piece();
        });
  } catch (const std::system_error& failure) {
    result_->failure = not_written + ", as no thread could be started for it: " + failure.what();
  }
}

std::optional<WrittenCheckpoint> CheckpointWriter::finish() {
  await();
  return std::exchange(result_, std::nullopt);
}

// Whoever waits gets on as what it waits for does: a write that stands still is one that hangs.
void CheckpointWriter::await() {
  if (!thread_.joinable()) return;
  heartbeat::phase("being written");
  for (std::uint32_t seen = pieces_.load(); !done_.load(); seen = pieces_.load()) {
    pieces_.wait(seen);
    heartbeat::beat();
  }
  thread_.join();
  heartbeat::phase({});
}

// Failures leave as text: they are reported by another thread, to all ranks. Throws std::bad_alloc alone.
void CheckpointWriter::write(bool newest_of_all, const std::function<Checkpoint()>& make) {
  const Stopwatch watch;
  Fence fence;
  try {
    const Checkpoint checkpoint = make();
    fence = checkpoint.fence;
    write_checkpoint(run_, checkpoint);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& failure) {
    result_->failure = failure.what();
  }
  if (result_->failure.empty()) {
    try {
      if (newest_of_all) abandon_checkpoints(run_, result_->step, fence);
      prune_checkpoints(run_, result_->step, retention_, fence);
    } catch (const std::exception& failure) {
      result_->prune_failure = failure.what();
    }
  }
  result_->seconds = watch.seconds();
}

}  // namespace ganymede
