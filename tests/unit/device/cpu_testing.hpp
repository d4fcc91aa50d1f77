// What the tests of the CPU device share: a device for each instruction set and number of threads.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "ganymede/device.hpp"
#include "support/values.hpp"

namespace ganymede::testing {

struct Machine {
  std::string instruction_set;
  int threads;
};

inline std::vector<Machine> machines() {
  std::vector<Machine> all;
  for (const std::string& set : cpu_instruction_sets())
    for (int threads = 1; threads <= 3; ++threads) all.push_back({set, threads});
  return all;
}

inline std::string machine_name(const ::testing::TestParamInfo<Machine>& info) {
  return info.param.instruction_set.substr(info.param.instruction_set.size() - 2) + "_" +
         std::to_string(info.param.threads);
}

/// A test that runs on every instruction set with 1, 2 and 3 threads.
class OnEveryMachine : public ::testing::TestWithParam<Machine> {
 protected:
  std::unique_ptr<Device> device_ = make_cpu_device(GetParam().threads, GetParam().instruction_set);
};

/// Rows first … last-1 of a matrix.
inline Values slice(const Values& values, int columns, int first, int last) {
  return {values.begin() + static_cast<std::ptrdiff_t>(area(first, columns)),
          values.begin() + static_cast<std::ptrdiff_t>(area(last, columns))};
}

}  // namespace ganymede::testing
