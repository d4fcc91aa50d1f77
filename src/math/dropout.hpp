// Which units dropout keeps (Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014): four to a Philox block.
#pragma once

#include <cstdint>

#include "math/philox.hpp"

namespace ganymede::math {

/// The 32-bit numbers below it are those of units that are dropped, a share of 0 … 1 of all.
inline std::uint32_t drop_threshold(double share) {
  const double threshold = share * 0x1p32;
  return threshold < 0x1p32 ? static_cast<std::uint32_t>(threshold) : 0xFFFFFFFFU;
}

/// The block of a sample's draws that says of units 4 · group … of layer number `layer` of a network (less than 256, of
/// up to 2^26 units) which are kept.
GANYMEDE_MATH std::uint32_t dropout_block(std::uint32_t layer, std::uint32_t group) { return (layer << 24) + group; }

}  // namespace ganymede::math
