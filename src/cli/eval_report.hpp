// What `eval` says: a table for people and the same numbers as JSON.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "eval/metrics.hpp"
#include "eval/share.hpp"

namespace ganymede::cli {

class EvalReport {
 public:
  nlohmann::ordered_json json = nlohmann::ordered_json::object();

  void say(const std::string& name, const std::string& text) { facts_.emplace_back(name, text); }
  void add(const std::string& metric, const std::string& value, const std::string& remark) {
    rows_.push_back({metric, value, remark});
  }
  [[nodiscard]] std::string table() const;

 private:
  struct Row {
    std::string metric, value, remark;
  };
  std::vector<std::pair<std::string, std::string>> facts_;
  std::vector<Row> rows_;
};

/// The text of an eval.json; empty where it cannot be read.
std::string read_evaluation(const std::filesystem::path& file);
/// What is in such a text; null where it is none that eval has written.
nlohmann::ordered_json parse_evaluation(const std::string& text);

/// eval.json's name of a metric.
std::string key_of(const eval::Metric& metric);
std::string percent(const eval::Share& share);
nlohmann::ordered_json json_of(const eval::Share& share);

}  // namespace ganymede::cli
