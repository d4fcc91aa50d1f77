// See operation_table.hpp.
#include "cli/operation_table.hpp"

#include <algorithm>

#include "cli/columns.hpp"
#include "core/numbers.hpp"
#include "ganymede/error.hpp"

namespace ganymede::cli {
double flops_per_second(const GpuPeaks& gpu, Precision precision) {
  const double peak = precision == Precision::tf32       ? gpu.tf32
                      : precision == Precision::bfloat16 ? gpu.bfloat16
                                                         : gpu.float32;
  if (peak == 0)
    throw Error(ExitCode::usage, "a " + std::string(gpu.name) + " has no arithmetic for --precision " +
                                     name_of(precision) + ": use --precision fp32, or another GPU");
  return peak;
}

std::string operation_table(const std::vector<Operation>& operations, const GpuPeaks& gpu, Precision precision) {
  const double peak = flops_per_second(gpu, precision);
  std::vector<std::vector<std::string>> rows = {{"part of the step", "operation", "shape", "MFLOP", "kB", "µs"}};
  const auto add = [&](const std::string& part, const std::string& name, const std::string& shape, double flops,
                       double bytes, double seconds) {
    rows.push_back({part, name, shape, formatted("%.1f", flops / 1e6), formatted("%.1f", bytes / 1e3),
                    formatted("%.2f", seconds * 1e6)});
  };
  Operation all;
  double seconds = 0;
  for (const Operation& each : operations) {
    add(each.part, each.name, each.shape, each.flops, each.bytes, least_seconds(each, peak, gpu.bandwidth));
    all.flops += each.flops;
    all.bytes += each.bytes;
    seconds += least_seconds(each, peak, gpu.bandwidth);
  }
  add("all", std::to_string(operations.size()) + " operations", "", all.flops, all.bytes, seconds);
  std::vector<std::size_t> widths(rows[0].size());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  constexpr std::size_t first_number = 3;
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string blanks(widths[i] - columns(row[i]), ' ');
      line += (i == 0 ? "" : "  ") + (i < first_number ? row[i] + blanks : blanks + row[i]);
    }
    text += line + "\n";
  }
  return text;
}

nlohmann::ordered_json operations_json(const std::vector<Operation>& operations, const GpuPeaks& gpu,
                                       Precision precision) {
  const double peak = flops_per_second(gpu, precision);
  nlohmann::ordered_json json = {
      {"gpu", gpu.name}, {"peak_gflops", peak / 1e9}, {"peak_gbytes_per_second", gpu.bandwidth / 1e9}};
  for (const Operation& each : operations)
    json["operations"].push_back({{"part", each.part},
                                  {"name", each.name},
                                  {"shape", each.shape},
                                  {"flops", each.flops},
                                  {"bytes", each.bytes},
                                  {"least_seconds", least_seconds(each, peak, gpu.bandwidth)}});
  return json;
}

}  // namespace ganymede::cli
