// Where a training may leave its run, and rank 0's hold on that folder.
#pragma once

#include <memory>

#include "ganymede/communicator.hpp"
#include "ganymede/options.hpp"
#include "train/run_lock.hpp"

namespace ganymede {

/// Refuses a run's folder that is missing from the options, or that could not be made or written to. Throws Error.
void check_run_place(const TrainOptions& options);

/// Refuses one that already holds a run which is not to be resumed, or files that a run would write over. Throws
/// Error(usage).
void check_no_other_run(const TrainOptions& options);

/// Both checks, and rank 0's hold on the run's folder, taken before anything is read in it. Null on other ranks, and
/// for a folder that holds no run yet: there nothing is written before everything is checked. Collective.
std::unique_ptr<RunLock> hold_begun_run(const TrainOptions& options, Communicator& ranks);

/// Rank 0's: makes the folder and takes hold of it. Throws Error(usage) where another training has begun a run there
/// since the checks.
std::unique_ptr<RunLock> hold_new_run(const TrainOptions& options);

}  // namespace ganymede
