// See event_file.hpp.
#include "tensorboard/event_file.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string_view>
#include <system_error>

#include "core/files.hpp"
#include "core/numbers.hpp"
#include "ganymede/communicator.hpp"
#include "tensorboard/events.hpp"

namespace ganymede::tensorboard {
namespace {

namespace fs = std::filesystem;

// TensorBoard takes every file for one that has "tfevents" in its name.
constexpr std::string_view beginning = "events.out.tfevents.";

// Calls visit(name) for each.
template <class Visit>
void for_each_event_file(const fs::path& folder, const Visit& visit) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.find("tfevents") != std::string::npos) visit(name);
  }
}

// Seconds since 1970.
double time_of_change(const fs::path& file) {
  std::error_code error;
  const fs::file_time_type time = fs::last_write_time(file, error);
  const auto system = error ? std::chrono::system_clock::now() : std::chrono::file_clock::to_sys(time);
  return std::chrono::duration<double>(system.time_since_epoch()).count();
}

}  // namespace

bool holds_events(const fs::path& folder, const fs::path& but) {
  bool any = false;
  for_each_event_file(folder, [&](const std::string& name) { any = any || folder / name != but; });
  return any;
}

fs::path next_event_file(const fs::path& folder, double now) {
  auto seconds = static_cast<long long>(now);
  // A clock may have been set back.
  for_each_event_file(folder, [&](const std::string& name) {
    if (name.starts_with(beginning))
      seconds = std::max(seconds, static_cast<long long>(leading_number(name.substr(beginning.size()))) + 1);
  });
  return folder / (std::string(beginning) + formatted("%010lld.", seconds) + host_name());
}

fs::path exported_event_file(const fs::path& folder) {
  return folder / (std::string(beginning) + "0000000000.exported");
}

std::string past_events(const RunFolder& run, const std::map<std::string, std::string>& options,
                        std::span<const MetricsRecord> records, std::uint64_t last_step) {
  // The last record was written when the file changed last, and each says after how many seconds of training it was.
  const double end = time_of_change(records.empty() ? run.config() : run.metrics());
  const auto seconds = [](const MetricsRecord& record) { return std::isfinite(record.seconds) ? record.seconds : 0; };
  const double begin = records.empty() ? end : end - seconds(records.back());
  const auto time_of = [&](std::uint64_t step) {
    const auto later = std::upper_bound(records.begin(), records.end(), step,
                                        [](std::uint64_t s, const MetricsRecord& r) { return s < r.step; });
    return later == records.begin() ? begin : begin + seconds(*(later - 1));
  };
  std::string events = file_begin(begin) + hyperparameters(begin, options);
  MetricsRecord before;
  for (const MetricsRecord& record : records) {
    if (record.step <= last_step) events += scalars(begin + seconds(record), record, before);
    before = record;
  }
  for (const std::uint64_t step : run.sampled_steps())
    if (step <= last_step)
      events += picture(time_of(step), step, read_file(run.sample(step)), run.sample(step).string());
  return events;
}

}  // namespace ganymede::tensorboard
