// Spectral normalisation's operations against matrices whose singular values are known and against double precision.
#include <algorithm>
#include <cmath>

#include "unit/device/cpu_testing.hpp"

namespace ganymede::testing {
namespace {

using Doubles = std::vector<double>;

struct Size {
  int rows, columns;
};
const std::vector<Size> sizes = {{1, 1}, {1, 300}, {7, 1}, {5, 33}, {64, 25}, {37, 1100}, {130, 65}};

// A reflection of space, I - 2aaᵀ, applied to every column of m [rows, columns].
void reflect_rows(const Doubles& a, int rows, int columns, Doubles& m) {
  for (int j = 0; j < columns; ++j) {
    double dot = 0;
    for (int i = 0; i < rows; ++i)
      dot += a[static_cast<std::size_t>(i)] * m[area(i, columns) + static_cast<std::size_t>(j)];
    for (int i = 0; i < rows; ++i)
      m[area(i, columns) + static_cast<std::size_t>(j)] -= 2 * dot * a[static_cast<std::size_t>(i)];
  }
}
Doubles transposed(int rows, int columns, const Doubles& m) {
  Doubles t(m.size());
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j)
      t[area(j, rows) + static_cast<std::size_t>(i)] = m[area(i, columns) + static_cast<std::size_t>(j)];
  return t;
}
Doubles unit_vector(int size, unsigned seed) {
  const Values drawn = draws(static_cast<std::size_t>(size), seed);
  Doubles a(drawn.begin(), drawn.end());
  double squares = 0;
  for (const double x : a) squares += x * x;
  for (double& x : a) x /= std::sqrt(squares);
  return a;
}

class Spectral : public OnEveryMachine {
 protected:
  // A matrix and its vectors in the device's memory.
  struct Held {
    Held(Device& device, const Size& size, const Values& w_values, const Values& v_values)
        : w(device, w_values.size()),
          u(device, static_cast<std::size_t>(size.rows)),
          v(device, v_values.size()),
          sigma(device, 1),
          normalised(device, w_values.size()),
          work(device, static_cast<std::size_t>(std::max(size.rows, size.columns))),
          matrix{size.rows, size.columns, w.data(), u.data(), v.data(), sigma.data(), normalised.data(), work.data()} {
      w.assign(w_values.data());
      v.assign(v_values.data());
    }
    DeviceArray<float> w, u, v, sigma, normalised;
    DeviceArray<double> work;
    SpectralMatrix matrix;
  };
};

// W = (I - 2aaᵀ) diag(3, 1.5, 1.5/2, …) (I - 2bbᵀ), whose largest singular value is 3.
TEST_P(Spectral, SigmaFindsTheLargestSingularValue) {
  for (const Size& size : sizes) {
    Doubles w(area(size.rows, size.columns));
    double value = 3;
    for (int i = 0; i < std::min(size.rows, size.columns); ++i, value /= 2)
      w[area(i, size.columns) + static_cast<std::size_t>(i)] = value;
    reflect_rows(unit_vector(size.rows, 1), size.rows, size.columns, w);
    Doubles t = transposed(size.rows, size.columns, w);
    reflect_rows(unit_vector(size.columns, 2), size.columns, size.rows, t);
    w = transposed(size.columns, size.rows, t);
    Held held(*device_, size, Values(w.begin(), w.end()), draws(static_cast<std::size_t>(size.columns), 3));
    for (int step = 0; step < 40; ++step) device_->spectral_iteration(held.matrix);
    device_->spectral_normalise(held.matrix);
    EXPECT_NEAR(static_cast<double>(held.sigma.host()[0]), 3, 3e-6) << size.rows << " × " << size.columns;
    for (std::size_t i = 0; i < w.size(); ++i)
      ASSERT_NEAR(static_cast<double>(held.normalised.host()[i]), w[i] / 3, 1e-6);
  }
}

TEST_P(Spectral, OneStepMatchesDouble) {
  for (const Size& size : sizes) {
    const std::size_t count = area(size.rows, size.columns);
    const Values w = draws(count, 4);
    const Values v = draws(static_cast<std::size_t>(size.columns), 5);
    const Values g = draws(count, 6);
    Held held(*device_, size, w, v);
    const auto at = [&](const Values& m, int i, int j) {
      return static_cast<double>(m[area(i, size.columns) + static_cast<std::size_t>(j)]);
    };
    const auto normalised = [](Doubles x) {
      double squares = 0;
      for (const double value : x) squares += value * value;
      for (double& value : x) value /= std::sqrt(squares);
      return x;
    };
    Doubles u(static_cast<std::size_t>(size.rows));
    for (int i = 0; i < size.rows; ++i)
      for (int j = 0; j < size.columns; ++j)
        u[static_cast<std::size_t>(i)] += at(w, i, j) * static_cast<double>(v[static_cast<std::size_t>(j)]);
    u = normalised(u);
    Doubles next(static_cast<std::size_t>(size.columns));
    for (int i = 0; i < size.rows; ++i)
      for (int j = 0; j < size.columns; ++j)
        next[static_cast<std::size_t>(j)] += at(w, i, j) * u[static_cast<std::size_t>(i)];
    next = normalised(next);
    double sigma = 0;
    for (int i = 0; i < size.rows; ++i)
      for (int j = 0; j < size.columns; ++j)
        sigma += u[static_cast<std::size_t>(i)] * at(w, i, j) * next[static_cast<std::size_t>(j)];
    double product = 0;
    for (std::size_t i = 0; i < count; ++i) product += static_cast<double>(g[i]) * static_cast<double>(w[i]) / sigma;
    Doubles gradient;
    for (int i = 0; i < size.rows; ++i)
      for (int j = 0; j < size.columns; ++j)
        gradient.push_back(
            (at(g, i, j) - product * u[static_cast<std::size_t>(i)] * next[static_cast<std::size_t>(j)]) / sigma);

    device_->spectral_iteration(held.matrix);
    device_->spectral_normalise(held.matrix);
    DeviceArray<float> from(*device_, count);
    DeviceArray<float> to(*device_, count);
    from.assign(g.data());
    device_->spectral_gradient(held.matrix, from.data(), to.data());
    expect_close(held.u.host(), u, 1e-6, "u");
    expect_close(held.v.host(), next, 1e-6, "v");
    expect_close(held.sigma.host(), {sigma}, 1e-6, "sigma");
    expect_close(to.host(), gradient, 2e-6, "gradient");

    // Whatever the number of threads.
    const std::unique_ptr<Device> one = make_cpu_device(1, GetParam().instruction_set);
    Held again(*one, size, w, v);
    one->spectral_iteration(again.matrix);
    one->spectral_normalise(again.matrix);
    DeviceArray<float> to_again(*one, count);
    one->spectral_gradient(again.matrix, g.data(), to_again.data());
    expect_same_bits(held.u.host(), again.u.host(), "u on one thread");
    expect_same_bits(held.v.host(), again.v.host(), "v on one thread");
    expect_same_bits(held.normalised.host(), again.normalised.host(), "weights on one thread");
    expect_same_bits(to.host(), to_again.host(), "gradient on one thread");
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, Spectral, ::testing::ValuesIn(machines()), machine_name);

}  // namespace
}  // namespace ganymede::testing
