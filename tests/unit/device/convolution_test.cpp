// Convolutions on the CPU: against the definition in double precision, over awkward shapes; the promises on bits: a
// row's result depends neither on the batch around it nor on the threads, and exact sums not on how shards are
// grouped.
#include <cmath>
#include <limits>

#include "math/fixed_point.hpp"
#include "support/activations.hpp"
#include "support/convolution_taps.hpp"
#include "unit/device/cpu_testing.hpp"

namespace ganymede::testing {
namespace {

struct Case {
  const char* name;
  int rows;
  Convolution geometry;
};

// { fine height, width, channels; coarse …; kernel, stride, padding }: the published networks' own layers, scaled down,
// and everything that is odd: one channel, few, more than a tile's columns, images that are not square, strides that
// leave pixels out, kernels larger than the image, more pixels, images or floats than the kernels take at a time.
const std::vector<Case> cases = {
    {"4x4 stride 2", 3, {14, 14, 20, 7, 7, 33, 4, 2, 1}},
    {"5x5 stride 2", 2, {14, 14, 9, 7, 7, 40, 5, 2, 2}},
    {"first layer", 4, {28, 28, 1, 14, 14, 64, 5, 2, 2}},
    {"three channels", 2, {12, 12, 3, 6, 6, 17, 4, 2, 1}},
    {"five channels", 2, {9, 7, 5, 9, 7, 5, 3, 1, 1}},
    {"to one channel", 5, {4, 4, 70, 1, 1, 1, 4, 1, 0}},
    {"1x1", 7, {5, 3, 19, 5, 3, 65, 1, 1, 0}},
    {"stride beyond the kernel", 2, {11, 13, 6, 4, 5, 21, 2, 3, 0}},
    {"stride 3", 2, {13, 10, 4, 5, 4, 8, 5, 3, 2}},
    {"kernel beyond the image", 3, {2, 3, 7, 1, 2, 11, 5, 2, 2}},
    {"pixels that nothing reaches", 2, {9, 9, 8, 3, 3, 16, 2, 3, 0}},
    {"one pixel", 1, {1, 1, 1, 1, 1, 1, 1, 1, 0}},
    {"no rows", 0, {6, 6, 4, 3, 3, 8, 4, 2, 1}},
    {"many windows", 40, {16, 16, 32, 16, 16, 32, 3, 1, 1}},
    {"odd sizes", 3, {13, 10, 11, 7, 5, 74, 5, 2, 2}},
    {"tiles of all sizes", 2, {11, 31, 17, 11, 31, 19, 3, 1, 1}},
    {"no padding", 2, {9, 17, 12, 4, 8, 24, 3, 2, 0}},
    {"taps apart", 2, {8, 6, 16, 4, 3, 16, 2, 2, 0}},
    {"6x6 stride 2", 2, {12, 14, 16, 6, 7, 17, 6, 2, 2}},
    {"more padding than reached", 2, {5, 6, 16, 7, 8, 16, 3, 1, 2}},
    {"the planes of labels", 2, {10, 12, 11, 5, 6, 40, 5, 2, 2}},
    {"two channels and a stride of 3", 3, {8, 7, 2, 3, 2, 5, 4, 3, 1}},
    {"many images", 70, {6, 6, 64, 3, 3, 64, 4, 2, 1}},
    {"large windows", 13, {3, 3, 457, 1, 1, 6, 3, 1, 0}},
    {"one channel, all of it", 2, {10, 28, 1, 10, 28, 32, 3, 1, 1}},
    {"short lines", 40, {5, 5, 3, 3, 3, 20, 3, 2, 1}},
    {"short phases", 9, {6, 5, 20, 3, 3, 6, 4, 2, 1}},
    {"blocks of images", 23, {14, 14, 1, 7, 7, 16, 3, 2, 1}},
    {"twelve channels", 2, {12, 9, 12, 6, 5, 23, 5, 2, 2}},
    {"images that are copied piece by piece", 1, {33, 533, 3, 17, 267, 16, 2, 2, 1}},
    {"long lines", 1, {4, 4200, 3, 1, 1050, 16, 4, 4, 1}},
};

std::size_t fine_count(const Convolution& g, int rows) { return area(rows, g.fine_size()); }
std::size_t coarse_count(const Convolution& g, int rows) { return area(rows, g.coarse_size()); }
std::size_t weight_count(const Convolution& g) { return area(g.coarse_channels, g.filter()); }

// visit(fine index, coarse index, weight index) for every product that the definition has.
template <class Visit>
void for_each_product(const Convolution& g, int rows, Visit&& visit) {
  for (int n = 0; n < rows; ++n)
    visit_taps(g, [&](int coarse, int fine, int tap) {
      const std::size_t fine_pixel = area(n, g.fine_pixels()) + static_cast<std::size_t>(fine);
      const std::size_t coarse_pixel = area(n, g.coarse_pixels()) + static_cast<std::size_t>(coarse);
      for (int o = 0; o < g.coarse_channels; ++o)
        for (int i = 0; i < g.fine_channels; ++i)
          visit(fine_pixel * static_cast<std::size_t>(g.fine_channels) + static_cast<std::size_t>(i),
                coarse_pixel * static_cast<std::size_t>(g.coarse_channels) + static_cast<std::size_t>(o),
                area(o, g.filter()) + area(tap, g.fine_channels) + static_cast<std::size_t>(i));
    });
}

// Of the largest sum: what RoundLittle holds sums to is stricter where there are many terms.
constexpr double tolerance = 8e-6;

class Convolutions : public OnEveryMachine {};

// Both directions with every way to finish: through a bias and σ, times a slope, as they are.
TEST_P(Convolutions, MatchDouble) {
  unsigned seed = 1;
  for (const Case& c : cases) {
    const Convolution& g = c.geometry;
    for (const bool transposed : {false, true}) {
      const int channels = transposed ? g.fine_channels : g.coarse_channels;
      const Values source = draws(transposed ? coarse_count(g, c.rows) : fine_count(g, c.rows), seed++);
      const Values w = draws(weight_count(g), seed++, 1.0F / std::sqrt(static_cast<float>(g.filter())));
      const Values bias = draws(static_cast<std::size_t>(channels), seed++);
      std::vector<double> sums(transposed ? fine_count(g, c.rows) : coarse_count(g, c.rows));
      for_each_product(g, c.rows, [&](std::size_t fine, std::size_t coarse, std::size_t weight) {
        sums[transposed ? fine : coarse] +=
            static_cast<double>(source[transposed ? coarse : fine]) * static_cast<double>(w[weight]);
      });
      const Values h = draws(sums.size(), seed++);
      const auto run = [&](const Finish& finish) {
        Values result(sums.size(), NAN);
        if (transposed)
          device_->convolve_transposed(g, c.rows, source.data(), w.data(), finish, result.data());
        else
          device_->convolve(g, c.rows, source.data(), w.data(), finish, result.data());
        return result;
      };
      const std::string what = std::string(c.name) + (transposed ? ", transposed, " : ", ");
      expect_close(run({}), sums, tolerance, what + "plain");
      for (const Activation& sigma : activations) {
        std::vector<double> forward = sums;
        std::vector<double> slope = sums;
        for (std::size_t i = 0; i < sums.size(); ++i) {
          forward[i] = value_of(sigma, sums[i] + static_cast<double>(bias[i % static_cast<std::size_t>(channels)]));
          slope[i] *= slope_of(sigma, static_cast<double>(h[i]));
        }
        expect_close(run({bias.data(), sigma, nullptr}), forward, tolerance, what + sigma.name());
        expect_close(run({nullptr, sigma, h.data()}), slope, tolerance, what + sigma.name() + "'s slope");
      }
    }
  }
}

TEST_P(Convolutions, GradientsMatchDouble) {
  unsigned seed = 1000;
  for (const Case& c : cases)
    for (int parts = 1; parts <= 2; ++parts) {
      const Convolution& g = c.geometry;
      const BatchLayout layout{parts, c.rows, {0, c.rows}};
      const int rows = layout.total_rows();
      const Values fine = draws(fine_count(g, rows), seed++);
      const Values coarse = draws(coarse_count(g, rows), seed++);
      std::vector<double> expected(weight_count(g));
      for_each_product(g, rows, [&](std::size_t f, std::size_t p, std::size_t weight) {
        expected[weight] += static_cast<double>(fine[f]) * static_cast<double>(coarse[p]);
      });
      Values dw(expected.size(), NAN);
      SumTarget target;
      target.values = dw.data();
      device_->convolution_gradients(layout, g, fine.data(), coarse.data(), false, target);
      expect_close(dw, expected, tolerance, std::string(c.name) + ", overwriting");
      device_->convolution_gradients(layout, g, fine.data(), coarse.data(), true, target);
      for (double& value : expected) value *= 2;
      expect_close(dw, expected, tolerance, std::string(c.name) + ", accumulating");
    }
}

TEST_P(Convolutions, ChannelGradientsMatchDouble) {
  unsigned seed = 2000;
  for (const int channels : {1, 3, 16, 65})
    for (const int pixels : {1, 49, 784})
      for (const bool scaled : {false, true}) {
        constexpr int rows = 6;
        const Values delta = draws(area(rows * pixels, channels), seed++);
        const Values scale = draws(rows, seed++);
        std::vector<double> expected(static_cast<std::size_t>(channels));
        for (std::size_t i = 0; i < delta.size(); ++i) {
          const std::size_t row = i / area(pixels, channels);
          expected[i % static_cast<std::size_t>(channels)] +=
              static_cast<double>(delta[i]) * (scaled ? static_cast<double>(scale[row]) : 1);
        }
        Values db(expected.size(), NAN);
        SumTarget target;
        target.values = db.data();
        const float* row_scale = scaled ? scale.data() : nullptr;
        device_->channel_gradients({1, rows, {0, rows}}, pixels, channels, delta.data(), row_scale, false, target);
        expect_close(db, expected, 5e-6, "overwriting");
        device_->channel_gradients({1, rows, {0, rows}}, pixels, channels, delta.data(), row_scale, true, target);
        for (double& value : expected) value *= 2;
        expect_close(db, expected, 5e-6, "accumulating");
      }
}

// Transforms add and subtract before they multiply, which rounds more than a plain sum: still a few units in the last
// place of what the sum's terms amount to.
TEST_P(Convolutions, RoundLittle) {
  constexpr double bound = 2e-6;
  unsigned seed = 3000;
  for (const Case& c : cases) {
    const Convolution& g = c.geometry;
    const Values fine = draws(fine_count(g, c.rows), seed++);
    const Values coarse = draws(coarse_count(g, c.rows), seed++);
    const Values w = draws(weight_count(g), seed++);
    struct Sums {
      explicit Sums(std::size_t count) : values(count), magnitudes(count), computed(count) {}
      void add(std::size_t at, float a, float b) {
        const double product = static_cast<double>(a) * static_cast<double>(b);
        values[at] += product;
        magnitudes[at] += std::abs(product);
      }
      std::vector<double> values, magnitudes;
      Values computed;
    };
    Sums forward(coarse.size());
    Sums transposed(fine.size());
    Sums gradients(w.size());
    for_each_product(g, c.rows, [&](std::size_t f, std::size_t p, std::size_t k) {
      forward.add(p, fine[f], w[k]);
      transposed.add(f, coarse[p], w[k]);
      gradients.add(k, fine[f], coarse[p]);
    });
    device_->convolve(g, c.rows, fine.data(), w.data(), {}, forward.computed.data());
    device_->convolve_transposed(g, c.rows, coarse.data(), w.data(), {}, transposed.computed.data());
    SumTarget target;
    target.values = gradients.computed.data();
    device_->convolution_gradients({1, c.rows, {0, c.rows}}, g, fine.data(), coarse.data(), false, target);
    for (const Sums* sums : {&forward, &transposed, &gradients})
      for (std::size_t i = 0; i < sums->values.size(); ++i)
        ASSERT_NEAR(static_cast<double>(sums->computed[i]), sums->values[i], bound * sums->magnitudes[i])
            << c.name << ", element " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, Convolutions, ::testing::ValuesIn(machines()), machine_name);

// --- bits ---------------------------------------------------------------------------------------------------

class ConvolutionBits : public ::testing::TestWithParam<std::string> {};

TEST_P(ConvolutionBits, RowsDependNeitherOnTheBatchNorOnThreads) {
  for (const Case& c : cases) {
    const Convolution& g = c.geometry;
    constexpr int most = 9;
    const Values fine = draws(fine_count(g, most), 1);
    const Values coarse = draws(coarse_count(g, most), 2);
    const Values w = draws(weight_count(g), 3);
    struct Passes {
      Values forward, transposed;
    };
    const auto run = [&](Device& device, int first, int last) {
      const int rows = last - first;
      Passes p{Values(coarse_count(g, rows)), Values(fine_count(g, rows))};
      device.convolve(g, rows, fine.data() + fine_count(g, first), w.data(), {}, p.forward.data());
      device.convolve_transposed(g, rows, coarse.data() + coarse_count(g, first), w.data(), {}, p.transposed.data());
      return p;
    };
    const std::unique_ptr<Device> one = make_cpu_device(1, GetParam());
    const std::unique_ptr<Device> three = make_cpu_device(3, GetParam());
    const Passes whole = run(*one, 0, most);
    for (int first = 0; first < most; ++first)
      for (int last = first + 1; last <= most; last += 3) {
        const Passes p = run(*three, first, last);
        expect_same_bits(p.forward, slice(whole.forward, g.coarse_size(), first, last), c.name);
        expect_same_bits(p.transposed, slice(whole.transposed, g.fine_size(), first, last), c.name);
      }
  }
}

// With fused multiply-adds, the narrower instruction set gives what the widest does.
TEST(ConvolutionWidths, DoNotDependOnTheWidthOfVectors) {
  const std::vector<std::string> sets = cpu_instruction_sets();
  if (sets.size() < 3) GTEST_SKIP() << "one instruction set with fused multiply-add";
  const std::unique_ptr<Device> narrow = make_cpu_device(1, sets[1]);
  const std::unique_ptr<Device> wide = make_cpu_device(1, sets[2]);
  for (const Case& c : cases) {
    const Convolution& g = c.geometry;
    const Values fine = draws(fine_count(g, c.rows), 6);
    const Values coarse = draws(coarse_count(g, c.rows), 7);
    const Values w = draws(weight_count(g), 8);
    const auto run = [&](Device& device) {
      Values all(coarse.size() + fine.size() + w.size());
      float* to = all.data();
      device.convolve(g, c.rows, fine.data(), w.data(), {}, to);
      device.convolve_transposed(g, c.rows, coarse.data(), w.data(), {}, to + coarse.size());
      SumTarget target;
      target.values = to + coarse.size() + fine.size();
      device.convolution_gradients({1, c.rows, {0, c.rows}}, g, fine.data(), coarse.data(), false, target);
      return all;
    };
    expect_same_bits(run(*narrow), run(*wide), c.name);
  }
}

// The shards of a batch held by one rank, and each by a rank of its own, in both orders; on one thread and on three.
TEST_P(ConvolutionBits, ExactSumsDoNotDependOnTheGroupingOfShards) {
  const std::unique_ptr<Device> one = make_cpu_device(1, GetParam());
  const std::unique_ptr<Device> three = make_cpu_device(3, GetParam());
  const std::vector<int> shard_begin = {0, 2, 2, 3, 7};
  constexpr int rows = 7;
  for (const Case& c : cases) {
    const Convolution& g = c.geometry;
    for (int parts = 1; parts <= 2; ++parts) {
      const BatchLayout layout{parts, rows, shard_begin};
      const Values fine = draws(fine_count(g, layout.total_rows()), 4);
      const Values coarse = draws(coarse_count(g, layout.total_rows()), 5);
      const std::size_t weights = weight_count(g);
      const std::size_t all = weights + static_cast<std::size_t>(g.coarse_channels);
      std::int64_t overflow = 0;
      std::vector<std::int64_t> together(all, 77);
      SumTarget target{nullptr, together.data(), &overflow};
      one->convolution_gradients(layout, g, fine.data(), coarse.data(), false, target);
      one->channel_gradients(layout, g.coarse_pixels(), g.coarse_channels, coarse.data(), nullptr, false,
                             target.at(weights));
      std::vector<std::int64_t> apart(all, 0);
      target.fixed = apart.data();
      for (int s = layout.shards() - 1; s >= 0; --s) {
        const int first = shard_begin[static_cast<std::size_t>(s)];
        const int count = shard_begin[static_cast<std::size_t>(s) + 1] - first;
        Values shard_fine;
        Values shard_coarse;
        for (int part = 0; part < parts; ++part) {
          const int top = part * rows + first;
          const auto append = [](Values& to, const Values& from) { to.insert(to.end(), from.begin(), from.end()); };
          append(shard_fine, slice(fine, g.fine_size(), top, top + count));
          append(shard_coarse, slice(coarse, g.coarse_size(), top, top + count));
        }
        const BatchLayout alone{parts, count, {0, count}};
        three->convolution_gradients(alone, g, shard_fine.data(), shard_coarse.data(), true, target);
        three->channel_gradients(alone, g.coarse_pixels(), g.coarse_channels, shard_coarse.data(), nullptr, true,
                                 target.at(weights));
      }
      expect_same_bits(together, apart, c.name);
      EXPECT_EQ(overflow, 0) << c.name;
      std::vector<double> expected(weights);
      for_each_product(g, layout.total_rows(), [&](std::size_t f, std::size_t p, std::size_t weight) {
        expected[weight] += static_cast<double>(fine[f]) * static_cast<double>(coarse[p]);
      });
      Values sums(weights);
      one->from_fixed_point(weights, together.data(), &overflow, sums.data());
      expect_close(sums, expected, tolerance, c.name);
    }
  }
}

TEST_P(ConvolutionBits, ExactSumsCountWhatDoesNotFit) {
  const std::unique_ptr<Device> device = make_cpu_device(2, GetParam());
  for (const Convolution& g : {Convolution{4, 4, 3, 2, 2, 5, 4, 2, 1}, Convolution{8, 8, 3, 4, 4, 18, 4, 2, 1}}) {
    Values fine(fine_count(g, 2), 1.0F);
    Values coarse(coarse_count(g, 2), 0.5F);
    coarse[coarse_count(g, 1) + 2] = std::numeric_limits<float>::quiet_NaN();  // of channel 2, at pixel (0, 0)
    std::vector<std::int64_t> fixed(weight_count(g));
    std::int64_t overflow = 5;
    device->convolution_gradients({1, 2, {0, 1, 2}}, g, fine.data(), coarse.data(), false,
                                  {nullptr, fixed.data(), &overflow});
    // Taps that lie in the padding at that pixel meet a zero there: NaN all the same.
    EXPECT_EQ(overflow, 5 + g.filter());
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, ConvolutionBits, ::testing::ValuesIn(cpu_instruction_sets()),
                         [](const auto& info) { return info.param.substr(info.param.size() - 2); });

}  // namespace
}  // namespace ganymede::testing
