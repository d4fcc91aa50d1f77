// Reference values that tests/fixtures/generate.py computed with PyTorch in double precision.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

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

inline std::vector<double> doubles(const nlohmann::json& array) { return array.get<std::vector<double>>(); }

}  // namespace ganymede::testing
