// A run's event files: RUN/tensorboard, or a folder of their own.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "ganymede/metrics.hpp"
#include "report/run_folder.hpp"

namespace ganymede::tensorboard {

/// Whether TensorBoard would find events in the folder. `but`: a file that does not count.
bool holds_events(const std::filesystem::path& folder, const std::filesystem::path& but = {});

/// Where the events go that are written from now on: TensorBoard reads a folder's files in the order of their names,
/// and this one is the last of them. `now`: seconds since 1970.
std::filesystem::path next_event_file(const std::filesystem::path& folder, double now);

/// The one that a run's past is exported to: the first of them.
std::filesystem::path exported_event_file(const std::filesystem::path& folder);

/// A run's past up to and including `last_step` as a whole event file: its options, records and sample grids, at the
/// times at which training made them. Throws Error(data) where a grid cannot be read.
std::string past_events(const RunFolder& run, const std::map<std::string, std::string>& options,
                        std::span<const MetricsRecord> records, std::uint64_t last_step);

}  // namespace ganymede::tensorboard
