// The fully connected layers' kernels: against plain loops in double, around the tiles' edges, aligned and not; a
// row's bits do not depend on its batch, nor any bits on the order of blocks and threads; sums in both forms.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "math/fixed_point.hpp"
#include "unit/cuda_kernels/layers.hpp"
#include "unit/cuda_kernels/memory.hpp"

namespace ganymede::testing {
namespace {

struct Shape {
  int rows, in, out;
  [[nodiscard]] std::string text() const {
    return std::to_string(rows) + "x" + std::to_string(in) + "x" + std::to_string(out);
  }
};

// Around the tiles' edges (16 and 32 rows, 16 columns), the slices' (16, and 128 for all warps) and the warps'; layers
// with one output or input; the MLP GAN's own, of which the widest take large tiles.
const std::vector<Shape> shapes = {
    {0, 5, 3},    {0, 5, 1},       {1, 1, 1},       {1, 1, 2},     {2, 3, 1},     {5, 4, 1},      {3, 127, 1},
    {4, 128, 1},  {33, 129, 1},    {7, 300, 1},     {1, 5, 3},     {5, 1, 7},     {15, 17, 16},   {16, 16, 16},
    {17, 15, 17}, {31, 33, 31},    {32, 32, 32},    {33, 31, 33},  {1, 128, 128}, {17, 127, 20},  {16, 129, 12},
    {9, 144, 65}, {100, 100, 128}, {100, 128, 784}, {40, 784, 50}, {200, 128, 1}, {130, 36, 520},
};

double at(const Values& values, int columns, int i, int j) {
  return static_cast<double>(values[area(i, columns) + static_cast<std::size_t>(j)]);
}

template <class Left, class Right>
std::vector<double> reference(int rows, int columns, int depth, Left&& a, Right&& b) {
  std::vector<double> c(area(rows, columns));
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) {
      double sum = 0;
      for (int k = 0; k < depth; ++k) sum += a(i, k) * b(k, j);
      c[area(i, columns) + static_cast<std::size_t>(j)] = sum;
    }
  return c;
}

class CudaAffine : public Kernels {
 protected:
  // Every second shape lies askew, as weights in a flat buffer can.
  static std::size_t shift_of(std::size_t index) { return index % 2 == 0 ? 0 : index % 4; }
};

TEST_F(CudaAffine, ForwardMatchesDouble) {
  for (std::size_t n = 0; n < shapes.size(); ++n) {
    const Shape& s = shapes[n];
    const auto seed = static_cast<unsigned>(10 * n);
    const std::size_t shift = shift_of(n);
    const Values x = draws(area(s.rows, s.in), seed);
    const Values w = draws(area(s.out, s.in), seed + 1, 1.0F / std::sqrt(static_cast<float>(s.in)));
    const Values b = draws(static_cast<std::size_t>(s.out), seed + 2);
    const std::vector<double> sums = reference(
        s.rows, s.out, s.in, [&](int i, int k) { return at(x, s.in, i, k); },
        [&](int k, int j) { return at(w, s.in, j, k); });
    Memory<float> device_x(x, shift);
    Memory<float> device_w(w, shift);
    Memory<float> device_b(b, shift);
    for (const Activation& sigma : activations) {
      // The large shapes with one activation each: the sums are the same.
      if (area(s.rows, s.out) > 4000 && sigma.kind != static_cast<int>(n % activations.size())) continue;
      std::vector<double> expected = sums;
      for (std::size_t i = 0; i < expected.size(); ++i)
        expected[i] = value_of(sigma, expected[i] + static_cast<double>(b[i % static_cast<std::size_t>(s.out)]));
      Memory<float> y(expected.size(), nan, shift);
      cuda::affine_forward(nullptr, s.rows, s.in, s.out, device_x.data(), device_w.data(), device_b.data(), sigma.kind,
                           sigma.parameter, y.data());
      expect_close(y.host(), expected, 2e-6, s.text() + " " + sigma.name());
    }
    Memory<float> without_bias(sums.size(), nan, shift);
    cuda::affine_forward(nullptr, s.rows, s.in, s.out, device_x.data(), device_w.data(), nullptr, 0, 0,
                         without_bias.data());
    expect_close(without_bias.host(), sums, 2e-6, s.text() + " without bias");
  }
}

TEST_F(CudaAffine, TangentMatchesDouble) {
  for (std::size_t n = 0; n < shapes.size(); ++n) {
    const Shape& s = shapes[n];
    const auto seed = static_cast<unsigned>(1000 + 10 * n);
    const std::size_t shift = shift_of(n);
    const Activation& sigma = activations[n % activations.size()];
    const Values x = draws(area(s.rows, s.in), seed);
    const Values w = draws(area(s.out, s.in), seed + 1);
    const Values y = draws(area(s.rows, s.out), seed + 2);
    std::vector<double> expected = reference(
        s.rows, s.out, s.in, [&](int i, int k) { return at(x, s.in, i, k); },
        [&](int k, int j) { return at(w, s.in, j, k); });
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] *= slope_of(sigma, static_cast<double>(y[i]));
    Memory<float> device_x(x, shift);
    Memory<float> device_w(w, shift);
    Memory<float> device_y(y, shift);
    Memory<float> ty(expected.size(), nan, shift);
    cuda::affine_tangent(nullptr, s.rows, s.in, s.out, device_x.data(), device_w.data(), sigma.kind, sigma.parameter,
                         device_y.data(), ty.data());
    expect_close(ty.host(), expected, 2e-6, s.text());
  }
}

TEST_F(CudaAffine, BackwardDataMatchesDouble) {
  for (std::size_t n = 0; n < shapes.size(); ++n) {
    const Shape& s = shapes[n];
    const auto seed = static_cast<unsigned>(2000 + 10 * n);
    const std::size_t shift = shift_of(n);
    const Activation& below = activations[n % activations.size()];
    const Values delta = draws(area(s.rows, s.out), seed);
    const Values w = draws(area(s.out, s.in), seed + 1);
    const Values x = draws(area(s.rows, s.in), seed + 2);
    const std::vector<double> sums = reference(
        s.rows, s.in, s.out, [&](int i, int k) { return at(delta, s.out, i, k); },
        [&](int k, int j) { return at(w, s.in, k, j); });
    Memory<float> device_delta(delta, shift);
    Memory<float> device_w(w, shift);
    Memory<float> device_x(x, shift);
    for (const bool with_slope : {true, false}) {
      std::vector<double> expected = sums;
      if (with_slope)
        for (std::size_t i = 0; i < expected.size(); ++i) expected[i] *= slope_of(below, static_cast<double>(x[i]));
      Memory<float> delta_in(expected.size(), nan, shift);
      cuda::affine_backward_data(nullptr, s.rows, s.in, s.out, device_delta.data(), device_w.data(), below.kind,
                                 below.parameter, with_slope ? device_x.data() : nullptr, delta_in.data());
      expect_close(delta_in.host(), expected, 2e-6, s.text());
    }
  }
}

// dW and db, from plain sums in double over the rows.
struct Gradients {
  std::vector<double> dw, db;
};
Gradients gradients_of(const Shape& s, const Values& x, const Values& delta, const Values& row_scale) {
  Gradients g{std::vector<double>(area(s.out, s.in)), std::vector<double>(static_cast<std::size_t>(s.out))};
  for (int r = 0; r < s.rows; ++r)
    for (int o = 0; o < s.out; ++o) {
      const double d = at(delta, s.out, r, o);
      const double scale = row_scale.empty() ? 1 : static_cast<double>(row_scale[static_cast<std::size_t>(r)]);
      g.db[static_cast<std::size_t>(o)] += scale * d;
      for (int i = 0; i < s.in; ++i) g.dw[area(o, s.in) + static_cast<std::size_t>(i)] += d * at(x, s.in, r, i);
    }
  return g;
}

TEST_F(CudaAffine, GradientsMatchDouble) {
  for (std::size_t n = 0; n < shapes.size(); ++n) {
    const int parts = n % 3 == 1 ? 2 : 1;
    Shape s = shapes[n];
    const std::vector<int> begin = cuts(s.rows, n % 2 == 0 ? 8 : 11);
    const cuda::Shards shards = shards_of(parts, begin);
    s.rows *= parts;
    const auto seed = static_cast<unsigned>(3000 + 10 * n);
    const std::size_t shift = shift_of(n);
    const Values x = draws(area(s.rows, s.in), seed);
    const Values delta = draws(area(s.rows, s.out), seed + 1);
    const Values row_scale = n % 2 == 0 ? Values{} : draws(static_cast<std::size_t>(s.rows), seed + 2);
    const Gradients expected = gradients_of(s, x, delta, row_scale);
    Memory<float> device_x(x, shift);
    Memory<float> device_delta(delta, shift);
    Memory<float> device_scale(row_scale);
    float* scale = row_scale.empty() ? nullptr : device_scale.data();
    for (const bool exact : {false, true}) {
      Target dw(area(s.out, s.in), exact, shift);
      Target db(static_cast<std::size_t>(s.out), exact, shift);
      const auto run = [&](bool accumulate, const cuda::Sum& w, const cuda::Sum& b) {
        cuda::affine_gradients(nullptr, shards, s.in, s.out, device_x.data(), device_delta.data(), scale, accumulate, w,
                               b);
      };
      run(false, dw.sum(), db.sum());
      expect_close(dw.as_values(), expected.dw, 2e-6, "dW " + s.text());
      expect_close(db.as_values(), expected.db, 2e-6, "db " + s.text());
      EXPECT_EQ(dw.overflow() + db.overflow(), 0);
      if (area(s.out, s.in) > 20000) continue;
      // One without the other, and added to what is there.
      Target dw_alone(area(s.out, s.in), exact, shift);
      Target db_alone(static_cast<std::size_t>(s.out), exact, shift);
      run(false, dw_alone.sum(), {});
      run(false, {}, db_alone.sum());
      expect_same_bits(dw_alone.as_values(), dw.as_values(), "dW alone");
      expect_same_bits(db_alone.as_values(), db.as_values(), "db alone");
      run(true, dw.sum(), db.sum());
      Gradients twice = expected;
      for (double& value : twice.dw) value *= 2;
      for (double& value : twice.db) value *= 2;
      expect_close(dw.as_values(), twice.dw, 2e-6, "dW twice " + s.text());
      expect_close(db.as_values(), twice.db, 2e-6, "db twice " + s.text());
    }
  }
}

TEST_F(CudaAffine, AShardsContributionIsItsOwn) {
  // The shards of a batch one by one, accumulated, give the bits of all at once.
  for (const Shape& s : {Shape{50, 37, 21}, Shape{50, 130, 1}}) {
    const std::vector<int> begin = {0, 7, 7, 20, 21, 29, 37, 48, 49, 50};
    const Values x = draws(area(2 * s.rows, s.in), 1);
    const Values delta = draws(area(2 * s.rows, s.out), 2);
    const Values scale = draws(area(2, s.rows), 3);
    Memory<float> device_x(x);
    Memory<float> device_delta(delta);
    Memory<float> device_scale(scale);
    Target dw(area(s.out, s.in), true);
    Target db(static_cast<std::size_t>(s.out), true);
    cuda::affine_gradients(nullptr, shards_of(2, begin), s.in, s.out, device_x.data(), device_delta.data(),
                           device_scale.data(), false, dw.sum(), db.sum());
    Target apart_w(area(s.out, s.in), true);
    Target apart_b(static_cast<std::size_t>(s.out), true);
    for (std::size_t i = 0; i + 1 < begin.size(); ++i) {
      const int first = begin[i];
      const int last = begin[i + 1];
      const auto both = [&](const Values& values, int columns) {
        Values rows = slice(values, columns, first, last);
        const Values second = slice(values, columns, s.rows + first, s.rows + last);
        rows.insert(rows.end(), second.begin(), second.end());
        return rows;
      };
      Memory<float> shard_x(both(x, s.in));
      Memory<float> shard_delta(both(delta, s.out));
      Memory<float> shard_scale(both(scale, 1));
      cuda::affine_gradients(nullptr, shards_of(2, {0, last - first}), s.in, s.out, shard_x.data(), shard_delta.data(),
                             shard_scale.data(), i > 0, apart_w.sum(), apart_b.sum());
    }
    expect_same_bits(apart_w.fixed(), dw.fixed(), "dW");
    expect_same_bits(apart_b.fixed(), db.fixed(), "db");
  }
}

TEST_F(CudaAffine, CountsWhatDoesNotFit) {
  for (const int out : {1, 20}) {
    constexpr int rows = 12;
    constexpr int in = 35;
    Values x = draws(area(rows, in), 1);
    Values delta(area(rows, out), 1.0F);
    // Shard 0: one column of dW is NaN. Shard 1: its first row of delta makes one output's bias infinite, and with
    // it that row of dW.
    x[5] = nan;
    delta[area(6, out)] = infinity;
    Memory<float> device_x(x);
    Memory<float> device_delta(delta);
    Target dw(area(out, in), true);
    Target db(static_cast<std::size_t>(out), true);
    cuda::affine_gradients(nullptr, shards_of(1, {0, 6, rows}), in, out, device_x.data(), device_delta.data(), nullptr,
                           false, dw.sum(), db.sum());
    EXPECT_EQ(dw.overflow(), out + in);
    EXPECT_EQ(db.overflow(), 1);
    Target float_dw(area(out, in), false);
    Target float_db(static_cast<std::size_t>(out), false);
    cuda::affine_gradients(nullptr, shards_of(1, {0, 6, rows}), in, out, device_x.data(), device_delta.data(), nullptr,
                           false, float_dw.sum(), float_db.sum());
    const Values values = float_dw.values();
    for (int o = 0; o < out; ++o)
      for (int i = 0; i < in; ++i)
        EXPECT_EQ(std::isfinite(values[area(o, in) + static_cast<std::size_t>(i)]), o != 0 && i != 5);
    EXPECT_EQ(float_db.values()[0], infinity);
  }
}

TEST_F(CudaAffine, NotFiniteStaysInItsRow) {
  for (const int out : {1, 20}) {
    constexpr int rows = 18;
    constexpr int in = 21;
    Values x = draws(area(rows, in), 1);
    x[area(3, in) + 20] = nan;
    Memory<float> device_x(x);
    Memory<float> w(draws(area(out, in), 2));
    Memory<float> b(draws(static_cast<std::size_t>(out), 3));
    Memory<float> y(area(rows, out), 0.0F);
    cuda::affine_forward(nullptr, rows, in, out, device_x.data(), w.data(), b.data(), Activation::named("relu").kind, 0,
                         y.data());
    for (int r = 0; r < rows; ++r)
      for (int o = 0; o < out; ++o)
        EXPECT_EQ(std::isnan(y[area(r, out) + static_cast<std::size_t>(o)]), r == 3) << r << " " << o;
  }
}

TEST_F(CudaAffine, ARowHasTheSameBitsInAnyBatch) {
  // 300 rows take large tiles, 37 and one small ones.
  for (const Shape& s : {Shape{300, 150, 200}, Shape{300, 61, 1}}) {
    const Values x = draws(area(s.rows, s.in), 1);
    const Values delta = draws(area(s.rows, s.out), 4);
    Memory<float> w(draws(area(s.out, s.in), 2));
    Memory<float> b(draws(static_cast<std::size_t>(s.out), 3));
    struct Passes {
      Values forward, tangent, backward;
    };
    const auto passes = [&](int first, int rows) {
      Memory<float> some_x(slice(x, s.in, first, first + rows));
      Memory<float> some_delta(slice(delta, s.out, first, first + rows));
      Memory<float> y(area(rows, s.out), nan);
      Memory<float> ty(area(rows, s.out), nan);
      Memory<float> delta_in(area(rows, s.in), nan);
      const Activation tanh = Activation::named("tanh");
      cuda::affine_forward(nullptr, rows, s.in, s.out, some_x.data(), w.data(), b.data(), tanh.kind, 0, y.data());
      cuda::affine_tangent(nullptr, rows, s.in, s.out, some_x.data(), w.data(), tanh.kind, 0, y.data(), ty.data());
      cuda::affine_backward_data(nullptr, rows, s.in, s.out, some_delta.data(), w.data(), tanh.kind, 0, some_x.data(),
                                 delta_in.data());
      return Passes{y.host(), ty.host(), delta_in.host()};
    };
    const Passes all = passes(0, s.rows);
    for (const auto& [first, rows] : {std::pair{0, 37}, {13, 37}, {20, 1}, {36, 1}, {299, 1}}) {
      const Passes some = passes(first, rows);
      expect_same_bits(some.forward, slice(all.forward, s.out, first, first + rows), "forward");
      expect_same_bits(some.tangent, slice(all.tangent, s.out, first, first + rows), "tangent");
      expect_same_bits(some.backward, slice(all.backward, s.in, first, first + rows), "backward");
    }
  }
}

TEST_F(CudaAffine, BitsDoNotDependOnTheOrderOfThreads) {
  for (const Shape& s : {Shape{40, 150, 70}, Shape{40, 61, 1}}) {
    Memory<float> x(draws(area(s.rows, s.in), 1));
    Memory<float> w(draws(area(s.out, s.in), 2));
    Memory<float> b(draws(static_cast<std::size_t>(s.out), 3));
    Memory<float> delta(draws(area(s.rows, s.out), 4));
    Values first[4];
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      emulation::set_seed(seed);
      Memory<float> y(area(s.rows, s.out), nan);
      Memory<float> delta_in(area(s.rows, s.in), nan);
      Target dw(area(s.out, s.in), false);
      Target db(static_cast<std::size_t>(s.out), false);
      cuda::affine_forward(nullptr, s.rows, s.in, s.out, x.data(), w.data(), b.data(), 1, 0, y.data());
      cuda::affine_backward_data(nullptr, s.rows, s.in, s.out, delta.data(), w.data(), 1, 0, x.data(), delta_in.data());
      cuda::affine_gradients(nullptr, shards_of(1, {0, s.rows}), s.in, s.out, x.data(), delta.data(), nullptr, false,
                             dw.sum(), db.sum());
      const Values now[4] = {y.host(), delta_in.host(), dw.values(), db.values()};
      for (std::size_t i = 0; i < 4; ++i) {
        if (seed == 0) first[i] = now[i];
        expect_same_bits(now[i], first[i], s.text());
      }
    }
  }
}

}  // namespace
}  // namespace ganymede::testing
