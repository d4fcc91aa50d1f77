// See symmetric_eigen.hpp.
#include "eval/symmetric_eigen.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "ganymede/error.hpp"

// LAPACK's; Fortran compilers put the underscore behind its name and pass the lengths of texts.
extern "C" void dsyev(const char* jobz, const char* uplo, const int* n, double* a, const int* lda, double* w,
                      double* work, const int* lwork, int* info, std::size_t jobz_length,
                      std::size_t uplo_length) __asm__("dsyev_");

namespace ganymede::eval {

SymmetricEigen symmetric_eigen(std::vector<double> matrix, int size) {
  int failed = std::all_of(matrix.begin(), matrix.end(), [](double v) { return std::isfinite(v); }) ? 0 : 1;
  SymmetricEigen result{std::vector<double>(static_cast<std::size_t>(size)), std::move(matrix)};
  if (failed == 0) {
    const int length = std::max(1, 34 * size);  // room for blocks of 32 columns
    std::vector<double> work(static_cast<std::size_t>(length));
    // Fortran's columns are the rows that are returned; a symmetric matrix is the same either way.
    dsyev("V", "L", &size, result.vectors.data(), &size, result.values.data(), work.data(), &length, &failed, 1, 1);
  }
  if (failed != 0)
    throw Error(ExitCode::data, "a matrix has no eigenvalues that can be found: it holds numbers that are not finite");
  return result;
}

}  // namespace ganymede::eval
