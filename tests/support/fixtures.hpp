// Reference values that tests/fixtures/generate.py computed with PyTorch in double precision.
#pragma once

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "ganymede/options.hpp"

namespace ganymede::testing {

/// The content of tests/fixtures/NAME.json.
inline nlohmann::json fixture(const std::string& name) {
  std::ifstream file(std::string(GANYMEDE_FIXTURES) + "/" + name + ".json");
  if (!file) throw std::runtime_error("cannot read the fixture " + name);
  return nlohmann::json::parse(file);
}

/// An array of numbers as floats: what the code under test starts from is exact in single precision.
inline std::vector<float> floats(const nlohmann::json& array) {
  std::vector<float> values;
  for (const nlohmann::json& number : array) values.push_back(static_cast<float>(number.get<double>()));
  return values;
}

/// Every option of a training that a fixture names, set by its name; "name" is a case's own.
inline TrainOptions options_of(const nlohmann::json& given) {
  TrainOptions o;
  for (const auto& [key, value] : given.items()) {
    if (key == "name") continue;
    std::string name = key;
    std::replace(name.begin(), name.end(), '_', '-');
    std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (value.is_array()) text = text.substr(1, text.size() - 2);
    set_train_option(o, name, text);
  }
  return o;
}

inline std::vector<double> doubles(const nlohmann::json& array) { return array.get<std::vector<double>>(); }

}  // namespace ganymede::testing
