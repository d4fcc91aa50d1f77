// Copies, begins, waits, tells.
#include "train/state_saver.hpp"

#include <utility>

#include "core/numbers.hpp"
#include "core/stopwatch.hpp"
#include "ganymede/error.hpp"
#include "train/rollback.hpp"

namespace ganymede {
namespace {

std::string milliseconds(double seconds) { return formatted("%.1f ms", seconds * 1e3); }

}  // namespace

StateSaver::StateSaver(const TrainOptions& options, Communicator& ranks, const Gan& gan, Checkpoint kind,
                       std::uint64_t first_step, SaverEvents events)
    : options_(options),
      ranks_(ranks),
      kind_(std::move(kind)),
      events_(std::move(events)),
      saved_step_(first_step),
      begun_step_(first_step) {
  on_root(ranks_, [&] {
    snapshot_.emplace(gan);
    writer_.emplace(options.out, Retention{options.keep, options.keep_every, options.checkpoint_every});
  });
}

void StateSaver::save(std::uint64_t step, std::uint64_t images_seen) {
  if (step == begun_step_) return;
  begun_step_ = step;
  on_root(ranks_, [&] {
    if (writer_->under_way()) {
      const Stopwatch watch;
      conclude(false);
      ++waits_;
      waited_seconds_ += watch.seconds();
    } else {
      conclude(false);
    }
    const Stopwatch watch;
    snapshot_->take();
    copy_seconds_ = watch.seconds();
    // A training that went back has left others beyond this one.
    writer_->begin(step, rollbacks_ > 0, [this, step, images_seen, rollbacks = rollbacks_] {
      Checkpoint checkpoint = kind_;
      checkpoint.step = step;
      checkpoint.images_seen = images_seen;
      checkpoint.files = snapshot_->files();
      store_rollbacks(rollbacks, checkpoint);
      return checkpoint;
    });
  });
}

void StateSaver::collect() {
  if (!writer_->under_way()) conclude(false);
}

void StateSaver::finish() {
  on_root(ranks_, [&] {
    conclude(true);
    if (written_ > 0)
      events_.saved(std::to_string(written_) + (written_ == 1 ? " checkpoint" : " checkpoints") + " written, " +
                    std::to_string(waits_) + " of them waited for, " + milliseconds(waited_seconds_) + " in all");
    if (!failure_.empty()) throw Error(ExitCode::data, failure_);
  });
}

// Tells what became of the one begun last; `last`: finish() is about to report a failure itself.
void StateSaver::conclude(bool last) {
  const std::optional<WrittenCheckpoint> written = writer_->finish();
  if (!written) return;
  failure_ = written->failure;
  if (failure_.empty()) {
    saved_step_ = written->step;
    ++written_;
    events_.saved("checkpoint " + checkpoint_folder(options_.out, written->step).filename().string() + ": copied in " +
                  milliseconds(copy_seconds_) + ", written in " + milliseconds(written->seconds));
    if (!written->prune_failure.empty()) events_.warned("an old checkpoint stays: " + written->prune_failure);
    return;
  }
  if (options_.checkpoint_failure == "stop") throw Error(ExitCode::data, failure_);
  if (!last) events_.warned(failure_ + "; training goes on (--checkpoint-failure warn)");
}

std::string StateSaver::what_stands() {
  if (ranks_.is_root()) {
    try {
      conclude(false);
    } catch (const Error& failure) {
      events_.warned(failure.what());
    }
  }
  ranks_.broadcast(&saved_step_, sizeof saved_step_, 0);
  if (saved_step_ == 0) return "no checkpoint was written before it";
  return "the checkpoint of step " + std::to_string(saved_step_) + " in " + options_.out + " still stands";
}

}  // namespace ganymede
