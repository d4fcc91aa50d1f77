// What `sample`, `export` and `inspect` are given: a run's folder, one of its checkpoints, or a weights file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/weights_facts.hpp"
#include "ganymede/options.hpp"
#include "ganymede/shapes.hpp"
#include "ganymede/tensor_file.hpp"

namespace ganymede::cli {

struct SavedRun {
  enum class Kind { finished_run, checkpoint, weights_file };

  Kind kind = Kind::weights_file;
  std::filesystem::path source;
  std::uint64_t step = 0;
  std::uint64_t images_seen = 0;
  std::map<std::string, std::string> options;
  WeightsFacts facts;                       ///< what else it says of itself
  std::map<std::string, TensorFile> files;  ///< "generator", "discriminator", and in checkpoints the rest
  std::vector<std::string> refused;         ///< what was passed over for it, and why: a sentence each
};

/// "finished run", "checkpoint" or "weights file".
const char* kind_text(SavedRun::Kind kind);

/// Reads it. A run's folder: its final weights, or its newest valid checkpoint when it has none (both networks', of one
/// step) or when that is newer. Throws Error(data).
SavedRun read_saved_run(const std::filesystem::path& place);

/// The newest valid checkpoint of a run's folder, if there is one.
std::optional<SavedRun> newest_saved_checkpoint(const std::filesystem::path& run);

/// Says on stderr what was passed over.
void warn_of_refused(const SavedRun& run);

/// The options it was trained with; throws Error(data) when it holds none that this program knows.
TrainOptions saved_options(const SavedRun& run);

/// The generator's weights that pictures are drawn from: the average where there is one.
const TensorFile& picture_weights(const SavedRun& run);

/// What its generator makes. Throws Error(data).
DataShape saved_shape(const SavedRun& run);

}  // namespace ganymede::cli
