// A run as its folder's config.ini and metrics.jsonl tell of it: what `report` and `metrics` are given, and which
// data `eval` and `latent` look at.
#pragma once

#include <string>
#include <vector>

#include "ganymede/metrics.hpp"
#include "report/report.hpp"

namespace ganymede::cli {

/// Throws Error(data) where the folder holds no run. `records`, where it is not null, gets all of them.
ReportedRun read_recorded_run(const std::string& place, std::vector<MetricsRecord>* records = nullptr);

/// The set that a run's folder says it was trained on; empty where it does not.
std::string recorded_data(const std::string& place);

}  // namespace ganymede::cli
