// The GPU's products of bfloat16 (struct Rounded) against their definition, and how far they are from those of float32.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <string>

#include "cuda_backend/gpu.hpp"
#include "ganymede/error.hpp"
#include "support/reference_gan.hpp"
#include "support/rounding_device.hpp"

namespace ganymede::testing {
namespace {

using Floats = std::vector<float>;

double wide(float value) { return static_cast<double>(value); }
float largest(const Floats& values) {
  float result = 0;
  for (const float value : values) result = std::max(result, std::abs(value));
  return result;
}
Floats absolute(Floats values) {
  for (float& value : values) value = std::abs(value);
  return values;
}

template <class T>
DeviceArray<T> on(Device& device, const std::vector<T>& values) {
  DeviceArray<T> array(device, values.size());
  array.assign(values.data());
  return array;
}

/// Weights on a device, and all that a product of bfloat16 needs with them.
struct Matrix {
  Matrix(Device& device, const Floats& w, std::size_t room_count)
      : values(on(device, w)), weights(device, w.size()), room(device, room_count) {
    device.round(w.size(), values.data(), weights.data());
  }
  [[nodiscard]] Rounded rounded() { return {weights.data(), room.data()}; }
  DeviceArray<float> values;
  DeviceArray<Bfloat16> weights;
  DeviceArray<Bfloat16> room;
};

class GpuRounded : public ::testing::Test {
 protected:
  void SetUp() override {
    prepare_gpus(1, 6);
    CudaOptions options;
    options.precision = Precision::bfloat16;
    options.blas_from = 1;
    try {
      gpu_ = make_gpu(*alone_, options);
    } catch (const Error& error) {
      if (!lacks_tensor_cores(error)) throw;
      GTEST_SKIP() << error.what();
    }
  }
  void TearDown() override {
    gpu_.reset();
    EXPECT_EQ(gpu_leaks(), std::vector<std::string>{});
  }

  std::unique_ptr<Communicator> alone_ = make_local_communicator();
  std::unique_ptr<Device> cpu_ = make_cpu_device(1);
  RoundingDevice definition_{make_cpu_device(1)};
  std::unique_ptr<Device> gpu_;
};

TEST_F(GpuRounded, NumbersAreTheNearest) {
  Floats x = uniform_floats(1000, 1, 3);
  for (const float value : {0.0F, -0.0F, 0x1.01p0F, 0x1.03p0F, 0x1p-133F, 0x1p-134F, -0x1.FFFFFEp127F})
    x.push_back(value);
  Matrix m(*gpu_, x, 0);
  std::vector<Bfloat16> expected;
  for (const float value : x) expected.push_back(bfloat16_bits(nearest_bfloat16(value)));
  EXPECT_EQ(m.weights.host(), expected);
}

struct Shape {
  int rows, in, out;
};
const std::vector<Shape> shapes = {{1, 1, 1}, {5, 33, 1}, {37, 100, 65}, {100, 31, 17}, {9, 1500, 5}, {64, 128, 96}};

// How near sums of up to 1500 products of rounded factors are, as a share of the largest: to their order, where each
// addition rounds. Tensor cores cut off instead: every 16 products or so a sum loses up to 2^-23 of itself, always
// towards 0, which adds up to 1e-5 over 1500. A sum in bfloat16 is off by 4e-3 and more: see below.
constexpr double most_off = 2e-5;
double tolerance() { return simulated_gpus() ? 4e-6 : most_off; }

TEST_F(GpuRounded, LayersAreThoseOfRoundedFactors) {
  for (const Shape& s : shapes)
    for (const char* name : {"identity", "relu", "tanh"}) {
      SCOPED_TRACE(std::to_string(s.rows) + "×" + std::to_string(s.in) + " to " + std::to_string(s.out) + " " + name);
      const Activation sigma = Activation::named(name, 0.2F);
      const Floats x = uniform_floats(count_of(s.rows, s.in), 1);
      const Floats w = uniform_floats(count_of(s.out, s.in), 2);
      const Floats b = uniform_floats(count_of(s.out, 1), 3);
      const Floats delta = uniform_floats(count_of(s.rows, s.out), 4);
      const Floats h = uniform_floats(count_of(s.rows, s.out), 5, 0.9F);
      const Floats below = uniform_floats(count_of(s.rows, s.in), 6, 0.9F);
      const BatchLayout layout{1, s.rows, {0, s.rows}};
      const auto all = [&](Device& d) {
        Matrix m(d, w, Rounded::room_for(x.size(), h.size()));
        auto dx = on(d, x), db = on(d, b), dd = on(d, delta), dh = on(d, h), dbelow = on(d, below);
        DeviceArray<float> y(d, h.size()), to_x(d, x.size());
        DeviceArray<float> sums(d, w.size() + b.size());
        std::vector<Floats> results;
        for (const float* bias : {db.data(), static_cast<float*>(nullptr)}) {
          d.affine_forward(s.rows, s.in, s.out, dx.data(), m.values.data(), bias, sigma, y.data(), m.rounded());
          results.push_back(y.host());
        }
        d.affine_tangent(s.rows, s.in, s.out, dx.data(), m.values.data(), sigma, dh.data(), y.data(), m.rounded());
        results.push_back(y.host());
        d.affine_backward_data(s.rows, s.in, s.out, dd.data(), m.values.data(), sigma, dbelow.data(), to_x.data(),
                               m.rounded());
        results.push_back(to_x.host());
        for (const bool accumulate : {false, true})
          d.affine_gradients(layout, s.in, s.out, dx.data(), dd.data(), nullptr, accumulate, {sums.data()},
                             {sums.data() + w.size()}, {nullptr, m.room.data()});
        const Floats gradients = sums.host();
        const auto biases = gradients.begin() + static_cast<std::ptrdiff_t>(w.size());
        results.emplace_back(gradients.begin(), biases);
        results.emplace_back(biases, gradients.end());
        return results;
      };
      const std::vector<Floats> actual = all(*gpu_);
      const std::vector<Floats> expected = all(definition_);
      for (std::size_t pass = 0; pass < expected.size(); ++pass) {
        // Whether biases' gradients sum rounded deltas, a GPU's cuBLASLt decides: each is off by up to 2^-9.
        const bool either = !simulated_gpus() && pass + 1 == expected.size();
        const double off = tolerance() * wide(largest(expected[pass])) + (either ? s.rows * 0x1p-9 : 0);
        for (std::size_t i = 0; i < expected[pass].size(); ++i)
          ASSERT_NEAR(wide(actual[pass][i]), wide(expected[pass][i]), off) << "pass " << pass << ", element " << i;
      }
    }
}

// Each factor is off by up to 2^-8 of itself, so that a sum is by (2 · 2^-8 + 2^-16) · Σ|x||w|; and it is off.
TEST_F(GpuRounded, LayersAreNearThoseOfFloat32) {
  const Shape s{37, 300, 29};
  const Floats x = uniform_floats(count_of(s.rows, s.in), 1);
  const Floats w = uniform_floats(count_of(s.out, s.in), 2);
  Floats exact(count_of(s.rows, s.out)), magnitudes(exact.size());
  cpu_->affine_forward(s.rows, s.in, s.out, x.data(), w.data(), nullptr, {}, exact.data());
  cpu_->affine_forward(s.rows, s.in, s.out, absolute(x).data(), absolute(w).data(), nullptr, {}, magnitudes.data());
  Matrix m(*gpu_, w, Rounded::room_for(x.size(), exact.size()));
  auto dx = on(*gpu_, x);
  DeviceArray<float> y(*gpu_, exact.size());
  gpu_->affine_forward(s.rows, s.in, s.out, dx.data(), m.values.data(), nullptr, {}, y.data(), m.rounded());
  const Floats rounded = y.host();
  double most = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double off = std::abs(wide(rounded[i]) - wide(exact[i]));
    ASSERT_LE(off, (0x1p-7 + 0x1p-16) * wide(magnitudes[i]) + 1e-5);
    most = std::max(most, off / wide(magnitudes[i]));
  }
  EXPECT_GT(most, 0x1p-14) << "nothing was rounded";
  // Products that nobody asks to round are not.
  gpu_->affine_forward(s.rows, s.in, s.out, dx.data(), m.values.data(), nullptr, {}, y.data());
  const Floats plain = y.host();
  for (std::size_t i = 0; i < exact.size(); ++i)
    ASSERT_NEAR(wide(plain[i]), wide(exact[i]), 1e-5 * wide(largest(exact)));
}

// Fine and coarse height, width and channels; kernel, stride, padding.
const std::vector<Convolution> geometries = {{1, 1, 1, 1, 1, 1, 1, 1, 0},
                                             {9, 7, 3, 4, 3, 5, 3, 2, 0},
                                             {28, 28, 1, 14, 14, 32, 4, 2, 1},
                                             {14, 14, 32, 7, 7, 36, 4, 2, 1},
                                             {6, 7, 12, 6, 7, 20, 5, 1, 2}};

// Sums that differ in the last bits of a float32 may be rounded to neighbours, 2^-7 of them apart: one in a hundred,
// or, where they differ in more bits (see tolerance()), one in twenty.
TEST_F(GpuRounded, ConvolutionsAreThoseOfRoundedFactors) {
  const Activation sigma = Activation::named("leaky-relu", 0.2F);
  constexpr int rows = 3;
  for (const Convolution& g : geometries) {
    SCOPED_TRACE(std::to_string(g.fine_size()) + " to " + std::to_string(g.coarse_size()));
    const Floats w = uniform_floats(count_of(g.coarse_channels, g.filter()), 1);
    const Floats fine = uniform_floats(count_of(rows, g.fine_size()), 2);
    const Floats coarse = uniform_floats(count_of(rows, g.coarse_size()), 3);
    const BatchLayout layout{1, rows, {0, rows}};
    const auto all = [&](Device& d) {
      Matrix m(d, w, Rounded::room_for(fine.size(), coarse.size(), w.size()));
      auto df = on(d, fine), dc = on(d, coarse);
      std::vector<Floats> results;
      for (const bool transposed : {false, true}) {
        const std::size_t size = transposed ? fine.size() : coarse.size();
        auto bias = on(d, uniform_floats(count_of(transposed ? g.fine_channels : g.coarse_channels, 1), 4));
        auto h = on(d, uniform_floats(size, 5));
        for (const Finish& finish : {Finish{}, Finish{bias.data(), sigma, nullptr}, Finish{nullptr, sigma, h.data()}}) {
          DeviceArray<float> to(d, size);
          if (transposed) {
            d.convolve_transposed(g, rows, dc.data(), m.values.data(), finish, to.data(), m.rounded());
          } else {
            d.convolve(g, rows, df.data(), m.values.data(), finish, to.data(), m.rounded());
          }
          results.push_back(to.host());
        }
      }
      for (const bool accumulate : {false, true}) {
        DeviceArray<float> sums = on(d, uniform_floats(w.size(), 6));
        d.convolution_gradients(layout, g, df.data(), dc.data(), accumulate, {sums.data()}, {nullptr, m.room.data()});
        results.push_back(sums.host());
      }
      return results;
    };
    const std::vector<Floats> actual = all(*gpu_);
    const std::vector<Floats> expected = all(definition_);
    for (std::size_t pass = 0; pass < expected.size(); ++pass) {
      std::size_t neighbours = 0;
      for (std::size_t i = 0; i < expected[pass].size(); ++i) {
        const double off = std::abs(wide(actual[pass][i]) - wide(expected[pass][i]));
        const double near = (simulated_gpus() ? 1e-5 : most_off) * wide(largest(expected[pass]));
        // With what is added to a sum, or what it is added to, between -1 and 1.
        ASSERT_LE(off, near + 0x1p-7 * (1 + std::abs(wide(expected[pass][i])))) << "pass " << pass << ", element " << i;
        if (off > near) ++neighbours;
      }
      EXPECT_LE(neighbours, 2 + expected[pass].size() / (simulated_gpus() ? 100 : 20)) << "pass " << pass;
    }
  }
}

// What the tests above would see of sums that were bfloat16.
TEST_F(GpuRounded, ASumInBfloat16WouldBeSeen) {
  const Shape s{9, 3000, 5};
  const Floats x = nearest_bfloat16(uniform_floats(count_of(s.rows, s.in), 1));
  const Floats w = nearest_bfloat16(uniform_floats(count_of(s.out, s.in), 2));
  Floats expected(count_of(s.rows, s.out));
  cpu_->affine_forward(s.rows, s.in, s.out, x.data(), w.data(), nullptr, {}, expected.data());
  double most = 0;
  for (int row = 0; row < s.rows; ++row)
    for (int o = 0; o < s.out; ++o) {
      float sum = 0;
      for (int i = 0; i < s.in; ++i)
        sum = nearest_bfloat16(sum + x[count_of(row, s.in) + count_of(i, 1)] * w[count_of(o, s.in) + count_of(i, 1)]);
      most = std::max(most, std::abs(wide(sum) - wide(expected[count_of(row, s.out) + count_of(o, 1)])));
    }
  EXPECT_GT(most, 200 * most_off * wide(largest(expected)));
}

}  // namespace
}  // namespace ganymede::testing
