// A run's eval.json as earlier calls of `eval` left it: what still holds beside new numbers stays.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ganymede::cli {

struct EarlierNumbers {
  std::vector<std::string> kept;  ///< members of `metrics`
  std::vector<std::string> lost;
  std::string of;  ///< what those lost were of: "other weights", "other samples", "another set"
};

/// Takes over into `report`, eval.json as it will be, what `file` has of metrics that were not measured now, where it
/// is of the same weights, samples and set. A file that is missing or none of eval's has nothing to keep.
EarlierNumbers keep_earlier(nlohmann::ordered_json& report, const std::filesystem::path& file);

}  // namespace ganymede::cli
