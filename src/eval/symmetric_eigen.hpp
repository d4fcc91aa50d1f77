// Eigenvalues of symmetric matrices, by LAPACK.
#pragma once

#include <vector>

namespace ganymede::eval {

struct SymmetricEigen {
  std::vector<double> values;   ///< ascending
  std::vector<double> vectors;  ///< [size, size], row i the one of values[i], of length 1
};

/// Of `matrix` [size, size]. Throws Error(data) where it holds what is not finite.
SymmetricEigen symmetric_eigen(std::vector<double> matrix, int size);

}  // namespace ganymede::eval
