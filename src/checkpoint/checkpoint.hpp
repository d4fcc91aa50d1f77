// Checkpoints: everything that a trajectory needs, independent of the number of ranks. A checkpoint is a
// folder RUN/checkpoints/step-00001200/ with a manifest.json (format version, step, options, sizes and
// digests of its files) and safetensors files; it is complete or it is absent.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ganymede/tensor_file.hpp"

namespace ganymede {

/// Keeps whoever has lost the run's folder without knowing from giving anything a name in it.
struct Fence {
  /// Stands in the hidden name of what is being written: a later training deletes it, and the rename then fails.
  std::uint64_t generation = 0;
  /// Called before each rename and each deletion; throws Error when another training has the folder.
  std::function<void()> check = [] {};
};

struct Checkpoint {
  std::uint64_t step = 0;                      ///< steps completed
  std::uint64_t images_seen = 0;               ///< real images shown to D
  std::map<std::string, std::string> options;  ///< every option that determines the trajectory, by name
  std::string data_digest;                     ///< Dataset::digest() of the training images
  std::string arithmetic;                      ///< Device::arithmetic(): what bits depend on
  std::string program;                         ///< version that wrote it
  std::map<std::string, TensorFile> files;     ///< "generator", "discriminator", … → NAME.safetensors
  Fence fence = {};                            ///< of who writes it; not stored
  std::filesystem::path log = {};              ///< brought to the disk before it has its name; empty: none. Not stored
};

/// RUN/checkpoints/step-00001200.
std::filesystem::path checkpoint_folder(const std::filesystem::path& run, std::uint64_t step);

/// Writes aside (a hidden sibling folder), fsyncs every file and the log, renames, fsyncs the parent. Returns the
/// folder. Throws Error(data); what was there stays.
std::filesystem::path write_checkpoint(const std::filesystem::path& run, const Checkpoint& checkpoint);

/// Which checkpoints stay.
struct Retention {
  int newest = 0;             ///< so many; 0: all
  std::uint64_t every = 0;    ///< and those of steps that are multiples of it; 0: none
  std::uint64_t regular = 0;  ///< so many of steps that are multiples of this, too: a run that is interrupted has
                              ///< others besides, and must not go back further than one that is not. 0: none
};

/// Deletes those that need not stay, up to `step`, the one just written. Those beyond it neither count nor go. Throws
/// Error(data) for the first that stays though it should not, once the others are gone; no sound checkpoint becomes a
/// damaged one.
void prune_checkpoints(const std::filesystem::path& run, std::uint64_t step, const Retention& retention,
                       const Fence& fence);

/// Deletes those beyond `step`, in the same way: of a training that went back to before them.
void abandon_checkpoints(const std::filesystem::path& run, std::uint64_t step, const Fence& fence);

/// Whether a folder looks like one, sound or not.
bool is_checkpoint(const std::filesystem::path& folder);

/// Reads and checks one; throws Error(data) that says what is wrong with which file.
Checkpoint read_checkpoint(const std::filesystem::path& folder);

/// The newest complete and valid checkpoint of a run, and why newer ones were refused.
struct FoundCheckpoint {
  std::filesystem::path folder;
  Checkpoint checkpoint;
  std::vector<std::string> refused;  ///< a sentence each
};
/// nullopt when the run has none at all; throws Error(data) listing the reasons when it has some but none
/// is valid.
std::optional<FoundCheckpoint> newest_checkpoint(const std::filesystem::path& run);

/// The same for whoever can do without: nullopt, too, when none is valid; why those before it were refused is added to
/// `refused` instead. Of the checkpoints of other steps than those that are `wanted` nothing is said.
std::optional<FoundCheckpoint> newest_checkpoint(
    const std::filesystem::path& run, std::vector<std::string>& refused,
    const std::function<bool(std::uint64_t)>& wanted = [](std::uint64_t) { return true; });

/// A checkpoint of a run, as it was found when it was read and checked.
struct CheckpointState {
  std::filesystem::path folder;
  std::uint64_t step = 0;
  std::uint64_t images_seen = 0;
  std::string refused;  ///< why it cannot be used; empty: it can
};

/// All of a run's, by step; one that is pruned meanwhile is none of them. Throws Error(data) where they cannot be
/// listed.
std::vector<CheckpointState> check_checkpoints(const std::filesystem::path& run);

/// Deletes what an interrupted write left behind. Throws Error(data) for the first that stays, once the others are
/// gone.
void sweep_checkpoints(const std::filesystem::path& run);

}  // namespace ganymede
