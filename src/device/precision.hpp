// What a GPU's large matrix products and convolutions are made of: option --precision.
#pragma once

#include <algorithm>
#include <array>
#include <string>

namespace ganymede {

enum class Precision {
  float32,
  tf32,      ///< arrays of float32, which tensor cores round to 10 bits of fraction
  bfloat16,  ///< arrays of bfloat16: see struct Rounded in device.hpp
};

/// As options have them, in the order of the enumeration.
inline constexpr std::array precision_names = {"fp32", "tf32", "bf16"};

inline std::string name_of(Precision precision) { return precision_names[static_cast<std::size_t>(precision)]; }

/// Of one of these names.
inline Precision precision_named(const std::string& name) {
  const auto* const found = std::find(precision_names.begin(), precision_names.end(), name);
  return static_cast<Precision>(found - precision_names.begin());
}

}  // namespace ganymede
