// See earlier_numbers.hpp.
#include "cli/earlier_numbers.hpp"

#include <algorithm>

#include "cli/eval_report.hpp"
#include "eval/metrics.hpp"

namespace ganymede::cli {
namespace {

using Json = nlohmann::ordered_json;

// A member, or a member's member; null where there is none. In whatever order a member's own come.
nlohmann::json at(const Json& object, const char* pointer) { return object.value(Json::json_pointer(pointer), Json()); }

bool alike(const Json& a, const Json& b, std::initializer_list<const char*> members) {
  return std::all_of(members.begin(), members.end(),
                     [&](const char* member) { return at(a, member) == at(b, member); });
}

// What the two differ in; empty where numbers of both may stand beside each other. A folder that was moved is the same.
std::string difference(const Json& before, const Json& now) {
  if (!alike(before, now, {"/version"})) return "another version";
  if (!alike(before, now, {"/run/weights", "/run/step", "/run/averaged_weights", "/run/batch_norm"}))
    return "other weights";
  if (!alike(before, now, {"/samples"})) return "other samples";
  if (!alike(before, now, {"/data/digest", "/data/training_images", "/data/test_images"})) return "another set";
  return {};
}

}  // namespace

EarlierNumbers keep_earlier(Json& report, const std::filesystem::path& file) {
  std::error_code error;
  const Json before = std::filesystem::is_regular_file(file, error) ? parse_evaluation(read_evaluation(file)) : Json();
  EarlierNumbers earlier;
  if (before.is_null() || !at(before, "/metrics").is_object() || !at(before, "/unmeasured").is_object()) return earlier;
  earlier.of = difference(before, report);
  const Json now = report["metrics"];
  const Json now_unmeasured = report["unmeasured"];
  report["metrics"] = report["unmeasured"] = Json::object();
  for (const eval::Metric& metric : eval::metrics) {
    const std::string key = key_of(metric);
    const bool is_new = now.contains(key);
    const Json& metrics = is_new ? now : before["metrics"];
    const Json& unmeasured = is_new ? now_unmeasured : before["unmeasured"];
    if (!metrics.contains(key)) continue;
    if (!is_new && !metrics[key].is_null())
      (earlier.of.empty() ? earlier.kept : earlier.lost).emplace_back(metric.name);
    if (!is_new && !earlier.of.empty()) continue;
    report["metrics"][key] = metrics[key];
    if (unmeasured.contains(key)) report["unmeasured"][key] = unmeasured[key];
  }
  if (!earlier.kept.empty() && before.value("warnings", Json()).is_array())
    for (const Json& warning : before["warnings"])
      if (std::find(report["warnings"].begin(), report["warnings"].end(), warning) == report["warnings"].end())
        report["warnings"].push_back(warning);
  return earlier;
}

}  // namespace ganymede::cli
