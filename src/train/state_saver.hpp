// When a training's state is saved, and what happens when that fails: rank 0 copies it at a step boundary and writes
// the copy in the background, and all ranks learn at the next point where they meet what became of it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "checkpoint/checkpoint_writer.hpp"
#include "gan/snapshot.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

/// Whom rank 0 tells: of what goes well, and of what a user should know.
struct SaverEvents {
  std::function<void(const std::string&)> saved;
  std::function<void(const std::string&)> warned;
};

class StateSaver {
 public:
  /// `kind` is what all checkpoints of the run have in common; `first_step` that of the one it goes on from, or 0. All
  /// that is referred to must outlive it. Collective, as is every member but collect().
  StateSaver(const TrainOptions& options, Communicator& ranks, const Gan& gan, Checkpoint kind,
             std::uint64_t first_step, SaverEvents events);

  /// Copies the state of `step` and begins to write it, once what was begun before is written. Once for each step.
  void save(std::uint64_t step, std::uint64_t images_seen);

  /// From now on states are those of a training that has gone back so often; steps come a second time. Not collective.
  void set_rollbacks(std::uint64_t rollbacks) {
    rollbacks_ = rollbacks;
    begun_step_ = 0;
  }

  /// Rank 0's, inside on_root(): tells of what was begun when that has ended. Throws Error(data) when it failed, unless
  /// training is to go on all the same.
  void collect();

  /// Waits for what was begun. Throws AgreedError(data) unless the state saved last is on disk now.
  void finish();

  /// What a failure leaves on disk, in words; waits for what was begun.
  std::string what_stands();

 private:
  void conclude(bool last);

  const TrainOptions& options_;
  Communicator& ranks_;
  Checkpoint kind_;
  SaverEvents events_;
  std::uint64_t saved_step_;  // of the newest checkpoint; 0: there is none. Rank 0's is the newest
  std::uint64_t begun_step_;  // the newest that was to be saved
  std::uint64_t rollbacks_ = 0;
  // Rank 0's.
  std::optional<GanSnapshot> snapshot_;
  std::optional<CheckpointWriter> writer_;
  std::string failure_;  // of the last one
  double copy_seconds_ = 0;
  std::uint64_t written_ = 0;
  std::uint64_t waits_ = 0;
  double waited_seconds_ = 0;
};

}  // namespace ganymede
