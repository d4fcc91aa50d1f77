// See recorded_run.hpp.
#include "cli/recorded_run.hpp"

#include <system_error>

#include "cli/train_arguments.hpp"
#include "ganymede/error.hpp"
#include "report/metrics_log.hpp"
#include "report/run_folder.hpp"
#include "train/findings_of.hpp"

namespace ganymede::cli {
namespace {

namespace fs = std::filesystem;

}  // namespace

ReportedRun read_recorded_run(const std::string& place, std::vector<MetricsRecord>* records) {
  const RunFolder folder(place);
  std::error_code error;
  if (!fs::exists(folder.config(), error))
    throw Error(ExitCode::data, place + " holds no run: name a folder that `ganymede train --out` has written");
  ReportedRun run;
  run.folder = place;
  const StoredConfiguration stored = read_stored_configuration(folder.config());
  run.recipe = stored.recipe;
  run.options = stored.options;
  run.findings = findings_of(stored.options);
  if (!fs::is_regular_file(folder.metrics(), error)) return run;
  std::vector<MetricsRecord> read = read_metrics(folder.metrics(), run.damage);
  for (const MetricsRecord& record : read) {
    run.curves.add(record);
    run.findings.follow(record);
  }
  if (records != nullptr) *records = std::move(read);
  return run;
}

std::string recorded_data(const std::string& place) {
  std::error_code error;
  // A run, weights in it, or a folder of its checkpoints.
  fs::path at = fs::absolute(place, error).lexically_normal();
  if (!at.has_filename()) at = at.parent_path();  // "step-00005000/"
  for (int up = 0; up < 3 && !at.empty(); ++up, at = at.parent_path()) {
    const RunFolder folder(at);
    if (!fs::is_regular_file(folder.config(), error)) continue;
    const StoredConfiguration stored = read_stored_configuration(folder.config());
    const auto data = stored.options.find("data");
    return data == stored.options.end() ? std::string() : data->second;
  }
  return {};
}

}  // namespace ganymede::cli
