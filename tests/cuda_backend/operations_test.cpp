// Every operation of the GPU device against the CPU device's, from the same inputs, at sizes that are no multiples of
// anything; through our kernels and through cuBLASLt and cuDNN. (That the CPU's are right is for tests/unit/device to
// say.)
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "cuda_backend/gpu.hpp"
#include "gan/losses.hpp"
#include "ganymede/error.hpp"
#include "math/philox.hpp"
#include "nn/optimizer.hpp"
#include "support/activations.hpp"
#include "support/reference_gan.hpp"

namespace ganymede::testing {
namespace {

using Floats = std::vector<float>;
using Fixed = std::vector<std::int64_t>;

struct Shape {
  int rows, in, out;
};
const std::vector<Shape> shapes = {{1, 1, 1}, {5, 33, 1}, {37, 100, 129}, {100, 130, 65}, {200, 31, 17}, {64, 128, 96}};

/// An array on a device, from host values.
template <class T>
DeviceArray<T> on(Device& device, const std::vector<T>& values) {
  DeviceArray<T> array(device, values.size());
  array.assign(values.data());
  return array;
}

// Relative to the largest value: sums are made in other orders.
void expect_near(const Floats& actual, const Floats& expected, double tolerance, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double largest = 1e-30;
  for (const float value : expected) largest = std::max(largest, std::abs(static_cast<double>(value)));
  for (std::size_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(static_cast<double>(actual[i]), static_cast<double>(expected[i]), tolerance * largest)
        << what << ", element " << i;
}

class GpuOperations : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    prepare_gpus(1, 5);
    CudaOptions options;
    options.blas_from = 1;
    options.reproducible = !GetParam();
    gpu_ = make_gpu(*alone_, options);
    devices_ = {cpu_.get(), gpu_.get()};
  }
  void TearDown() override {
    gpu_.reset();
    EXPECT_EQ(gpu_leaks(), std::vector<std::string>{});
  }

  /// What `action` returns on the CPU and on the GPU is the same to rounding.
  template <class Action>
  void compare(const std::string& what, Action&& action, double tolerance = 4e-6) {
    std::vector<Floats> results;
    for (Device* device : devices_) results.push_back(action(*device));
    expect_near(results[1], results[0], tolerance, what);
  }

  std::unique_ptr<Communicator> alone_ = make_local_communicator();
  std::unique_ptr<Device> cpu_ = make_cpu_device(1);
  std::unique_ptr<Device> gpu_;
  std::vector<Device*> devices_;
};

TEST_P(GpuOperations, LayersAreTheCpus) {
  for (const Shape& s : shapes)
    for (const Activation& sigma : activations) {
      SCOPED_TRACE(std::to_string(s.rows) + "×" + std::to_string(s.in) + " to " + std::to_string(s.out) + " " +
                   sigma.name());
      const Floats x = uniform_floats(count_of(s.rows, s.in), 1);
      const Floats w = uniform_floats(count_of(s.out, s.in), 2);
      const Floats b = uniform_floats(count_of(s.out, 1), 3);
      const Floats delta = uniform_floats(count_of(s.rows, s.out), 4);
      // Outputs of the activation, so that slopes are taken where they belong.
      Floats h = uniform_floats(count_of(s.rows, s.out), 5, 0.9F);
      Floats below = uniform_floats(count_of(s.rows, s.in), 6, 0.9F);
      compare("forward", [&](Device& d) {
        auto dx = on(d, x), dw = on(d, w), db = on(d, b);
        DeviceArray<float> y(d, h.size());
        d.affine_forward(s.rows, s.in, s.out, dx.data(), dw.data(), db.data(), sigma, y.data());
        return y.host();
      });
      compare("forward without bias", [&](Device& d) {
        auto dx = on(d, x), dw = on(d, w);
        DeviceArray<float> y(d, h.size());
        d.affine_forward(s.rows, s.in, s.out, dx.data(), dw.data(), nullptr, sigma, y.data());
        return y.host();
      });
      compare("tangent", [&](Device& d) {
        auto dx = on(d, x), dw = on(d, w), dh = on(d, h);
        DeviceArray<float> y(d, h.size());
        d.affine_tangent(s.rows, s.in, s.out, dx.data(), dw.data(), sigma, dh.data(), y.data());
        return y.host();
      });
      compare("backward", [&](Device& d) {
        auto dd = on(d, delta), dw = on(d, w), dx = on(d, below);
        DeviceArray<float> y(d, x.size());
        d.affine_backward_data(s.rows, s.in, s.out, dd.data(), dw.data(), sigma, dx.data(), y.data());
        return y.host();
      });
    }
}

TEST_P(GpuOperations, GradientsAreTheCpus) {
  for (const Shape& s : shapes)
    for (const bool scaled : {false, true})
      for (const bool accumulate : {false, true}) {
        SCOPED_TRACE(std::to_string(s.rows) + " rows, " + std::to_string(s.in) + " to " + std::to_string(s.out));
        BatchLayout layout{2, s.rows, {0, s.rows / 3, s.rows / 3, s.rows}};  // one shard is empty
        const int total = layout.total_rows();
        const Floats x = uniform_floats(count_of(total, s.in), 1);
        const Floats delta = uniform_floats(count_of(total, s.out), 2, 0.1F);
        const Floats scale = uniform_floats(count_of(total, 1), 3);
        const std::size_t weights = count_of(s.out, s.in);
        const std::size_t all = weights + static_cast<std::size_t>(s.out);
        compare("floats", [&](Device& d) {
          auto dx = on(d, x), dd = on(d, delta), ds = on(d, scale), sums = on(d, uniform_floats(all, 4));
          SumTarget target{sums.data()};
          d.affine_gradients(layout, s.in, s.out, dx.data(), dd.data(), scaled ? ds.data() : nullptr, accumulate,
                             target, target.at(weights));
          return sums.host();
        });
        compare("fixed point", [&](Device& d) {
          auto dx = on(d, x), dd = on(d, delta), ds = on(d, scale);
          DeviceArray<std::int64_t> sums(d, all + 1);
          SumTarget target{nullptr, sums.data(), sums.data() + all};
          d.affine_gradients(layout, s.in, s.out, dx.data(), dd.data(), scaled ? ds.data() : nullptr, accumulate,
                             target, target.at(weights));
          DeviceArray<float> floats(d, all);
          d.from_fixed_point(all, sums.data(), sums.data() + all, floats.data());
          return floats.host();
        });
      }
}

// Factors that are cut off behind 10 bits are off by up to 2^-10 of themselves, and so may be each delta that the
// biases' gradients sum; products of two by twice that.
TEST(GpuTf32, GradientsAreNearTheCpus) {
  prepare_gpus(1, 5);
  {
    const std::unique_ptr<Communicator> alone = make_local_communicator();
    const std::unique_ptr<Device> cpu = make_cpu_device(1);
    CudaOptions options;
    options.precision = Precision::tf32;
    options.blas_from = 1;
    std::unique_ptr<Device> gpu;
    try {
      gpu = make_gpu(*alone, options);
    } catch (const Error& error) {
      if (!lacks_tensor_cores(error)) throw;
      GTEST_SKIP() << error.what();
    }
    for (const Shape& s : shapes)
      for (const bool accumulate : {false, true}) {
        const Floats x = uniform_floats(count_of(s.rows, s.in), 1);
        const Floats delta = uniform_floats(count_of(s.rows, s.out), 2);
        const std::size_t weights = count_of(s.out, s.in);
        // Biases' behind the weights' and at a place of their own, where they are aligned.
        for (const std::size_t place : {weights, (weights + 3) / 4 * 4}) {
          std::vector<Floats> results;
          for (Device* d : {cpu.get(), gpu.get()}) {
            auto dx = on(*d, x), dd = on(*d, delta), sums = on(*d, uniform_floats(place + count_of(s.out, 1), 4));
            const SumTarget target{sums.data()};
            d->affine_gradients({1, s.rows, {0, s.rows}}, s.in, s.out, dx.data(), dd.data(), nullptr, accumulate,
                                target, target.at(place));
            results.push_back(sums.host());
          }
          for (std::size_t i = 0; i < results[0].size(); ++i)
            ASSERT_NEAR(static_cast<double>(results[1][i]), static_cast<double>(results[0][i]), s.rows * 0x1p-9 + 1e-6)
                << s.rows << " rows, " << s.in << " to " << s.out << ", element " << i << ", from " << place;
        }
      }
  }
  EXPECT_EQ(gpu_leaks(), std::vector<std::string>{});
}

/// `count` sums of a target in either form, as floats, after `action`, which may add to what was there.
template <class Action>
Floats sums_on(Device& d, std::size_t count, bool exact, Action&& action) {
  auto floats = on(d, uniform_floats(count, 99));
  Fixed before(count + 1, std::int64_t{1} << 39);
  before[count] = 0;
  auto fixed = on(d, before);
  if (!exact) {
    action(SumTarget{floats.data()});
  } else {
    action(SumTarget{nullptr, fixed.data(), fixed.data() + count});
    d.from_fixed_point(count, fixed.data(), fixed.data() + count, floats.data());
  }
  return floats.host();
}

void append(Floats& to, const Floats& more) { to.insert(to.end(), more.begin(), more.end()); }

TEST_P(GpuOperations, ConvolutionsAreTheCpus) {
  // Engines of cuDNN may go by way of Winograd's transforms.
  const double tolerance = GetParam() ? 2e-5 : 4e-6;
  // Fine and coarse height, width and channels; kernel, stride, padding.
  const std::vector<Convolution> geometries = {{1, 1, 1, 1, 1, 1, 1, 1, 0},      {9, 7, 3, 4, 3, 5, 3, 2, 0},
                                               {28, 28, 1, 14, 14, 32, 4, 2, 1}, {14, 14, 32, 7, 7, 36, 4, 2, 1},
                                               {8, 11, 5, 3, 4, 4, 2, 3, 0},     {6, 7, 12, 6, 7, 20, 5, 1, 2}};
  for (const Convolution& g : geometries)
    for (const int rows : {1, 6}) {
      SCOPED_TRACE(std::to_string(rows) + " rows of " + std::to_string(g.fine_size()) + " to " +
                   std::to_string(g.coarse_size()));
      const Activation sigma = Activation::named("leaky-relu", 0.2F);
      const Floats w = uniform_floats(count_of(g.coarse_channels, g.filter()), 1);
      const Floats fine = uniform_floats(count_of(2 * rows, g.fine_size()), 2);
      const Floats coarse = uniform_floats(count_of(2 * rows, g.coarse_size()), 3);
      compare(
          "passes",
          [&](Device& d) {
            auto dw = on(d, w), df = on(d, fine), dc = on(d, coarse);
            Floats result;
            for (const bool transposed : {false, true}) {
              const int size = transposed ? g.fine_size() : g.coarse_size();
              auto bias = on(d, uniform_floats(count_of(transposed ? g.fine_channels : g.coarse_channels, 1), 4));
              auto h = on(d, uniform_floats(count_of(rows, size), 5));
              for (const Finish& finish :
                   {Finish{}, Finish{bias.data(), sigma, nullptr}, Finish{nullptr, sigma, h.data()}}) {
                DeviceArray<float> to(d, count_of(rows, size));
                if (transposed) {
                  d.convolve_transposed(g, rows, dc.data(), dw.data(), finish, to.data());
                } else {
                  d.convolve(g, rows, df.data(), dw.data(), finish, to.data());
                }
                append(result, to.host());
              }
            }
            return result;
          },
          tolerance);
      const BatchLayout layout{2, rows, {0, rows / 3, rows / 3, rows}};  // one shard is empty
      const Floats scale = uniform_floats(count_of(2 * rows, 1), 6);
      for (const bool exact : {false, true})
        for (const bool accumulate : {false, true}) {
          compare(
              "weights' gradients",
              [&](Device& d) {
                auto df = on(d, fine), dc = on(d, coarse);
                return sums_on(d, w.size(), exact, [&](const SumTarget& target) {
                  d.convolution_gradients(layout, g, df.data(), dc.data(), accumulate, target);
                });
              },
              tolerance);
          for (const bool scaled : {false, true})
            compare("biases' gradients", [&](Device& d) {
              auto dc = on(d, coarse), ds = on(d, scale);
              return sums_on(d, count_of(g.coarse_channels, 1), exact, [&](const SumTarget& target) {
                d.channel_gradients(layout, g.coarse_pixels(), g.coarse_channels, dc.data(),
                                    scaled ? ds.data() : nullptr, accumulate, target);
              });
            });
        }
    }
}

TEST_P(GpuOperations, BatchNormalisationIsTheCpus) {
  struct Norm {
    int rows, pixels, channels;
  };
  for (const Norm& n : {Norm{5, 1, 3}, Norm{40, 1, 130}, Norm{13, 49, 36}, Norm{30, 144, 1}}) {
    SCOPED_TRACE(std::to_string(n.rows) + "×" + std::to_string(n.pixels) + "×" + std::to_string(n.channels));
    const int rows = n.rows;
    const BatchLayout layout{2, rows, {0, rows / 3, rows / 3, rows}};
    // Of this rank and another.
    const BatchNorm norm{n.pixels, n.channels, 2.0 * rows * n.pixels};
    const Activation sigma = Activation::named("leaky-relu", 0.2F);
    const std::size_t elements = count_of(2 * rows, n.pixels * n.channels);
    const std::size_t channels = count_of(n.channels, 1);
    const Floats x = uniform_floats(elements, 1, 3.0F);
    const Floats delta = uniform_floats(elements, 2);
    compare(
        "all of it",
        [&](Device& d) {
          auto dx = on(d, x), dd = on(d, delta), running = on(d, uniform_floats(2 * channels, 3)),
               gamma = on(d, uniform_floats(channels, 4)), beta = on(d, uniform_floats(channels, 5));
          // Whatever is there is overwritten.
          auto sums = on(d, Fixed(norm.sums(2), 12345));
          DeviceArray<float> statistics(d, 4 * channels), y(d, elements);
          d.batch_norm_moments(layout, norm, dx.data(), sums.data());
          Fixed both = sums.host();
          for (std::int64_t& sum : both) sum *= 2;
          sums.assign(both.data());
          d.batch_norm_statistics(2, norm, sums.data(), statistics.data(), running.data());
          d.batch_norm_forward(layout, norm, dx.data(), statistics.data(), gamma.data(), beta.data(), sigma, y.data());
          Floats result = statistics.host();
          append(result, running.host());
          append(result, y.host());
          d.batch_norm_adjoints(layout, norm, dx.data(), dd.data(), statistics.data(), sums.data());
          d.batch_norm_backward_data(layout, norm, dx.data(), dd.data(), statistics.data(), gamma.data(), sums.data(),
                                     sigma, y.data());
          append(result, y.host());
          for (const bool exact : {false, true})
            for (const bool accumulate : {false, true})
              append(result, sums_on(d, 2 * channels, exact, [&](const SumTarget& target) {
                       d.batch_norm_gradients(2, norm, sums.data(), accumulate, target, target.at(channels));
                     }));
          // Where a sum did not fit, statistics are NaN, running ones as they were.
          Fixed lost = sums.host();
          lost.at(norm.sums(2) - 1) = 1;
          sums.assign(lost.data());
          d.batch_norm_statistics(2, norm, sums.data(), statistics.data(), running.data());
          for (const float value : statistics.host()) EXPECT_TRUE(std::isnan(value));
          append(result, running.host());
          auto variances = on(d, Floats(2 * channels, 0.5F));
          d.batch_norm_frozen(norm, variances.data(), statistics.data());
          Floats frozen = statistics.host();
          frozen.resize(2 * channels);
          append(result, frozen);
          return result;
        },
        1e-5);
  }
}

TEST_P(GpuOperations, LossesAndPenaltiesAreTheCpus) {
  constexpr int rows = 77;
  const std::vector<int> shards = {0, 20, 50, rows};
  const Floats logits = uniform_floats(3 * rows, 1, 6);
  for (const bool exact : {false, true}) {
    const auto sums_of = [&](Device& d, const std::function<void(SumTarget)>& action, std::size_t count) {
      DeviceArray<float> floats(d, count);
      DeviceArray<std::int64_t> fixed(d, count + 1);
      if (!exact) {
        action({floats.data()});
      } else {
        action({nullptr, fixed.data(), fixed.data() + count});
        d.from_fixed_point(count, fixed.data(), fixed.data() + count, floats.data());
      }
      return floats.host();
    };
    for (const std::string& name : loss_names()) {
      const int loss = loss_index(name);
      for (const PenaltyParts parts :
           {PenaltyParts{}, PenaltyParts{false, true, false}, PenaltyParts{true, true, true}})
        compare(name + ", D", [&](Device& d) {
          auto in = on(d, logits);
          DeviceArray<float> seed(d, 3 * rows), scale(d, 3 * rows);
          const BatchLayout layout{parts.between ? 3 : 2, rows, shards};
          Floats result = sums_of(
              d,
              [&](SumTarget sums) {
                for (const bool accumulate : {false, true})
                  d.discriminator_loss({loss}, layout, parts, in.data(), 0.01F, seed.data(),
                                       parts.any() ? scale.data() : nullptr, accumulate, sums);
              },
              LossSums::count);
          for (const Floats& more : {seed.host(), scale.host()}) result.insert(result.end(), more.begin(), more.end());
          return result;
        });
      for (const int parts : {1, 2})
        compare(name + ", G", [&](Device& d) {
          auto in = on(d, logits);
          DeviceArray<float> seed(d, 2 * rows);
          Floats result = sums_of(
              d,
              [&](SumTarget sums) {
                for (const bool accumulate : {false, true})
                  d.generator_loss({loss}, {parts, rows, shards}, in.data(), 0.01F, seed.data(), accumulate, sums);
              },
              LossSums::count);
          const Floats seeds = seed.host();
          result.insert(result.end(), seeds.begin(), seeds.end());
          return result;
        });
    }
    for (const int penalty : {0, 1})
      compare("penalty", [&](Device& d) {
        constexpr int columns = 145;
        auto g = on(d, uniform_floats(count_of(rows, columns), 2));
        Floats result = sums_of(
            d,
            [&](SumTarget value) {
              d.gradient_penalty(penalty, {1, rows, shards}, columns, g.data(), 0.05F, g.data(), value);
            },
            1);
        const Floats v = g.host();
        result.insert(result.end(), v.begin(), v.end());
        return result;
      });
  }
  compare("points between images", [&](Device& d) {
    auto a = on(d, uniform_floats(41 * 67, 1)), b = on(d, uniform_floats(41 * 67, 2));
    DeviceArray<std::uint64_t> step(d, 1);
    DeviceArray<float> out(d, 41 * 67);
    d.interpolate(5, 8, {step.data(), 100, 7}, 41, 67, a.data(), b.data(), out.data());
    return out.host();
  });
  compare("rows", [&](Device& d) {
    auto scale = on(d, uniform_floats(41, 1)), t = on(d, uniform_floats(41 * 67, 2)),
         h = on(d, uniform_floats(41 * 67, 3));
    d.combine_rows(41, 67, scale.data(), t.data(), h.data());
    return h.host();
  });
}

TEST_P(GpuOperations, UpdatesAreTheCpus) {
  const auto updated = [](Device& d, OptimizerUpdate update, float gradient) {
    const std::size_t count = update.count;
    auto p = on(d, uniform_floats(count, 1)), g = on(d, uniform_floats(count, 3, gradient)),
         a = on(d, uniform_floats(count, 4));
    auto m = on(d, Floats(count, 0.1F)), v = on(d, Floats(count, 0.01F));
    auto step = on(d, std::vector<std::uint64_t>{7});
    DeviceArray<double> norm(d, 1);
    d.sum_of_squares(count, g.data(), norm.data());
    update.updates = {step.data(), 3, 1};
    update.squared_norm = norm.data();
    update.gradient = g.data();
    update.parameters = p.data();
    update.state = {m.data(), v.data()};
    update.average = {a.data(), 0.9F};
    d.optimizer_update(update);
    Floats result = {static_cast<float>(std::sqrt(norm.host()[0] / static_cast<double>(count)))};
    for (const DeviceArray<float>* more : {&p, &m, &v, &a}) {
      const Floats values = more->host();
      result.insert(result.end(), values.begin(), values.end());
    }
    return result;
  };
  const std::vector<std::string> names = optimizer_names();
  for (std::size_t i = 0; i < names.size(); ++i)
    for (const std::size_t count : {std::size_t{1}, std::size_t{1023}, std::size_t{20001}})
      for (const std::string& schedule : schedule_names())
        for (const bool clipped : {false, true}) {
          OptimizerUpdate update;
          update.optimizer = static_cast<int>(i);
          update.count = count;
          update.constants.learning_rate = 0.01;
          update.constants.schedule = {schedule_index(schedule), 0.25, 0.125, 20};
          update.constants.momentum = 0.9;
          if (clipped) {
            update.constants.weight_decay = 0.5;
            update.constants.clip_gradient = 0.01;
            update.constants.clip_weights = 0.75;
          }
          compare(names[i] + " " + schedule, [&](Device& d) { return updated(d, update, 0.1F); });
          // A norm that is not finite keeps everything as it was.
          compare(
              "guarded " + names[i],
              [&](Device& d) {
                Floats result = updated(d, update, std::numeric_limits<float>::infinity());
                result[0] = 0;
                return result;
              },
              0);
        }
}

TEST_P(GpuOperations, DrawsAreTheCpus) {
  auto noise = [](Device& d) {
    auto step = on(d, std::vector<std::uint64_t>{5'000'000'000});
    DeviceArray<float> z(d, 21 * 101);
    d.draw_normal(99, static_cast<std::uint32_t>(math::Stream::noise_for_generator), {step.data(), 100, 7}, 21, 101,
                  z.data());
    return z.host();
  };
  compare("noise", noise, 1e-6);
  std::vector<std::uint8_t> images(30 * 49);
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  compare(
      "images",
      [&](Device& d) {
        auto all = on(d, images);
        auto step = on(d, std::vector<std::uint64_t>{2});
        DeviceArray<float> out(d, 70 * 49);  // more than two epochs
        d.gather_images(3, {step.data(), 100, 5}, all.data(), 30, 70, 49, 1, out.data());
        DeviceArray<float> stacked(d, 70 * 49 * 3);
        d.gather_images(3, {step.data(), 100, 5}, all.data(), 30, 70, 49, 3, stacked.data());
        Floats result = out.host();
        const Floats more = stacked.host();
        result.insert(result.end(), more.begin(), more.end());
        return result;
      },
      0);
  for (const std::uint64_t now : {0, 3, 12})
    compare(
        "noise on images",
        [&](Device& d) {
          auto step = on(d, std::vector<std::uint64_t>{now});
          DeviceArray<float> clean(d, 21 * 101);
          d.draw_uniform(99, 5, {step.data(), 100, 7}, 21, 101, clean.data());
          DeviceArray<float> out(d, 21 * 101);
          d.add_noise(99, 9, {step.data(), 100, 7}, {0.5, 12, step.data()}, 21, 101, clean.data(), out.data());
          return out.host();
        },
        1e-6);
  compare(
      "uniform noise",
      [](Device& d) {
        auto step = on(d, std::vector<std::uint64_t>{3});
        DeviceArray<float> z(d, 21 * 101);
        d.draw_uniform(99, 5, {step.data(), 100, 7}, 21, 101, z.data());
        return z.host();
      },
      0);
  compare(
      "labels",
      [&](Device& d) {
        auto all = on(d, std::vector<std::uint8_t>(images.begin(), images.begin() + 30));
        auto step = on(d, std::vector<std::uint64_t>{2});
        DeviceArray<std::uint8_t> out(d, 70);
        d.gather_labels(3, {step.data(), 100, 5}, all.data(), 30, 70, out.data());
        const std::vector<std::uint8_t> labels = out.host();
        return Floats(labels.begin(), labels.end());
      },
      0);
}

TEST_P(GpuOperations, ClassesAreTheCpus) {
  constexpr int rows = 37;
  constexpr int classes = 10;
  std::vector<std::uint8_t> labels(rows);
  for (std::size_t r = 0; r < labels.size(); ++r) labels[r] = static_cast<std::uint8_t>(r * 7 % classes);
  for (const auto& size : {std::pair{1, 100}, std::pair{49, 5}}) {
    const int pixels = size.first;
    const int channels = size.second;
    const Floats x = uniform_floats(count_of(rows, pixels * channels), 1);
    const Floats delta = uniform_floats(count_of(rows, pixels * (channels + classes)), 2);
    const auto appended = [&](Device& d, bool tangent, const Activation& below) {
      auto on_x = on(d, x);
      auto on_labels = on(d, labels);
      auto on_delta = on(d, delta);
      DeviceArray<float> y(d, delta.size());
      DeviceArray<float> back(d, x.size());
      d.append_class(rows, pixels, channels, classes, tangent ? nullptr : on_labels.data(), on_x.data(), y.data());
      d.append_class_backward(rows, pixels, channels, classes, on_delta.data(), below,
                              below.kind == 0 ? nullptr : on_x.data(), back.data());
      Floats result = y.host();
      const Floats more = back.host();
      result.insert(result.end(), more.begin(), more.end());
      return result;
    };
    compare(
        "appended", [&](Device& d) { return appended(d, false, Activation::named("leaky-relu", 0.25F)); }, 0);
    compare(
        "appended to a tangent", [&](Device& d) { return appended(d, true, {}); }, 0);
  }
  const Floats scores = uniform_floats(count_of(rows, 1 + classes), 3);
  compare(
      "scores",
      [&](Device& d) {
        auto on_scores = on(d, scores);
        auto on_labels = on(d, labels);
        DeviceArray<float> y(d, rows);
        DeviceArray<float> back(d, scores.size());
        d.class_score(rows, classes, on_labels.data(), on_scores.data(), y.data());
        d.class_score_backward(rows, classes, on_labels.data(), y.data(), back.data());
        Floats result = y.host();
        const Floats more = back.host();
        result.insert(result.end(), more.begin(), more.end());
        return result;
      },
      0);
}

TEST_P(GpuOperations, SpectralNormalisation) {
  for (const Shape& shape : shapes) {
    const Floats w = uniform_floats(count_of(shape.out, shape.in), 1);
    const Floats g = uniform_floats(w.size(), 2);
    const Floats start = uniform_floats(static_cast<std::size_t>(shape.in), 3);
    compare("spectral normalisation", [&](Device& d) {
      auto on_w = on(d, w);
      auto on_g = on(d, g);
      auto v = on(d, start);
      DeviceArray<float> u(d, static_cast<std::size_t>(shape.out));
      DeviceArray<float> sigma(d, 1);
      DeviceArray<float> normalised(d, w.size());
      DeviceArray<float> gradient(d, w.size());
      DeviceArray<double> work(d, static_cast<std::size_t>(std::max(shape.in, shape.out)));
      const SpectralMatrix m{shape.out, shape.in,     on_w.data(),       u.data(),
                             v.data(),  sigma.data(), normalised.data(), work.data()};
      for (int step = 0; step < 3; ++step) d.spectral_iteration(m);
      d.spectral_normalise(m);
      d.spectral_gradient(m, on_g.data(), gradient.data());
      Floats result;
      for (const DeviceArray<float>* array : {&u, &v, &sigma, &normalised, &gradient}) {
        const Floats values = array->host();
        result.insert(result.end(), values.begin(), values.end());
      }
      return result;
    });
  }
}

TEST_P(GpuOperations, Dropout) {
  constexpr int rows = 37;
  constexpr int columns = 131;
  const Floats from = uniform_floats(count_of(rows, columns), 1);
  const Floats x = uniform_floats(from.size(), 2);
  compare(
      "dropout",
      [&](Device& d) {
        const auto step = on(d, std::vector<std::uint64_t>{5});
        auto on_from = on(d, from);
        auto on_x = on(d, x);
        DeviceArray<std::uint8_t> mask(d, from.size());
        DeviceArray<float> to(d, from.size());
        d.draw_mask({7, 22, {step.data(), 100, 3}, 1}, rows, columns, 0.3, mask.data());
        d.apply_mask(from.size(), mask.data(), 1.5F, on_from.data(), Activation::named("leaky-relu", 0.25F),
                     on_x.data(), to.data());
        return to.host();
      },
      0);
}

INSTANTIATE_TEST_SUITE_P(Cuda, GpuOperations, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "libraries" : "kernels"; });

}  // namespace
}  // namespace ganymede::testing
