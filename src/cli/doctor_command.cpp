// `ganymede doctor`
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "core/cores.hpp"
#include "core/heartbeat.hpp"
#include "core/numbers.hpp"
#include "core/stopwatch.hpp"
#include "doctor/facts.hpp"
#include "doctor/findings.hpp"
#include "doctor/links.hpp"
#include "doctor/probe.hpp"
#include "ganymede/error.hpp"
#include "ganymede/options.hpp"
#include "train/run_place.hpp"

namespace ganymede::cli {
namespace {

using namespace doctor;

std::string gpu_text(const Facts& facts) {
  std::string text = facts.gpus_known ? "" : "not known";
  for (const std::string& gpu : facts.gpus) text += (text.empty() ? "" : "; ") + gpu;
  if (text.empty()) text = "none";
  const auto visible = facts.environment.find("CUDA_VISIBLE_DEVICES");
  return visible == facts.environment.end() ? text : text + " (CUDA_VISIBLE_DEVICES=" + visible->second + ")";
}

void print_rank(const Facts& facts) {
  std::printf("rank %-9d%s, cores %s (%zu of %d)", facts.rank, facts.host.c_str(), core_list(facts.cores).c_str(),
              facts.cores.size(), facts.host_cores);
  if (facts.core_quota > 0) std::printf(", time of %.3g", facts.core_quota);
  if (!facts.numa_nodes.empty()) std::printf(", NUMA %s", core_list(facts.numa_nodes).c_str());
  std::printf(", GPU: %s\n", gpu_text(facts).c_str());
}

void print_host(const Facts& facts) {
  std::printf("host          %s: ", facts.host.c_str());
  for (const Interface& i : facts.interfaces)
    std::printf("%s %s/%d (%s), ", i.name.c_str(), i.address.c_str(), i.prefix, speed_text(i.megabits).c_str());
  const bool unlimited = facts.locked_memory == std::numeric_limits<std::uint64_t>::max();
  std::printf("%s/dev/shm %s free of %s, locked memory %s\n", facts.interfaces.empty() ? "no network, " : "",
              bytes_text(static_cast<double>(facts.shared_memory_free)).c_str(),
              bytes_text(static_cast<double>(facts.shared_memory)).c_str(),
              unlimited ? "unlimited" : bytes_text(static_cast<double>(facts.locked_memory)).c_str());
  if (!facts.cuda.empty()) std::printf("CUDA          %s: %s\n", facts.host.c_str(), facts.cuda.c_str());
}

void print_links(const std::vector<Facts>& all, const Links& links) {
  if (all.size() == 1) return;
  const double bandwidth = links.large_bytes / links.large;
  const double expected = expected_bandwidth(all, links.hosts);
  std::printf("all-reduce    1 KiB in %s, %s in %s: %s/s", time_text(links.latency).c_str(),
              bytes_text(links.large_bytes).c_str(), time_text(links.large).c_str(), bytes_text(bandwidth).c_str());
  if (expected > 0) std::printf(", %.0f %% of what the interfaces give", 100 * bandwidth / expected);
  if (links.hosts == 1) std::printf("; rank 0 copies %s/s in memory", bytes_text(links.copy).c_str());
  std::printf("\n");
  if (links.gpus && links.gpus->problem.empty()) {
    const GpuSums& sums = *links.gpus;
    const double speed = sums.large_bytes / sums.large;
    std::printf("over GPUs     1 KiB in %s, %s in %s: %s/s", time_text(sums.latency).c_str(),
                bytes_text(sums.large_bytes).c_str(), time_text(sums.large).c_str(), bytes_text(speed).c_str());
    if (expected > 0) std::printf(", %.0f %% of what the interfaces give", 100 * speed / expected);
    std::printf("; %s\n", sums.version.c_str());
  }
  if (links.hosts > 1) {
    const auto [least, most] = std::minmax_element(links.clocks.begin(), links.clocks.end());
    std::printf("clocks        %s apart (measured to %s)\n", time_text(*most - *least).c_str(),
                time_text(links.clock_error).c_str());
  }
}

nlohmann::ordered_json as_json(const std::string& launch, const std::vector<Facts>& all, const Links& links,
                               const Folder& folder, const std::vector<std::string>& blind,
                               const std::vector<Finding>& findings) {
  nlohmann::ordered_json json;
  json["launch"] = launch;
  for (const Facts& facts : all) json["ranks"].push_back(nlohmann::ordered_json::parse(to_text(facts)));
  const auto sums_of = [&](double latency, double bytes_per_second) {
    return nlohmann::ordered_json{{"latency_seconds", latency},
                                  {"bytes_per_second", bytes_per_second},
                                  {"expected_bytes_per_second", expected_bandwidth(all, links.hosts)}};
  };
  if (all.size() > 1) json["all_reduce"] = sums_of(links.latency, links.large_bytes / links.large);
  if (links.gpus) {
    const GpuSums& sums = *links.gpus;
    json["gpu_all_reduce"] = {{"library", sums.version}, {"problem", sums.problem}};
    if (sums.problem.empty()) json["gpu_all_reduce"].update(sums_of(sums.latency, sums.large_bytes / sums.large));
  }
  json["copy_bytes_per_second"] = links.copy;
  json["clocks_ahead_seconds"] = links.clocks;
  json["folder"] = {
      {"path", folder.path},
      {"file_system", folder.file_system},
      {"free_bytes", folder.free},
      {"fsync_seconds", folder.synced ? nlohmann::ordered_json(folder.sync_seconds) : nlohmann::ordered_json()},
      {"problem", folder.problem},
      {"not_seen_on", blind}};
  json["findings"] = nlohmann::ordered_json::array();
  for (const Finding& f : findings)
    json["findings"].push_back({{"severity", f.error ? "error" : "warning"}, {"what", f.what}, {"mend", f.mend}});
  return json;
}

// What a file system is asked for besides, which it may not answer.
constexpr double file_seconds = 1;

bool exists(const std::string& file) {
  return Probe<bool>([file] {
           std::error_code error;
           return std::filesystem::exists(file, error);
         })
      .within(file_seconds)
      .value_or(false);
}

void remove(const std::string& file) {
  if (!file.empty()) Probe<int>([file] { return ::unlink(file.c_str()); }).within(file_seconds);
}

// --timeout, by default.
constexpr int usual_timeout = 6;
// In all, for what it does to be read after ten.
constexpr double most_seconds = 9.5;

int run(const Parsed& parsed, Communicator& ranks) {
  const Stopwatch watch;
  heartbeat::phase("looking around");
  std::string mine;
  together(ranks, [&] { mine = to_text(look_around(ranks.rank())); });
  std::vector<Facts> all;
  for (const std::string& text : ranks.all_gather(mine)) all.push_back(from_text(text));
  std::vector<const Facts*> hosts;  // the first rank of each
  for (const Facts& facts : all)
    if (std::none_of(hosts.begin(), hosts.end(), [&](const Facts* h) { return h->host == facts.host; }))
      hosts.push_back(&facts);

  heartbeat::phase("the folder");
  // Rank 0 writes, as it does in a training, and leaves a file for the others to see.
  Folder folder;
  on_root(ranks, [&] {
    TrainOptions options;
    options.out = parsed.get("out", ".");
    folder = try_folder(options.out, [options]() -> std::string {
      try {
        check_run_place(options);
      } catch (const Error& refusal) {
        return refusal.what();
      }
      return {};
    });
  });
  const std::string probe = ranks.all_gather(folder.probe)[0];
  bool sees = true;
  together(ranks, [&] { sees = probe.empty() || exists(probe); });
  std::set<std::string> unseeing;
  for (const std::string& host : ranks.all_gather(sees ? "" : host_name()))
    if (!host.empty()) unseeing.insert(host);
  const std::vector<std::string> blind(unseeing.begin(), unseeing.end());
  on_root(ranks, [&] { remove(folder.probe); });

  heartbeat::phase("sums over ranks");
  Links links = measure_links(ranks, static_cast<int>(hosts.size()));
  if (gpus_can_sum(all)) {
    heartbeat::phase("sums over GPUs");
    auto left = static_cast<std::int64_t>(1e3 * (most_seconds - watch.seconds()));
    ranks.all_min(std::span(&left, 1));
    // Before the watchdog's deadline: NCCL knows more of the reason.
    const double timeout = std::stod(parsed.get("timeout", std::to_string(usual_timeout)));
    links.gpus = measure_gpu_sums(ranks, 1e-3 * static_cast<double>(left), std::floor(.75 * timeout));
  }
  std::vector<Finding> findings;
  on_root(ranks, [&] { findings = examine(all, links, folder, blind); });
  std::int64_t errors = std::count_if(findings.begin(), findings.end(), [](const Finding& f) { return f.error; });
  const auto warnings = static_cast<std::int64_t>(findings.size()) - errors;
  ranks.broadcast(&errors, sizeof errors, 0);
  const int code = errors > 0 ? static_cast<int>(ExitCode::launch) : 0;
  if (!ranks.is_root()) return code;

  if (parsed.on("json")) {
    std::printf("%s\n", as_json(ranks.description(), all, links, folder, blind, findings).dump(2).c_str());
    return code;
  }
  std::printf("launch        %s\n", ranks.description().c_str());
  for (const Facts& facts : all) print_rank(facts);
  for (const Facts* host : hosts) print_host(*host);
  print_links(all, links);
  std::printf("folder        %s: %s", folder.path.c_str(), folder.file_system.c_str());
  if (folder.free > 0) std::printf(", %s free", bytes_text(static_cast<double>(folder.free)).c_str());
  if (folder.problem.empty())
    std::printf(", 1 MiB %s %s", folder.synced ? "on the disk in" : "not on the disk after",
                time_text(folder.sync_seconds).c_str());
  std::printf("\n");
  for (const auto& [name, value] : all[0].environment)
    std::printf("environment   %s=%s\n", name.c_str(), value.c_str());
  std::printf("\n");
  for (const Finding& f : findings)
    std::printf("%-14s%s\n  to mend it  %s\n", f.error ? "ERROR" : "warning", f.what.c_str(), f.mend.c_str());
  if (findings.empty())
    std::printf("nothing is wrong\n");
  else
    std::printf("%ld error%s, %ld warning%s\n", static_cast<long>(errors), errors == 1 ? "" : "s",
                static_cast<long>(warnings), warnings == 1 ? "" : "s");
  return code;
}

}  // namespace

Command doctor_command() {
  return {{"doctor",
           "Looks at this launch: ranks, hosts, links, the run's folder; says how to mend what is wrong.",
           "",
           {{"out", "RUN", "the folder that a run is to go to", "Options", "the current folder"},
            {"json", "", "as JSON"},
            timeout_argument(usual_timeout)}},
          run};
}

}  // namespace ganymede::cli
