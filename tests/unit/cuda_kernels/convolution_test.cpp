// The convolutions' kernels: against plain loops in double over awkward geometries, aligned and not; a row's bits do
// not depend on its batch, nor any bits on the order of blocks and threads; sums in both forms.
#include <cmath>
#include <cstdint>

#include "support/convolution_taps.hpp"
#include "unit/cuda_kernels/layers.hpp"

namespace ganymede::testing {
namespace {

using cuda::ConvolutionShape;

struct Case {
  int rows;
  ConvolutionShape shape;
  [[nodiscard]] std::size_t fine() const {
    return area(shape.fine_height, shape.fine_width) * static_cast<std::size_t>(shape.fine_channels);
  }
  [[nodiscard]] std::size_t coarse() const {
    return area(shape.coarse_height, shape.coarse_width) * static_cast<std::size_t>(shape.coarse_channels);
  }
  [[nodiscard]] std::size_t weights() const {
    return area(shape.coarse_channels, shape.kernel * shape.kernel * shape.fine_channels);
  }
  [[nodiscard]] std::size_t all(std::size_t of_a_row) const { return static_cast<std::size_t>(rows) * of_a_row; }
  [[nodiscard]] std::string text() const {
    std::string result = std::to_string(rows) + " rows of";
    for (int number : {shape.fine_height, shape.fine_width, shape.fine_channels, shape.coarse_height,
                       shape.coarse_width, shape.coarse_channels, shape.kernel, shape.stride, shape.padding})
      result += " " + std::to_string(number);
    return result;
  }
};

// Fine height, width, channels; coarse ones; kernel, stride, padding. One channel, channels that are no multiples of
// four, every kernel from 1 to 5; strides beyond the kernel, so that nothing reaches some fine pixels; fine pixels
// after the last window; windows wholly outside; few and many tiles (16 and 32 rows), few and many slices.
const std::vector<Case> cases = {
    {0, {4, 4, 4, 2, 2, 4, 4, 2, 1}},      {1, {1, 1, 1, 1, 1, 1, 1, 1, 0}},     {3, {5, 4, 1, 5, 4, 3, 1, 1, 0}},
    {2, {7, 5, 3, 3, 2, 5, 3, 2, 0}},      {2, {8, 6, 4, 4, 3, 8, 4, 2, 1}},     {1, {7, 9, 2, 3, 3, 6, 1, 3, 0}},
    {2, {8, 11, 5, 3, 4, 4, 2, 3, 0}},     {3, {6, 7, 1, 6, 7, 20, 5, 1, 2}},    {2, {9, 9, 8, 4, 4, 17, 3, 2, 0}},
    {1, {3, 3, 6, 5, 5, 3, 2, 1, 1}},      {2, {2, 3, 4, 3, 3, 4, 1, 1, 2}},     {2, {10, 5, 16, 3, 2, 12, 5, 3, 1}},
    {5, {4, 4, 12, 1, 1, 1, 4, 1, 0}},     {17, {7, 7, 33, 3, 3, 18, 4, 2, 1}},  {9, {28, 28, 1, 14, 14, 16, 4, 2, 1}},
    {12, {14, 14, 16, 7, 7, 32, 4, 2, 1}}, {2, {9, 13, 20, 9, 13, 60, 3, 1, 1}}, {40, {8, 8, 3, 8, 8, 24, 3, 1, 1}},
    {3, {5, 5, 31, 3, 3, 33, 3, 2, 1}},    {2, {4, 4, 32, 4, 4, 31, 3, 1, 1}},
};

// Every product of a row: visit(coarse element, weight, fine element).
template <class Visit>
void visit_products(const ConvolutionShape& s, Visit&& visit) {
  const auto place = [](int pixel, int channels, int channel) {
    return area(pixel, channels) + static_cast<std::size_t>(channel);
  };
  visit_taps(s, [&](int coarse, int fine, int tap) {
    for (int o = 0; o < s.coarse_channels; ++o)
      for (int i = 0; i < s.fine_channels; ++i)
        visit(place(coarse, s.coarse_channels, o), place(o * s.kernel * s.kernel + tap, s.fine_channels, i),
              place(fine, s.fine_channels, i));
  });
}

struct Sums {
  std::vector<double> coarse, fine, weights;
};
// Both convolutions, and the gradients.
Sums sums_of(const Case& c, const Values& coarse, const Values& w, const Values& fine) {
  Sums sums{std::vector<double>(coarse.size()), std::vector<double>(fine.size()), std::vector<double>(w.size())};
  for (int row = 0; row < c.rows; ++row) {
    const std::size_t first_coarse = static_cast<std::size_t>(row) * c.coarse();
    const std::size_t first_fine = static_cast<std::size_t>(row) * c.fine();
    visit_products(c.shape, [&](std::size_t o, std::size_t k, std::size_t i) {
      const auto a = static_cast<double>(coarse[first_coarse + o]);
      const auto b = static_cast<double>(w[k]);
      const auto x = static_cast<double>(fine[first_fine + i]);
      sums.coarse[first_coarse + o] += b * x;
      sums.fine[first_fine + i] += a * b;
      sums.weights[k] += a * x;
    });
  }
  return sums;
}

class CudaConvolution : public Kernels {
 protected:
  static std::size_t shift_of(std::size_t index) { return index % 2 == 0 ? 0 : index % 4; }
};

TEST_F(CudaConvolution, PassesMatchDouble) {
  for (std::size_t n = 0; n < cases.size(); ++n) {
    const Case& c = cases[n];
    const ConvolutionShape& s = c.shape;
    const auto seed = static_cast<unsigned>(10 * n);
    const std::size_t shift = shift_of(n);
    const Values fine = draws(c.all(c.fine()), seed);
    const Values coarse = draws(c.all(c.coarse()), seed + 1);
    const Values w = draws(c.weights(), seed + 2, 1.0F / static_cast<float>(s.kernel));
    const Sums sums = sums_of(c, coarse, w, fine);
    Memory<float> device_fine(fine, shift);
    Memory<float> device_coarse(coarse, shift);
    Memory<float> device_w(w, shift);
    const Activation& sigma = activations[n % activations.size()];
    const auto check = [&](bool transposed, const std::vector<double>& expected_sums, int channels,
                           const Values& outputs) {
      Memory<float> device_outputs(outputs, shift);
      Memory<float> bias(draws(static_cast<std::size_t>(channels), seed + 3), shift);
      for (const int kind : {0, 1, 2}) {
        cuda::Finishing finish{nullptr, sigma.kind, sigma.parameter, nullptr};
        if (kind == 1) finish.bias = bias.data();
        if (kind == 2) finish.slope_of = device_outputs.data();
        std::vector<double> expected = expected_sums;
        for (std::size_t i = 0; i < expected.size(); ++i) {
          if (kind == 1)
            expected[i] =
                value_of(sigma, expected[i] + static_cast<double>(bias[i % static_cast<std::size_t>(channels)]));
          if (kind == 2) expected[i] *= slope_of(sigma, static_cast<double>(outputs[i]));
        }
        Memory<float> to(expected.size(), nan, shift);
        if (transposed) {
          cuda::convolve_transposed(nullptr, s, c.rows, device_coarse.data(), device_w.data(), finish, to.data());
        } else {
          cuda::convolve(nullptr, s, c.rows, device_fine.data(), device_w.data(), finish, to.data());
        }
        expect_close(to.host(), expected, 2e-6, c.text() + (transposed ? " transposed" : ""));
      }
    };
    check(false, sums.coarse, s.coarse_channels, coarse);
    check(true, sums.fine, s.fine_channels, fine);
  }
}

TEST_F(CudaConvolution, GradientsMatchDouble) {
  for (std::size_t n = 0; n < cases.size(); ++n) {
    const int parts = n % 3 == 1 ? 2 : 1;
    Case c = cases[n];
    // Eleven and more shards, some of them empty, are shared by blocks.
    const std::vector<int> begin = cuts(c.rows, n % 2 == 0 ? 8 : 19);
    const cuda::Shards shards = shards_of(parts, begin);
    c.rows *= parts;
    const auto seed = static_cast<unsigned>(3000 + 10 * n);
    const std::size_t shift = shift_of(n);
    const Values fine = draws(c.all(c.fine()), seed);
    const Values coarse = draws(c.all(c.coarse()), seed + 1);
    const Sums expected = sums_of(c, coarse, Values(c.weights()), fine);
    Memory<float> device_fine(fine, shift);
    Memory<float> device_coarse(coarse, shift);
    Partials partials;
    for (const bool exact : {false, true}) {
      Target dw(c.weights(), exact, shift);
      for (const int times : {1, 2}) {
        cuda::convolution_gradients(nullptr, shards, c.shape, device_fine.data(), device_coarse.data(), times == 2,
                                    dw.sum(), partials.scratch());
        std::vector<double> sums = expected.weights;
        for (double& value : sums) value *= times;
        expect_close(dw.as_values(), sums, 3e-6, c.text());
      }
      EXPECT_EQ(dw.overflow(), 0);
    }
  }
}

TEST_F(CudaConvolution, LargeTilesOfGradientsMatchDouble) {
  const Case c{2, {4, 4, 60, 2, 2, 100, 4, 2, 1}};
  const Values fine = draws(c.all(c.fine()), 1);
  const Values coarse = draws(c.all(c.coarse()), 2);
  Memory<float> device_fine(fine);
  Memory<float> device_coarse(coarse);
  Partials partials;
  Target dw(c.weights(), false);
  cuda::convolution_gradients(nullptr, shards_of(1, {0, 2}), c.shape, device_fine.data(), device_coarse.data(), false,
                              dw.sum(), partials.scratch());
  expect_close(dw.as_values(), sums_of(c, coarse, Values(c.weights()), fine).weights, 2e-6, c.text());
}

TEST_F(CudaConvolution, ChannelGradientsMatchDouble) {
  struct Shape {
    int rows, pixels, channels;
  };
  const std::vector<Shape> shapes = {{0, 4, 3},  {1, 1, 1},   {5, 1, 7},    {3, 9, 2},    {33, 49, 5},
                                     {7, 30, 8}, {20, 9, 33}, {40, 196, 1}, {9, 25, 130}, {70, 64, 20}};
  for (std::size_t n = 0; n < shapes.size(); ++n) {
    const Shape& s = shapes[n];
    const int parts = n % 3 == 1 ? 2 : 1;
    const cuda::Shards shards = shards_of(parts, cuts(s.rows, 6));
    const auto channels = static_cast<std::size_t>(s.channels);
    const auto positions = area(parts * s.rows, s.pixels);
    const Values delta = draws(positions * channels, static_cast<unsigned>(n));
    Memory<float> device_delta(delta);
    const Values scale = draws(area(parts, s.rows), static_cast<unsigned>(n + 100));
    Memory<float> device_scale(scale);
    Partials partials;
    for (const bool scaled : {false, true}) {
      std::vector<double> expected(channels);
      for (std::size_t i = 0; i < delta.size(); ++i)
        expected[i % channels] +=
            static_cast<double>(delta[i]) *
            (scaled ? static_cast<double>(scale[i / channels / static_cast<std::size_t>(s.pixels)]) : 1);
      for (const bool exact : {false, true}) {
        Target db(channels, exact, 0, exact ? 0 : 7);
        for (const int times : {1, 2}) {
          cuda::channel_gradients(nullptr, shards, s.pixels, s.channels, device_delta.data(),
                                  scaled ? device_scale.data() : nullptr, times == 2, db.sum(), partials.scratch());
          std::vector<double> sums = expected;
          for (double& value : sums) value *= times;
          expect_close(db.as_values(), sums, 4e-6, std::to_string(n));
        }
        EXPECT_EQ(db.overflow(), 0);
      }
    }
  }
}

TEST_F(CudaConvolution, AShardsContributionIsItsOwn) {
  // The shards of a batch one by one, accumulated, give the bits of all at once.
  const ConvolutionShape s{6, 5, 3, 3, 2, 20, 4, 2, 1};
  const Case c{60, s};
  const std::vector<int> begin = {0, 3, 3, 9, 10, 13, 17, 18, 21, 24, 30};
  const Values fine = draws(c.all(c.fine()), 1);
  const Values coarse = draws(c.all(c.coarse()), 2);
  const Values scale = draws(60, 3);
  Partials partials;
  struct Exact {
    Target dw, db;
  };
  const auto add = [&](const cuda::Shards& shards, const Values& some_fine, const Values& some_coarse,
                       const Values& some_scale, bool accumulate, Exact& to) {
    Memory<float> device_fine(some_fine);
    Memory<float> device_coarse(some_coarse);
    Memory<float> device_scale(some_scale);
    cuda::convolution_gradients(nullptr, shards, s, device_fine.data(), device_coarse.data(), accumulate, to.dw.sum(),
                                partials.scratch());
    cuda::channel_gradients(nullptr, shards, 6, 20, device_coarse.data(), device_scale.data(), accumulate, to.db.sum(),
                            partials.scratch());
  };
  Exact whole{{c.weights(), true}, {20, true, 0, 0}};
  add(shards_of(2, begin), fine, coarse, scale, false, whole);
  Exact apart{{c.weights(), true}, {20, true, 0, 0}};
  for (std::size_t i = 0; i + 1 < begin.size(); ++i) {
    const auto both = [&](const Values& values, std::size_t columns) {
      Values rows = slice(values, static_cast<int>(columns), begin[i], begin[i + 1]);
      const Values second = slice(values, static_cast<int>(columns), 30 + begin[i], 30 + begin[i + 1]);
      rows.insert(rows.end(), second.begin(), second.end());
      return rows;
    };
    add(shards_of(2, {0, begin[i + 1] - begin[i]}), both(fine, c.fine()), both(coarse, c.coarse()), both(scale, 1),
        i > 0, apart);
  }
  expect_same_bits(apart.dw.fixed(), whole.dw.fixed(), "dW");
  expect_same_bits(apart.db.fixed(), whole.db.fixed(), "db");
}

TEST_F(CudaConvolution, CountsWhatDoesNotFit) {
  const ConvolutionShape s{2, 2, 5, 2, 2, 18, 1, 1, 0};
  const Case c{6, s};
  Values fine = draws(c.all(c.fine()), 1);
  Values coarse(c.all(c.coarse()), 1.0F);
  // Shard 0: one column of dW is NaN. Shard 1: its first row makes an output's bias infinite, and that row of dW.
  fine[3] = nan;
  coarse[area(3, 4 * 18)] = infinity;
  Memory<float> device_fine(fine);
  Memory<float> device_coarse(coarse);
  Partials partials;
  Target dw(c.weights(), true);
  Target db(18, true, 0, 0);
  cuda::convolution_gradients(nullptr, shards_of(1, {0, 3, 6}), s, device_fine.data(), device_coarse.data(), false,
                              dw.sum(), partials.scratch());
  cuda::channel_gradients(nullptr, shards_of(1, {0, 3, 6}), 4, 18, device_coarse.data(), nullptr, false, db.sum(),
                          partials.scratch());
  EXPECT_EQ(dw.overflow(), 18 + 5);
  EXPECT_EQ(db.overflow(), 1);
}

TEST_F(CudaConvolution, NotFiniteStaysInItsWindows) {
  const ConvolutionShape s{6, 6, 3, 3, 3, 5, 2, 2, 0};
  const Case c{4, s};
  Values fine = draws(c.all(c.fine()), 1);
  fine[2 * c.fine() + 3 * (2 * 6 + 4)] = nan;  // row 2, pixel (2, 4): window (1, 2)
  Values coarse = draws(c.all(c.coarse()), 2);
  coarse[c.coarse() + 5 * 4] = nan;  // row 1, pixel (1, 1)
  Memory<float> device_fine(fine);
  Memory<float> device_coarse(coarse);
  Memory<float> w(draws(c.weights(), 3));
  Memory<float> to_coarse(coarse.size(), 0.0F);
  Memory<float> to_fine(fine.size(), 0.0F);
  cuda::convolve(nullptr, s, c.rows, device_fine.data(), w.data(), {}, to_coarse.data());
  cuda::convolve_transposed(nullptr, s, c.rows, device_coarse.data(), w.data(), {}, to_fine.data());
  for (std::size_t i = 0; i < coarse.size(); ++i) EXPECT_EQ(std::isnan(to_coarse[i]), i / 5 == 2 * 9 + 5) << i;
  for (std::size_t i = 0; i < fine.size(); ++i) {
    const std::size_t pixel = i / 3;
    EXPECT_EQ(std::isnan(to_fine[i]), pixel / 36 == 1 && pixel % 36 / 6 / 2 == 1 && pixel % 6 / 2 == 1) << i;
  }
}

TEST_F(CudaConvolution, ARowHasTheSameBitsInAnyBatch) {
  // 60 rows take large tiles, seven and one small ones.
  for (const ConvolutionShape& s :
       {ConvolutionShape{8, 10, 3, 4, 5, 64, 4, 2, 1}, ConvolutionShape{12, 7, 20, 4, 3, 64, 4, 3, 1}}) {
    const Case c{60, s};
    const Values fine = draws(c.all(c.fine()), 1);
    const Values coarse = draws(c.all(c.coarse()), 2);
    Memory<float> w(draws(c.weights(), 3));
    Memory<float> bias(draws(64, 4));
    struct Passes {
      Values convolved, transposed;
    };
    const auto passes = [&](int first, int rows) {
      Memory<float> some_fine(slice(fine, static_cast<int>(c.fine()), first, first + rows));
      Memory<float> some_coarse(slice(coarse, static_cast<int>(c.coarse()), first, first + rows));
      Memory<float> to_coarse(static_cast<std::size_t>(rows) * c.coarse(), nan);
      Memory<float> to_fine(static_cast<std::size_t>(rows) * c.fine(), nan);
      const cuda::Finishing finish{bias.data(), Activation::named("tanh").kind, 0, nullptr};
      cuda::convolve(nullptr, s, rows, some_fine.data(), w.data(), finish, to_coarse.data());
      cuda::convolve_transposed(nullptr, s, rows, some_coarse.data(), w.data(), finish, to_fine.data());
      return Passes{to_coarse.host(), to_fine.host()};
    };
    const Passes all = passes(0, c.rows);
    for (const auto& [first, rows] : {std::pair{0, 7}, {13, 7}, {14, 1}, {59, 1}}) {
      const Passes some = passes(first, rows);
      expect_same_bits(some.convolved, slice(all.convolved, static_cast<int>(c.coarse()), first, first + rows),
                       "convolved");
      expect_same_bits(some.transposed, slice(all.transposed, static_cast<int>(c.fine()), first, first + rows),
                       "transposed");
    }
  }
}

TEST_F(CudaConvolution, BitsDoNotDependOnTheOrderOfThreads) {
  const ConvolutionShape s{14, 9, 3, 7, 4, 20, 4, 2, 1};
  const Case c{40, s};  // its gradients' tiles are shared by blocks
  Memory<float> fine(draws(c.all(c.fine()), 1));
  Memory<float> coarse(draws(c.all(c.coarse()), 2));
  Memory<float> w(draws(c.weights(), 3));
  Partials partials;
  const std::vector<int> begin = cuts(40, 20);
  std::vector<Values> first;
  std::vector<std::vector<std::int64_t>> first_fixed;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    emulation::set_seed(seed);
    Memory<float> to_coarse(c.all(c.coarse()), nan);
    Memory<float> to_fine(c.all(c.fine()), nan);
    cuda::convolve(nullptr, s, c.rows, fine.data(), w.data(), {}, to_coarse.data());
    cuda::convolve_transposed(nullptr, s, c.rows, coarse.data(), w.data(), {}, to_fine.data());
    std::vector<Values> now = {to_coarse.host(), to_fine.host()};
    std::vector<std::vector<std::int64_t>> now_fixed;
    for (const bool exact : {false, true}) {
      Target dw(c.weights(), exact);
      Target db(20, exact, 0, 0);
      cuda::convolution_gradients(nullptr, shards_of(1, begin), s, fine.data(), coarse.data(), false, dw.sum(),
                                  partials.scratch());
      cuda::channel_gradients(nullptr, shards_of(1, begin), 28, 20, coarse.data(), nullptr, false, db.sum(),
                              partials.scratch());
      now.push_back(dw.values());
      now.push_back(db.values());
      now_fixed.push_back(dw.fixed());
      now_fixed.push_back(db.fixed());
    }
    if (seed == 0) {
      first = now;
      first_fixed = now_fixed;
    }
    for (std::size_t i = 0; i < now.size(); ++i) expect_same_bits(now[i], first[i], std::to_string(i));
    for (std::size_t i = 0; i < now_fixed.size(); ++i)
      expect_same_bits(now_fixed[i], first_fixed[i], "fixed " + std::to_string(i));
  }
}

}  // namespace
}  // namespace ganymede::testing
