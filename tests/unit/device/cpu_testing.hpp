// What the tests of the CPU device share: a device for each instruction set and number of threads, arrays
// of draws, and bitwise comparison.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "ganymede/device.hpp"

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

using Values = std::vector<float>;

inline Values draws(std::size_t count, unsigned seed, float scale = 1.0F) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-scale, scale);
  Values values(count);
  for (float& value : values) value = uniform(generator);
  return values;
}

inline std::size_t area(int rows, int columns) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
}

/// Element-wise within `relative` of the largest magnitude in `expected`, or of `least`.
inline void expect_close(const Values& actual, const std::vector<double>& expected, double relative,
                         const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double scale = 1e-30;
  for (double value : expected) scale = std::max(scale, std::abs(value));
  for (std::size_t i = 0; i < actual.size(); ++i)
    ASSERT_NEAR(static_cast<double>(actual[i]), expected[i], relative * scale) << what << ", element " << i;
}

template <class T>
void expect_same_bits(const std::vector<T>& a, const std::vector<T>& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t i = 0; i < a.size(); ++i)
    ASSERT_EQ(std::memcmp(&a[i], &b[i], sizeof(T)), 0) << what << ", element " << i << ": " << a[i] << " and " << b[i];
}

/// Rows first … last-1 of a matrix.
inline Values slice(const Values& values, int columns, int first, int last) {
  return {values.begin() + static_cast<std::ptrdiff_t>(area(first, columns)),
          values.begin() + static_cast<std::ptrdiff_t>(area(last, columns))};
}

}  // namespace ganymede::testing
