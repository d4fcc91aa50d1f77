// Spectral normalisation's kernels against double precision, at sizes around a block's, and in any order of blocks.
#include <algorithm>
#include <cmath>

#include "unit/cuda_kernels/memory.hpp"

namespace ganymede::testing {
namespace {

class CudaSpectral : public Kernels {};

using Doubles = std::vector<double>;

Doubles normalised(Doubles x) {
  double squares = 0;
  for (const double value : x) squares += value * value;
  for (double& value : x) value /= std::max(std::sqrt(squares), 1e-12);
  return x;
}

TEST_F(CudaSpectral, MatchesDouble) {
  struct Size {
    int rows, columns;
  };
  for (const Size& size : {Size{1, 1}, Size{1, 257}, Size{7, 31}, Size{9, 33}, Size{64, 25}, Size{33, 300}}) {
    const std::string what = std::to_string(size.rows) + " × " + std::to_string(size.columns);
    const std::size_t count = area(size.rows, size.columns);
    const auto rows = static_cast<std::size_t>(size.rows);
    const auto columns = static_cast<std::size_t>(size.columns);
    const Values w = draws(count, 1);
    const Values g = draws(count, 2);
    const Values start = draws(columns, 3);
    Doubles u(rows);
    Doubles v(columns);
    for (std::size_t i = 0; i < count; ++i)
      u[i / columns] += static_cast<double>(w[i]) * static_cast<double>(start[i % columns]);
    u = normalised(u);
    for (std::size_t i = 0; i < count; ++i) v[i % columns] += static_cast<double>(w[i]) * u[i / columns];
    v = normalised(v);
    double sigma = 0;
    for (std::size_t i = 0; i < count; ++i) sigma += u[i / columns] * static_cast<double>(w[i]) * v[i % columns];
    double product = 0;
    for (std::size_t i = 0; i < count; ++i) product += static_cast<double>(g[i]) * static_cast<double>(w[i]) / sigma;
    Doubles weights;
    Doubles gradient;
    for (std::size_t i = 0; i < count; ++i) {
      weights.push_back(static_cast<double>(w[i]) / sigma);
      gradient.push_back((static_cast<double>(g[i]) - product * u[i / columns] * v[i % columns]) / sigma);
    }

    Values first;
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      emulation::set_seed(seed);
      Partials partials;
      Memory<float> device_w(w);
      Memory<float> device_g(g);
      Memory<float> device_u(rows, nan);
      Memory<float> device_v(start);
      Memory<float> device_sigma(1, nan);
      Memory<float> device_weights(count, nan);
      Memory<float> to(count, nan);
      Memory<double> work(std::max(rows, columns), std::numeric_limits<double>::quiet_NaN());
      cuda::spectral_left(nullptr, size.rows, size.columns, device_w.data(), device_v.data(), device_u.data(),
                          work.data(), partials.scratch());
      cuda::spectral_right(nullptr, size.rows, size.columns, device_w.data(), device_u.data(), device_v.data(),
                           work.data(), partials.scratch());
      cuda::spectral_sigma(nullptr, size.rows, size.columns, device_w.data(), device_u.data(), device_v.data(),
                           device_sigma.data(), work.data(), partials.scratch());
      cuda::divide(nullptr, count, device_w.data(), device_sigma.data(), device_weights.data());
      cuda::spectral_product(nullptr, size.rows, size.columns, device_g.data(), device_weights.data(), work.data(),
                             partials.scratch());
      EXPECT_NEAR(work[0], product, 1e-5 * std::max(1.0, std::abs(product))) << what;
      cuda::spectral_gradient(nullptr, size.rows, size.columns, device_g.data(), work.data(), device_u.data(),
                              device_v.data(), device_sigma.data(), to.data());
      expect_close(device_u.host(), u, 1e-6, what + ": u");
      expect_close(device_v.host(), v, 1e-6, what + ": v");
      expect_close(device_sigma.host(), {sigma}, 1e-6, what + ": sigma");
      expect_close(device_weights.host(), weights, 1e-6, what + ": weights");
      expect_close(to.host(), gradient, 3e-6, what + ": gradient");
      if (seed == 0) first = to.host();
      expect_same_bits(to.host(), first, what + " in another order of blocks");
    }
  }
}

// A vector of zeros has no direction: it stays what it is.
TEST_F(CudaSpectral, DividesByNoZero) {
  Partials partials;
  Memory<float> w(6, 0.0F);
  Memory<float> v(3, 1.0F);
  Memory<float> u(2, nan);
  Memory<double> work(3, 0.0);
  cuda::spectral_left(nullptr, 2, 3, w.data(), v.data(), u.data(), work.data(), partials.scratch());
  cuda::spectral_right(nullptr, 2, 3, w.data(), u.data(), v.data(), work.data(), partials.scratch());
  expect_same_bits(u.host(), Values(2, 0.0F), "u");
  expect_same_bits(v.host(), Values(3, 0.0F), "v");
}

}  // namespace
}  // namespace ganymede::testing
