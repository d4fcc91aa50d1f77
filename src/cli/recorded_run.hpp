// A run as its folder's config.ini and metrics.jsonl tell of it: what `report` and `metrics` are given.
#pragma once

#include <string>
#include <vector>

#include "ganymede/metrics.hpp"
#include "report/report.hpp"

namespace ganymede::cli {

/// Throws Error(data) where the folder holds no run. `records`, where it is not null, gets all of them.
ReportedRun read_recorded_run(const std::string& place, std::vector<MetricsRecord>* records = nullptr);

}  // namespace ganymede::cli
