// What a device is asked to do, as a list: how much arithmetic each operation is, and how many bytes it has to move.
#pragma once

#include <string>
#include <vector>

namespace ganymede {

/// One call of Device's, or one sum over ranks.
struct Operation {
  std::string part;   ///< of the step: what Device::enter() said last
  std::string name;   ///< of Device's function, in words
  std::string shape;  ///< "100 × 784 → 240"
  /// In products of matrices and convolutions, two for each multiplication and addition; what is done once for each
  /// number that is read or written counts as nothing.
  double flops = 0;
  /// What must be read and written even when nothing is moved twice: each operand and each result once.
  double bytes = 0;
};

}  // namespace ganymede
