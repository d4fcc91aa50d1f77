// `ganymede eval --metrics memorisation`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "cli/eval_report.hpp"
#include "cli/generator_source.hpp"
#include "ganymede/dataset.hpp"

namespace ganymede::cli {

/// What the data set is to the run; empty: it holds the images that the run was trained on, and others.
std::string memorisation_obstacle(const SavedGenerator& saved, const Dataset& data);

/// Adds the metric; rank 0 writes the closest pairs as a picture to `picture`, unless that is empty there. Collective.
void measure_memorisation(const SavedGenerator& saved, eval::SampleSource& source, std::uint64_t count,
                          const Dataset& data, const std::filesystem::path& picture, Device& device,
                          Communicator& ranks, EvalReport& report);

}  // namespace ganymede::cli
