// The fully connected layers' passes on the CPU: against a plain triple loop in double precision, and the
// promises on bits: a row's result depends neither on the batch around it nor on the threads, and exact
// sums not on how shards are grouped.
#include <cmath>
#include <limits>

#include "math/fixed_point.hpp"
#include "support/activations.hpp"
#include "unit/device/cpu_testing.hpp"

namespace ganymede::testing {
namespace {

struct Shape {
  int rows, in, out;
};

// Around the tiles' edges (6 or 12 rows; 8, 16 or 32 columns), the blocks' (256 and 400), and the MLP GAN's own.
const std::vector<Shape> shapes = {
    {1, 1, 1},    {1, 5, 3},      {2, 3, 1},      {5, 7, 8},      {6, 16, 16},  {7, 17, 15},   {11, 31, 33},
    {12, 32, 32}, {13, 33, 31},   {24, 8, 24},    {25, 100, 7},   {3, 401, 17}, {37, 256, 64}, {19, 513, 48},
    {40, 784, 9}, {50, 100, 128}, {50, 128, 784}, {20, 784, 128}, {64, 128, 1}, {300, 9, 20},
};

// Σ_k a(i, k) · b(k, j) in double.
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

double at(const Values& values, int columns, int i, int j) {
  return static_cast<double>(values[area(i, columns) + static_cast<std::size_t>(j)]);
}

class Affine : public OnEveryMachine {};

TEST_P(Affine, ForwardMatchesDouble) {
  unsigned seed = 1;
  for (const Shape& s : shapes) {
    const Values x = draws(area(s.rows, s.in), seed++);
    // Sums of order one, so that their rounding is what sigmoid and tanh see.
    const Values w = draws(area(s.out, s.in), seed++, 1.0F / std::sqrt(static_cast<float>(s.in)));
    const Values b = draws(static_cast<std::size_t>(s.out), seed++);
    const std::vector<double> sums = reference(
        s.rows, s.out, s.in, [&](int i, int k) { return at(x, s.in, i, k); },
        [&](int k, int j) { return at(w, s.in, j, k); });
    for (const Activation& sigma : activations) {
      std::vector<double> expected = sums;
      Values y(expected.size(), NAN);
      for (double& value : expected) value = value_of(sigma, value);
      device_->affine_forward(s.rows, s.in, s.out, x.data(), w.data(), nullptr, sigma, y.data());
      expect_close(y, expected, 2e-6, std::string(sigma.name()) + " without a bias");
      for (std::size_t i = 0; i < expected.size(); ++i)
        expected[i] = value_of(sigma, sums[i] + static_cast<double>(b[i % static_cast<std::size_t>(s.out)]));
      device_->affine_forward(s.rows, s.in, s.out, x.data(), w.data(), b.data(), sigma, y.data());
      expect_close(y, expected, 2e-6,
                   std::string(sigma.name()) + " " + std::to_string(s.rows) + "x" + std::to_string(s.in) + "x" +
                       std::to_string(s.out));
    }
  }
}

TEST_P(Affine, TangentMatchesDouble) {
  unsigned seed = 1000;
  for (const Shape& s : shapes) {
    const Values x = draws(area(s.rows, s.in), seed++);
    const Values w = draws(area(s.out, s.in), seed++);
    const Values y = draws(area(s.rows, s.out), seed++);
    const std::vector<double> sums = reference(
        s.rows, s.out, s.in, [&](int i, int k) { return at(x, s.in, i, k); },
        [&](int k, int j) { return at(w, s.in, j, k); });
    for (const Activation& sigma : activations) {
      std::vector<double> expected = sums;
      for (std::size_t i = 0; i < expected.size(); ++i) expected[i] *= slope_of(sigma, static_cast<double>(y[i]));
      Values ty(expected.size(), NAN);
      device_->affine_tangent(s.rows, s.in, s.out, x.data(), w.data(), sigma, y.data(), ty.data());
      expect_close(ty, expected, 2e-6, sigma.name());
    }
  }
}

TEST_P(Affine, BackwardDataMatchesDouble) {
  unsigned seed = 2000;
  for (const Shape& s : shapes) {
    const Values delta = draws(area(s.rows, s.out), seed++);
    const Values w = draws(area(s.out, s.in), seed++);
    const Values x = draws(area(s.rows, s.in), seed++);
    const std::vector<double> sums = reference(
        s.rows, s.in, s.out, [&](int i, int k) { return at(delta, s.out, i, k); },
        [&](int k, int j) { return at(w, s.in, k, j); });
    for (const Activation& below : activations) {
      std::vector<double> expected = sums;
      for (std::size_t i = 0; i < expected.size(); ++i) expected[i] *= slope_of(below, static_cast<double>(x[i]));
      Values delta_in(expected.size(), NAN);
      device_->affine_backward_data(s.rows, s.in, s.out, delta.data(), w.data(), below, x.data(), delta_in.data());
      expect_close(delta_in, expected, 2e-6, below.name());
    }
    Values delta_in(sums.size(), NAN);
    device_->affine_backward_data(s.rows, s.in, s.out, delta.data(), w.data(), {}, nullptr, delta_in.data());
    expect_close(delta_in, sums, 2e-6, "no input");
  }
}

TEST_P(Affine, WeightGradientMatchesDouble) {
  unsigned seed = 3000;
  for (const Shape& s : shapes) {
    for (int parts = 1; parts <= 2; ++parts) {
      const BatchLayout layout{parts, s.rows, {0, s.rows}};
      const int rows = layout.total_rows();
      const Values x = draws(area(rows, s.in), seed++);
      const Values delta = draws(area(rows, s.out), seed++);
      std::vector<double> expected = reference(
          s.out, s.in, rows, [&](int i, int k) { return at(delta, s.out, k, i); },
          [&](int k, int j) { return at(x, s.in, k, j); });
      Values dw(expected.size(), NAN);
      SumTarget target;
      target.values = dw.data();
      device_->affine_gradients(layout, s.in, s.out, x.data(), delta.data(), nullptr, false, target, {});
      expect_close(dw, expected, 2e-6, "overwriting");
      device_->affine_gradients(layout, s.in, s.out, x.data(), delta.data(), nullptr, true, target, {});
      for (double& value : expected) value *= 2;
      expect_close(dw, expected, 2e-6, "accumulating");
    }
  }
}

TEST_P(Affine, BiasGradientMatchesDouble) {
  unsigned seed = 4000;
  for (const Shape& s : shapes) {
    const BatchLayout layout{1, s.rows, {0, s.rows}};
    const Values delta = draws(area(s.rows, s.out), seed++);
    const Values scale = draws(static_cast<std::size_t>(s.rows), seed++);
    for (bool scaled : {false, true}) {
      std::vector<double> expected(static_cast<std::size_t>(s.out));
      for (int r = 0; r < s.rows; ++r)
        for (int j = 0; j < s.out; ++j)
          expected[static_cast<std::size_t>(j)] +=
              at(delta, s.out, r, j) * (scaled ? static_cast<double>(scale[static_cast<std::size_t>(r)]) : 1);
      Values db(expected.size(), NAN);
      SumTarget target;
      target.values = db.data();
      const float* row_scale = scaled ? scale.data() : nullptr;
      device_->affine_gradients(layout, 1, s.out, nullptr, delta.data(), row_scale, false, {}, target);
      expect_close(db, expected, 2e-6, "overwriting");
      device_->affine_gradients(layout, 1, s.out, nullptr, delta.data(), row_scale, true, {}, target);
      for (double& value : expected) value *= 2;
      expect_close(db, expected, 2e-6, "accumulating");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, Affine, ::testing::ValuesIn(machines()), machine_name);

// --- bits ---------------------------------------------------------------------------------------------------

class AffineBits : public ::testing::TestWithParam<std::string> {};

TEST_P(AffineBits, RowsDependNeitherOnTheBatchNorOnThreads) {
  struct Layer {
    int in, out;
  };
  for (const Layer& layer : {Layer{100, 128}, Layer{300, 49}, Layer{17, 5}, Layer{128, 1}, Layer{3, 784}}) {
    constexpr int most = 64;
    const int in = layer.in;
    const int out = layer.out;
    const Values x = draws(area(most, in), 1);
    const Values w = draws(area(out, in), 2);
    const Values b = draws(static_cast<std::size_t>(out), 3);
    const Values y = draws(area(most, out), 4);
    const Activation sigma = Activation::named("tanh");
    struct Passes {
      Values forward, tangent, backward;
    };
    // Rows first … last-1 as a batch of their own.
    const auto run = [&](Device& device, int first, int last) {
      const int rows = last - first;
      Passes p{Values(area(rows, out)), Values(area(rows, out)), Values(area(rows, in))};
      device.affine_forward(rows, in, out, x.data() + area(first, in), w.data(), b.data(), sigma, p.forward.data());
      device.affine_tangent(rows, in, out, x.data() + area(first, in), w.data(), sigma, y.data() + area(first, out),
                            p.tangent.data());
      device.affine_backward_data(rows, in, out, y.data() + area(first, out), w.data(), sigma,
                                  x.data() + area(first, in), p.backward.data());
      return p;
    };
    const std::unique_ptr<Device> one = make_cpu_device(1, GetParam());
    const std::unique_ptr<Device> three = make_cpu_device(3, GetParam());
    const Passes whole = run(*one, 0, most);
    const auto compare = [&](const Passes& p, int first, int last, const std::string& what) {
      expect_same_bits(p.forward, slice(whole.forward, out, first, last), "forward, " + what);
      expect_same_bits(p.tangent, slice(whole.tangent, out, first, last), "tangent, " + what);
      expect_same_bits(p.backward, slice(whole.backward, in, first, last), "backward, " + what);
    };
    for (int rows = 1; rows <= most; ++rows) {
      compare(run(*one, 0, rows), 0, rows, "first " + std::to_string(rows));
      compare(run(*three, most - rows, most), most - rows, most, "last " + std::to_string(rows));
    }
    for (int cut : {1, 5, 22, 50}) compare(run(*three, cut, most - 3), cut, most - 3, "from " + std::to_string(cut));
  }
}

// Products leave out steps whose factors are zero; each element is still the chain of all its multiply-adds.
TEST_P(AffineBits, ZerosLeaveTheChainAsItIs) {
  const auto chain = [&](int depth, auto&& a, auto&& b) {
    float sum = 0;
    for (int k = 0; k < depth; ++k) {
      if (GetParam() == "x86-64-v2") {
        const float product = a(k) * b(k);
        sum += product;
      } else {
        sum = std::fma(a(k), b(k), sum);
      }
    }
    return sum;
  };
  constexpr int rows = 61;
  constexpr int in = 450;
  constexpr int out = 70;
  const std::unique_ptr<Device> one = make_cpu_device(1, GetParam());
  const std::unique_ptr<Device> three = make_cpu_device(3, GetParam());
  const Values w = draws(area(out, in), 1);
  const Values none(out, 0.0F);
  const Values delta = draws(area(rows, out), 2);
  const auto index = [](int row, int columns, int column) {
    return area(row, columns) + static_cast<std::size_t>(column);
  };
  // Columns that are zero in all rows but some, in nearly all places, everywhere; rows without anything.
  for (const int kind : {0, 1, 2, 3}) {
    Values x = draws(area(rows, in), 3);
    for (int i = 0; i < rows; ++i)
      for (int k = 0; k < in; ++k) {
        const bool zero = kind == 0   ? k % 3 != 0 && (i + k) % 17 != 0
                          : kind == 1 ? (i * 31 + k * 7) % 97 != 0
                          : kind == 2 ? true
                                      : i < 40 && (k < 200 || i % 2 == 0);
        if (zero) x[index(i, in, k)] = k % 2 == 0 ? 0.0F : -0.0F;
      }
    Values forward(area(rows, out));
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < out; ++j)
        forward[index(i, out, j)] = chain(
            in, [&](int k) { return x[index(i, in, k)]; }, [&](int k) { return w[index(j, in, k)]; });
    Values weights(area(out, in));
    for (int j = 0; j < out; ++j)
      for (int k = 0; k < in; ++k)
        weights[index(j, in, k)] = chain(
            rows, [&](int i) { return delta[index(i, out, j)]; }, [&](int i) { return x[index(i, in, k)]; });
    for (Device* device : {one.get(), three.get()}) {
      const std::string what = "kind " + std::to_string(kind);
      Values y(forward.size(), NAN);
      device->affine_forward(rows, in, out, x.data(), w.data(), none.data(), {}, y.data());
      expect_same_bits(y, forward, "forward, " + what);
      Values dw(weights.size(), NAN);
      SumTarget target;
      target.values = dw.data();
      device->affine_gradients({1, rows, {0, rows}}, in, out, x.data(), delta.data(), nullptr, false, target, {});
      expect_same_bits(dw, weights, "weights, " + what);
    }
  }
}

TEST_P(AffineBits, WeightGradientsDoNotDependOnThreads) {
  for (const Shape& s : shapes) {
    const BatchLayout layout{2, s.rows, {0, s.rows / 2, s.rows}};
    const Values x = draws(area(2 * s.rows, s.in), 5);
    const Values delta = draws(area(2 * s.rows, s.out), 6);
    Values dw[2];
    std::vector<std::int64_t> fixed[2];
    for (int i = 0; i < 2; ++i) {
      const std::unique_ptr<Device> device = make_cpu_device(i == 0 ? 1 : 3, GetParam());
      dw[i].resize(area(s.out, s.in));
      fixed[i].resize(area(s.out, s.in));
      std::int64_t overflow = 0;
      SumTarget target;
      target.values = dw[i].data();
      device->affine_gradients(layout, s.in, s.out, x.data(), delta.data(), nullptr, false, target, {});
      target = {nullptr, fixed[i].data(), &overflow};
      device->affine_gradients(layout, s.in, s.out, x.data(), delta.data(), nullptr, false, target, {});
      EXPECT_EQ(overflow, 0);
    }
    expect_same_bits(dw[0], dw[1], "values");
    expect_same_bits(fixed[0], fixed[1], "fixed");
  }
}

// The shards of a batch held by one rank, and each by a rank of its own, in both orders.
TEST_P(AffineBits, ExactSumsDoNotDependOnTheGroupingOfShards) {
  const std::unique_ptr<Device> device = make_cpu_device(2, GetParam());
  struct Batch {
    int rows, in, out;
    std::vector<int> shard_begin;
  };
  // The last ones hold shards that are longer than what is packed at once, and empty ones.
  for (const Batch& batch :
       {Batch{100, 40, 21, {0, 12, 25, 37, 50, 62, 75, 87, 100}}, Batch{7, 33, 13, {0, 2, 3, 7}},
        Batch{400, 20, 7, {0, 10, 290, 400}}, Batch{700, 17, 14, {0, 600, 600, 700}}, Batch{3, 5, 1, {0, 0, 1, 3}}}) {
    for (int parts = 1; parts <= 2; ++parts) {
      const BatchLayout layout{parts, batch.rows, batch.shard_begin};
      const Values x = draws(area(layout.total_rows(), batch.in), 7);
      const Values delta = draws(area(layout.total_rows(), batch.out), 8);
      const Values scale = draws(static_cast<std::size_t>(layout.total_rows()), 9);
      const std::size_t weights = area(batch.out, batch.in);
      const std::size_t all = weights + static_cast<std::size_t>(batch.out);
      std::int64_t overflow = 0;
      std::vector<std::int64_t> together(all, 77);
      SumTarget target{nullptr, together.data(), &overflow};
      device->affine_gradients(layout, batch.in, batch.out, x.data(), delta.data(), nullptr, false, target, {});
      device->affine_gradients(layout, 1, batch.out, nullptr, delta.data(), scale.data(), false, {},
                               target.at(weights));

      // What a shard's rows alone give, added up last shard first.
      std::vector<std::int64_t> apart(all, 0);
      target.fixed = apart.data();
      for (int s = layout.shards() - 1; s >= 0; --s) {
        const int first = batch.shard_begin[static_cast<std::size_t>(s)];
        const int rows = batch.shard_begin[static_cast<std::size_t>(s) + 1] - first;
        Values shard_x;
        Values shard_delta;
        Values shard_scale;
        for (int part = 0; part < parts; ++part) {
          const int top = part * batch.rows + first;
          const auto append = [](Values& to, const Values& from) { to.insert(to.end(), from.begin(), from.end()); };
          append(shard_x, slice(x, batch.in, top, top + rows));
          append(shard_delta, slice(delta, batch.out, top, top + rows));
          append(shard_scale, slice(scale, 1, top, top + rows));
        }
        const BatchLayout alone{parts, rows, {0, rows}};
        device->affine_gradients(alone, batch.in, batch.out, shard_x.data(), shard_delta.data(), nullptr, true, target,
                                 {});
        device->affine_gradients(alone, 1, batch.out, nullptr, shard_delta.data(), shard_scale.data(), true, {},
                                 target.at(weights));
      }
      expect_same_bits(together, apart, "rows " + std::to_string(batch.rows));
      EXPECT_EQ(overflow, 0);

      std::vector<double> expected = reference(
          batch.out, batch.in, layout.total_rows(), [&](int i, int k) { return at(delta, batch.out, k, i); },
          [&](int k, int j) { return at(x, batch.in, k, j); });
      Values sums(weights);
      device->from_fixed_point(weights, together.data(), &overflow, sums.data());
      expect_close(sums, expected, 2e-6, "exact sum");
    }
  }
}

TEST_P(AffineBits, ExactSumsCountWhatDoesNotFit) {
  const std::unique_ptr<Device> device = make_cpu_device(2, GetParam());
  constexpr int rows = 10;
  constexpr int in = 37;  // no multiple of a tile: nothing beyond the edge may be counted
  constexpr int out = 5;
  const BatchLayout layout{1, rows, {0, 3, 10}};
  Values x(area(rows, in), 1.0F);
  Values delta(area(rows, out), 0.5F);
  delta[area(4, out) + 2] = std::numeric_limits<float>::quiet_NaN();  // shard 1, output 2
  delta[area(1, out) + 3] = 1e6F;                                     // shard 0, output 3
  std::vector<std::int64_t> fixed(area(out, in));
  std::int64_t overflow = 5;
  const SumTarget target{nullptr, fixed.data(), &overflow};
  device->affine_gradients(layout, in, out, x.data(), delta.data(), nullptr, false, target, {});
  EXPECT_EQ(overflow, 5 + 2 * in);
  for (int i = 0; i < out; ++i)
    for (int j = 0; j < in; ++j) {
      // The shard that fits is still there.
      const float expected = i == 2 ? 1.5F : i == 3 ? 3.5F : 5.0F;
      EXPECT_EQ(fixed[area(i, in) + static_cast<std::size_t>(j)], math::to_fixed_point(expected));
    }
  overflow = 0;
  device->affine_gradients(layout, 1, out, nullptr, delta.data(), nullptr, false, {}, target);
  EXPECT_EQ(overflow, 2);
}

TEST_P(AffineBits, NothingHidesValuesThatAreNotFinite) {
  const std::unique_ptr<Device> device = make_cpu_device(2, GetParam());
  constexpr int rows = 9;
  constexpr int in = 40;
  constexpr int out = 20;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const Values b(out, 0.0F);
  for (const Activation& sigma : activations) {
    for (float bad : {nan, infinity}) {
      // An input that is not finite meets a zero weight; a weight that is not finite meets a zero input:
      // both are NaN.
      for (bool in_weights : {false, true}) {
        Values x(area(rows, in), in_weights ? 0.0F : 0.25F);
        Values w(area(out, in), in_weights ? 0.25F : 0.0F);
        (in_weights ? w[area(3, in) + 5] : x[area(3, in) + 5]) = bad;
        Values y(area(rows, out));
        device->affine_forward(rows, in, out, x.data(), w.data(), b.data(), sigma, y.data());
        Values slope(area(rows, out), 0.5F);
        Values ty(area(rows, out));
        device->affine_tangent(rows, in, out, x.data(), w.data(), sigma, slope.data(), ty.data());
        for (int i = 0; i < rows; ++i)
          for (int j = 0; j < out; ++j) {
            const bool expected = in_weights ? j == 3 : i == 3;
            EXPECT_EQ(std::isnan(at(y, out, i, j)), expected) << sigma.name() << " " << i << " " << j;
            EXPECT_EQ(std::isnan(at(ty, out, i, j)), expected) << sigma.name() << " " << i << " " << j;
          }
      }
      Values delta(area(rows, out), 0.0F);
      Values w(area(out, in), 0.25F);
      w[area(3, in) + 5] = bad;
      Values x(area(rows, in), 0.5F);
      Values delta_in(area(rows, in));
      device->affine_backward_data(rows, in, out, delta.data(), w.data(), sigma, x.data(), delta_in.data());
      for (int i = 0; i < rows; ++i)
        for (int j = 0; j < in; ++j) EXPECT_EQ(std::isnan(at(delta_in, in, i, j)), j == 5) << sigma.name();
      Values dw(area(out, in));
      SumTarget target;
      target.values = dw.data();
      x[area(2, in) + 7] = bad;
      device->affine_gradients({1, rows, {0, rows}}, in, out, x.data(), delta.data(), nullptr, false, target, {});
      for (int i = 0; i < out; ++i)
        for (int j = 0; j < in; ++j) EXPECT_EQ(std::isnan(at(dw, in, i, j)), j == 7);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, AffineBits, ::testing::ValuesIn(cpu_instruction_sets()),
                         [](const auto& info) { return info.param.substr(info.param.size() - 2); });

// Both chain fused multiply-adds in the same order.
TEST(AffineBitsAcrossInstructionSets, FusedOnesAgree) {
  const std::vector<std::string> sets = cpu_instruction_sets();
  if (sets.size() < 3) return;  // only where there are two of them
  const Values x = draws(area(50, 300), 1);
  const Values w = draws(area(70, 300), 2);
  const Values b = draws(70, 3);
  Values y[2];
  for (std::size_t i = 0; i < 2; ++i) {
    y[i].resize(area(50, 70));
    make_cpu_device(1, sets[i + 1])
        ->affine_forward(50, 300, 70, x.data(), w.data(), b.data(), Activation::named("sigmoid"), y[i].data());
  }
  expect_same_bits(y[0], y[1], "v3 and v4");
}

}  // namespace
}  // namespace ganymede::testing
