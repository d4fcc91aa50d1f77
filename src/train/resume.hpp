// What a training that is resumed goes on from, and whether it may.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/weights_facts.hpp"
#include "gan/gan.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

/// What `find` finds on rank 0, which alone calls it, on every rank: only its host needs to see the run's folder.
/// Collective.
std::optional<FoundCheckpoint> find_checkpoint(Communicator& ranks,
                                               const std::function<std::optional<FoundCheckpoint>()>& find);

/// What its generator's file says of itself.
WeightsFacts generator_facts(const FoundCheckpoint& found);

/// How a training differs from that of the checkpoint it goes on from.
struct TrajectoryChanges {
  std::vector<std::string> made;      ///< "r1 5 → 1", with --allow-change
  std::vector<std::string> warnings;  ///< names of --allow-change that change nothing
};

/// Holds the options and the images (by `data_digest`; `data` is their folder, `shape` what networks are made for)
/// against those of the checkpoint. Throws Error that lists every difference that --allow-change does not name, and
/// says which of them it could.
TrajectoryChanges check_same_trajectory(const FoundCheckpoint& found, const TrainOptions& options,
                                        const std::string& data_digest, const std::string& data,
                                        const DataShape& shape);

}  // namespace ganymede
