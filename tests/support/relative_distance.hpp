// How far two trainings' weights are from each other.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "ganymede/device.hpp"

namespace ganymede::testing {

/// ‖a - b‖ / ‖b‖.
inline double distance(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += d * d;
    size += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return std::sqrt(difference / size);
}
inline double distance(const DeviceArray<float>& a, const DeviceArray<float>& b) {
  return distance(a.host(), b.host());
}

}  // namespace ganymede::testing
