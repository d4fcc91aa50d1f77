// What a training that is resumed goes on from, and whether it may.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

/// The run's newest valid checkpoint, read by rank 0 alone, on every rank; nothing where there is none. Collective.
std::optional<FoundCheckpoint> find_checkpoint(const TrainOptions& options, Communicator& ranks);

/// How a training differs from that of the checkpoint it goes on from.
struct TrajectoryChanges {
  std::vector<std::string> made;      ///< "r1 5 → 1", with --allow-change
  std::vector<std::string> warnings;  ///< names of --allow-change that change nothing
};

/// Holds the options and the images (by `data_digest`; `data` is their folder) against those of the checkpoint. Throws
/// Error that lists every difference that --allow-change does not name, and says which of them it could.
TrajectoryChanges check_same_trajectory(const FoundCheckpoint& found, const TrainOptions& options,
                                        const std::string& data_digest, const std::string& data);

}  // namespace ganymede
