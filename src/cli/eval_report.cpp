// See eval_report.hpp.
#include "cli/eval_report.hpp"

#include <algorithm>

#include "cli/columns.hpp"
#include "core/files.hpp"
#include "core/numbers.hpp"
#include "ganymede/error.hpp"
#include "report/run_folder.hpp"

namespace ganymede::cli {
namespace {

std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(columns(text) < width ? width - columns(text) : 1, ' ');
}

}  // namespace

std::string EvalReport::table() const {
  std::string text;
  for (const auto& [name, what] : facts_) text += padded(name, 14) + what + "\n";
  text += "\n";
  for (const Row& row : rows_) text += padded(row.metric, 30) + padded(row.value, 18) + row.remark + "\n";
  return text;
}

std::string read_evaluation(const std::filesystem::path& file) {
  try {
    return read_file(file, RunFolder::most_evaluation_bytes);
  } catch (const Error&) {
    return {};
  }
}

nlohmann::ordered_json parse_evaluation(const std::string& text) {
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(text, nullptr, false);
  const bool is_ours = json.is_object() && json.value("format", nlohmann::ordered_json()) == "ganymede-eval";
  return is_ours ? json : nullptr;
}

std::string key_of(const eval::Metric& metric) {
  std::string key = metric.name;
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}
std::string percent(const eval::Share& share) {
  return formatted("%.2f ± %.2f %%", 100 * share.share(), 100 * share.standard_error());
}
nlohmann::ordered_json json_of(const eval::Share& share) {
  return {{"share", share.share()}, {"standard_error", share.standard_error()}, {"of", share.of}};
}

}  // namespace ganymede::cli
