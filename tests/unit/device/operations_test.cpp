// The CPU device's other operations against plain double precision, and their promises on bits.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "ganymede/error.hpp"
#include "math/fixed_point.hpp"
#include "math/loss/losses.hpp"
#include "math/optimizer/optimizers.hpp"
#include "math/permutation.hpp"
#include "math/philox.hpp"
#include "support/reference_gan.hpp"
#include "support/refusal.hpp"
#include "unit/device/cpu_testing.hpp"

namespace ganymede::testing {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
const std::uint32_t noise = static_cast<std::uint32_t>(math::Stream::noise_for_samples);

TEST(Activations, AreFoundByName) {
  EXPECT_STREQ(Activation::named("leaky-relu", 0.1F).name(), "leaky-relu");
  EXPECT_EQ(Activation::named("leaky-relu", 0.1F).parameter, 0.1F);
  EXPECT_TRUE(Activation::named("relu").piecewise_linear());
  EXPECT_FALSE(Activation::named("tanh").piecewise_linear());
  EXPECT_NE(
      refusal(ExitCode::usage, [] { Activation::named("swish"); }).find("identity, relu, leaky-relu, sigmoid, tanh"),
      std::string::npos);
}

TEST(MakeCpuDevice, RefusesWhatIsNotThere) {
  EXPECT_THROW(make_cpu_device(0), Error);
  EXPECT_THROW(make_cpu_device(1, "x86-64-v9"), Error);
  EXPECT_EQ(cpu_instruction_sets().front(), "x86-64-v2");
  EXPECT_EQ(make_cpu_device(2)->arithmetic(), cpu_instruction_sets().back());
}

TEST(Memory, IsAlignedZeroedAndRefusedWithItsSize) {
  const std::unique_ptr<Device> device = make_cpu_device(1);
  for (std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{1000}}) {
    auto* p = static_cast<unsigned char*>(device->allocate(bytes));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % 64, 0U);
    EXPECT_TRUE(std::all_of(p, p + bytes, [](unsigned char c) { return c == 0; }));
    device->release(p);
  }
  EXPECT_NE(refusal(ExitCode::launch,
                    [&] { device->release(device->allocate(std::numeric_limits<std::size_t>::max() / 4)); }),
            "");
}

class Operations : public OnEveryMachine {
 protected:
  // The sums that `call` gives by value, and by fixed point.
  template <class Call>
  std::vector<double> sums(std::size_t count, Call&& call) {
    Values values(count, 7);
    SumTarget target;
    target.values = values.data();
    call(target);
    return {values.begin(), values.end()};
  }
  template <class Call>
  std::vector<double> exact_sums(std::size_t count, std::int64_t expected_overflow, Call&& call) {
    std::vector<std::int64_t> fixed(count, 7);
    std::int64_t overflow = 0;
    call(SumTarget{nullptr, fixed.data(), &overflow});
    EXPECT_EQ(overflow, expected_overflow);
    std::vector<double> values;
    for (std::int64_t value : fixed) values.push_back(math::from_fixed_point(value));
    return values;
  }
};

// The losses themselves, each at every sign and size, are tests/unit/gan's.
TEST_P(Operations, LossesMatchDouble) {
  for (int rows : {1, 7, 16, 100, 1000}) {
    const BatchLayout layout{2, rows, {0, rows / 3, rows}};
    const BatchLayout fake_only{1, rows, layout.shard_begin};
    const auto count = static_cast<std::size_t>(rows);
    const Values logits = draws(area(2, rows), 1, 8);
    constexpr float scale = 0.01F;
    for (int kind = 0; kind < math::Losses::size; ++kind) {
      std::string name;
      math::Losses::visit(kind, [&](auto known) { name = decltype(known)::name; });
      std::vector<double> d_sums(LossSums::count);
      std::vector<double> g_sums(LossSums::count);
      std::vector<double> d_seed;
      std::vector<double> g_seed;
      for (std::size_t i = 0; i < count; ++i) {
        Doubles at = {static_cast<double>(logits[i]), static_cast<double>(logits[i + count])};
        const auto d = [&] { return reference::discriminator_loss(name, at[0], at[1]); };
        const auto g = [&] { return reference::generator_loss(name, 0, at[1]); };
        for (const double slope : reference::gradient(at, d, 1e-3)) d_seed.push_back(slope);
        g_seed.push_back(reference::gradient(at, g, 1e-3)[1]);
        d_sums[LossSums::loss] += d();
        g_sums[LossSums::loss] += g();
        d_sums[LossSums::real_right] += reference::right_on_real(name, at[0], at[1]) ? 1 : 0;
        d_sums[LossSums::fake_right] += reference::right_on_fake(name, at[0], at[1]) ? 1 : 0;
        g_sums[LossSums::fake_right] += reference::right_on_fake(name, 0, at[1]) ? 1 : 0;
        d_sums[LossSums::real_score] += at[0];
        d_sums[LossSums::fake_score] += at[1];
        g_sums[LossSums::fake_score] += at[1];
      }
      // Real seeds, then fake ones.
      std::stable_partition(d_seed.begin(), d_seed.end(), [i = 0](double) mutable { return i++ % 2 == 0; });
      for (std::vector<double>* values : {&d_sums, &g_sums, &d_seed, &g_seed})
        for (double& value : *values) value *= static_cast<double>(scale);
      Values seed(area(2, rows));
      Values fake_seed(count);
      const auto d = [&](const SumTarget& target) {
        device_->discriminator_loss({kind}, layout, {}, logits.data(), scale, seed.data(), nullptr, false, target);
      };
      const auto g = [&](const SumTarget& target) {
        device_->generator_loss({kind}, fake_only, logits.data() + rows, scale, fake_seed.data(), false, target);
      };
      for (bool exact : {false, true}) {
        const std::vector<double> d_result = exact ? exact_sums(LossSums::count, 0, d) : sums(LossSums::count, d);
        for (std::size_t i = 0; i < LossSums::count; ++i)
          EXPECT_NEAR(d_result[i], d_sums[i], 1e-6 * (1 + std::abs(d_sums[i]))) << name << " " << i;
        expect_close(seed, d_seed, 1e-6, name);
        if (name == "relativistic") continue;  // G's needs real logits
        const std::vector<double> g_result = exact ? exact_sums(LossSums::count, 0, g) : sums(LossSums::count, g);
        for (std::size_t i = 0; i < LossSums::count; ++i)
          EXPECT_NEAR(g_result[i], g_sums[i], 1e-6 * (1 + std::abs(g_sums[i]))) << name << " " << i;
        expect_close(fake_seed, g_seed, 1e-6, name);
      }
      Values bad = logits;
      bad[0] = nan;
      bad[count] = nan;
      const auto with_nan = [&](const SumTarget& target) {
        device_->discriminator_loss({kind}, layout, {}, bad.data(), scale, seed.data(), nullptr, false, target);
      };
      EXPECT_TRUE(std::isnan(sums(LossSums::count, with_nan)[LossSums::loss])) << name;
      exact_sums(LossSums::count, 3, with_nan);  // the loss and both scores
    }
  }
}

TEST_P(Operations, PenaltiesMatchDouble) {
  for (const int kind : {0, 1})
    for (int rows : {1, 5, 40}) {
      for (int columns : {1, 15, 17, 100, 784}) {
        const BatchLayout layout{1, rows, {0, rows / 2, rows}};
        const Values g = draws(area(rows, columns), 3);
        constexpr double coefficient = 0.05F;
        double expected = 0;
        std::vector<double> expected_v;
        for (int i = 0; i < rows; ++i) {
          double squared = 0;
          for (int j = 0; j < columns; ++j)
            squared += std::pow(static_cast<double>(g[area(i, columns) + static_cast<std::size_t>(j)]), 2);
          const double norm = std::sqrt(squared);
          expected += coefficient * (kind == 0 ? squared / 2 : (norm - 1) * (norm - 1));
          for (int j = 0; j < columns; ++j)
            expected_v.push_back(coefficient * (kind == 0 ? 1 : 2 * (1 - 1 / norm)) *
                                 static_cast<double>(g[area(i, columns) + static_cast<std::size_t>(j)]));
        }
        Values v = g;
        const auto apart = [&](const SumTarget& target) {
          device_->gradient_penalty(kind, layout, columns, g.data(), static_cast<float>(coefficient), v.data(), target);
        };
        // The sums begin with 7 and go on from there.
        const double tolerance = 1e-6 * (7 + expected);
        EXPECT_NEAR(sums(1, apart)[0], 7 + expected, tolerance);
        expect_close(v, expected_v, kind == 0 ? 1e-7 : 2e-6, "apart");
        EXPECT_NEAR(exact_sums(1, 0, apart)[0], expected, tolerance);
        v = g;
        SumTarget target;
        float penalty = 0;
        target.values = &penalty;
        device_->gradient_penalty(kind, layout, columns, v.data(), static_cast<float>(coefficient), v.data(), target);
        EXPECT_NEAR(static_cast<double>(penalty), expected, tolerance);
        expect_close(v, expected_v, kind == 0 ? 1e-7 : 2e-6, "in place");
      }
    }
  // No slope at all: the norm's derivative is taken as 0 there.
  const Values zero(6);
  Values v(6, nan);
  float value = 0;
  device_->gradient_penalty(1, {1, 2, {0, 2}}, 3, zero.data(), 0.5F, v.data(), SumTarget{&value});
  EXPECT_EQ(v, zero);
  EXPECT_NEAR(value, 1.0F, 1e-5F);
}

TEST_P(Operations, PointsLieBetweenTheirImages) {
  constexpr int rows = 50;
  constexpr int columns = 37;
  const Values a = draws(area(rows, columns), 1);
  const Values b = draws(area(rows, columns), 2);
  const std::uint64_t step = 3;
  Values out(area(rows, columns));
  device_->interpolate(9, noise, {&step, 1000, 20}, rows, columns, a.data(), b.data(), out.data());
  double mean = 0;
  for (int i = 0; i < rows; ++i) {
    const math::Philox4 bits =
        math::philox_draw(9, math::Stream::noise_for_samples, 3020U + static_cast<unsigned>(i), 0);
    const auto alpha = static_cast<double>(math::unit_interval(bits.v[0]));
    mean += alpha / rows;
    for (int j = 0; j < columns; ++j) {
      const std::size_t at = area(i, columns) + static_cast<std::size_t>(j);
      EXPECT_NEAR(static_cast<double>(out[at]),
                  alpha * static_cast<double>(a[at]) + (1 - alpha) * static_cast<double>(b[at]), 1e-6);
    }
  }
  EXPECT_NEAR(mean, 0.5, 0.15);
}

TEST_P(Operations, FlatPassesMatchDouble) {
  for (int count : {1, 15, 64, 65, 4095, 4096, 4097, 50000}) {
    const auto size = static_cast<std::size_t>(count);
    const Values x = draws(size, 1, 5);
    double squares = 0;
    for (float value : x) squares += static_cast<double>(value) * static_cast<double>(value);
    double result = -1;
    device_->sum_of_squares(size, x.data(), &result);
    EXPECT_NEAR(result, squares, 1e-12 * squares);
    double one_thread = -1;
    make_cpu_device(1, GetParam().instruction_set)->sum_of_squares(size, x.data(), &one_thread);
    EXPECT_EQ(result, one_thread);

    std::vector<std::int64_t> fixed;
    std::vector<double> values;
    for (float value : x) {
      fixed.push_back(math::to_fixed_point(value) * 3);
      values.push_back(math::from_fixed_point(fixed.back()));
    }
    std::int64_t overflow = 0;
    Values converted(size);
    device_->from_fixed_point(size, fixed.data(), &overflow, converted.data());
    for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(converted[i], static_cast<float>(values[i]));
    overflow = 1;
    device_->from_fixed_point(size, fixed.data(), &overflow, converted.data());
    EXPECT_TRUE(std::all_of(converted.begin(), converted.end(), [](float value) { return std::isnan(value); }));

    std::vector<double> running(size, 0.5);
    device_->add_to(size, x.data(), running.data());
    for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(running[i], 0.5 + static_cast<double>(x[i]));
  }
}

TEST_P(Operations, RowsCombineInPlace) {
  constexpr int rows = 60;
  constexpr int columns = 701;
  const Values scale = draws(rows, 1);
  const Values t = draws(area(rows, columns), 2);
  Values h = draws(area(rows, columns), 3);
  std::vector<double> expected;
  for (std::size_t i = 0; i < h.size(); ++i)
    expected.push_back(static_cast<double>(scale[i / columns]) * static_cast<double>(h[i]) + static_cast<double>(t[i]));
  device_->combine_rows(rows, columns, scale.data(), t.data(), h.data());
  expect_close(h, expected, 2e-7, "combined");
}

// (Every optimiser's values: tests/unit/gan/fixture_test.cpp.)
TEST_P(Operations, OptimizersAverageAndAreGuarded) {
  for (int optimizer = 0; optimizer < math::Optimizers::size; ++optimizer)
    for (const bool plain : {true, false})
      for (std::size_t count : {std::size_t{1}, std::size_t{63}, std::size_t{130}, std::size_t{10001}}) {
        SCOPED_TRACE(std::to_string(optimizer) + ", " + std::to_string(count) + " parameters");
        Values p = draws(count, 1);
        Values m(count, 0.0F);
        Values v(count, 0.0F);
        Values average = draws(count, 2);
        std::vector<double> expected(average.begin(), average.end());
        std::uint64_t step = 0;
        double norm = 1;
        OptimizerUpdate update;
        update.optimizer = optimizer;
        if (!plain) update.constants.clip_weights = 0.5;
        update.updates = {&step, 5, 2};
        update.count = count;
        update.squared_norm = &norm;
        update.parameters = p.data();
        update.state = {m.data(), v.data()};
        for (; step < 20; ++step) {
          const Values g = draws(count, static_cast<unsigned>(step) + 10, 0.1F);
          update.gradient = g.data();
          update.average = step % 2 == 0 ? MovingAverage{average.data(), 0.75F} : MovingAverage{};
          device_->optimizer_update(update);
          for (std::size_t i = 0; i < count && step % 2 == 0; ++i)
            expected[i] = 0.75 * expected[i] + 0.25 * static_cast<double>(p[i]);
        }
        expect_close(average, expected, 1e-6, "average");
        if (!plain) {
          EXPECT_LE(*std::max_element(p.begin(), p.end()), 0.5F);
        }
        const Values before[] = {p, m, v, average};
        const Values g(count, nan);
        update.gradient = g.data();
        update.average = {average.data(), 0.75F};
        for (double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
          norm = bad;
          device_->optimizer_update(update);
          expect_same_bits(p, before[0], "guarded parameters");
          expect_same_bits(m, before[1], "guarded first state");
          expect_same_bits(v, before[2], "guarded second state");
          expect_same_bits(average, before[3], "guarded average");
        }
      }
}

// x + s · N(0, 1), with draw_normal()'s numbers and an s that falls with the step.
TEST_P(Operations, NoiseIsAddedUntilItHasFallen) {
  constexpr int rows = 300;
  constexpr int columns = 99;
  const Values x = draws(area(rows, columns), 6);
  for (const auto& [step, expected] : {std::pair<std::uint64_t, double>{0, 0.5},
                                       {40, 0.25},
                                       {79, 0.00625},
                                       {80, 0},
                                       {81, 0},
                                       {std::uint64_t{1} << 40U, 0}}) {
    const StepCount first{&step, 1000, 7};
    const FallingDeviation deviation{0.5, 80, &step};
    Values z(x.size());
    device_->draw_normal(5, noise, first, rows, columns, z.data());
    Values out(x.size(), nan);
    device_->add_noise(5, noise, first, deviation, rows, columns, x.data(), out.data());
    Values same = x;
    device_->add_noise(5, noise, first, deviation, rows, columns, same.data(), same.data());
    EXPECT_EQ(same, out) << step;
    const double n = static_cast<double>(x.size());
    double mean = 0;
    double square = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double added = static_cast<double>(out[i]) - static_cast<double>(x[i]);
      ASSERT_NEAR(added, expected * static_cast<double>(z[i]), 3e-7) << step;
      mean += added / n;
      square += added * added / n;
    }
    // Four standard errors each.
    EXPECT_NEAR(mean, 0, 4 * expected / std::sqrt(n) + 1e-7);
    EXPECT_NEAR(square, expected * expected, 4 * expected * expected * std::sqrt(2 / n) + 1e-7);
    if (expected == 0) {
      EXPECT_EQ(out, x);
    }
  }
}

TEST_P(Operations, DrawsAreNormal) {
  const std::uint64_t step = 3;
  constexpr int rows = 1000;
  constexpr int columns = 100;
  Values z(area(rows, columns));
  device_->draw_normal(5, noise, {&step, rows, 0}, rows, columns, z.data());
  const double n = static_cast<double>(z.size());
  double moments[5] = {};
  double neighbours = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    double power = 1;
    for (double& moment : moments) {
      moment += power / n;
      power *= static_cast<double>(z[i]);
    }
    if (i > 0) neighbours += static_cast<double>(z[i]) * static_cast<double>(z[i - 1]) / n;
  }
  // Four standard errors each.
  EXPECT_NEAR(moments[1], 0, 4 / std::sqrt(n));
  EXPECT_NEAR(moments[2], 1, 4 * std::sqrt(2 / n));
  EXPECT_NEAR(moments[3], 0, 4 * std::sqrt(15 / n));
  EXPECT_NEAR(moments[4], 3, 4 * std::sqrt(96 / n));
  EXPECT_NEAR(neighbours, 0, 4 / std::sqrt(n));
  // Kolmogorov and Smirnov; exceeded once in ten thousand.
  std::sort(z.begin(), z.end());
  double distance = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double phi = 0.5 * std::erfc(-static_cast<double>(z[i]) / std::sqrt(2.0));
    distance = std::max(
        {distance, std::abs(phi - static_cast<double>(i) / n), std::abs(phi - static_cast<double>(i + 1) / n)});
  }
  EXPECT_LT(distance * std::sqrt(n), 2.23);
}

TEST_P(Operations, DrawsAreBoxMullerOnPhilox) {
  for (int columns : {1, 2, 3, 4, 5, 8, 61, 100}) {
    const std::uint64_t step = 4;
    constexpr int rows = 23;
    Values z(area(rows, columns), nan);
    device_->draw_normal(77, noise, {&step, 50, 9}, rows, columns, z.data());
    std::vector<double> expected;
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < columns; ++j) {
        const math::Philox4 bits =
            math::philox_draw(77, math::Stream::noise_for_samples, static_cast<std::uint64_t>(4 * 50 + 9 + r),
                              static_cast<std::uint32_t>(j / 4));
        const int pair = j % 4 / 2;
        const double radius = std::sqrt(-2 * std::log(static_cast<double>(math::unit_interval(bits.v[2 * pair]))));
        const double angle = 2 * std::acos(-1.0) * static_cast<double>(math::unit_interval(bits.v[2 * pair + 1]));
        expected.push_back(radius * (j % 2 == 0 ? std::cos(angle) : std::sin(angle)));
      }
    expect_close(z, expected, 5e-7, std::to_string(columns) + " columns");
    // Rows drawn elsewhere, alone, by another number of threads.
    const std::unique_ptr<Device> other = make_cpu_device(1, GetParam().instruction_set);
    for (int r = 0; r < rows; r += 5) {
      Values row(static_cast<std::size_t>(columns));
      other->draw_normal(77, noise, {&step, 50, 9 + static_cast<std::uint64_t>(r)}, 1, columns, row.data());
      expect_same_bits(row, slice(z, columns, r, r + 1), "row");
    }
  }
}

TEST_P(Operations, GathersTheImagesOfItsSamples) {
  constexpr std::uint32_t count = 37;
  constexpr int pixels = 300;
  std::vector<std::uint8_t> images(area(count, pixels));
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  const std::uint64_t step = 2;
  constexpr int rows = 120;  // more than three epochs
  Values out(area(rows, pixels), nan);
  device_->gather_images(3, {&step, 100, 5}, images.data(), count, rows, pixels, 1, out.data());
  for (int r = 0; r < rows; ++r) {
    const std::uint32_t image = math::image_of_sample(3, static_cast<std::uint64_t>(205 + r), count);
    for (int j = 0; j < pixels; ++j)
      ASSERT_EQ(
          out[area(r, pixels) + static_cast<std::size_t>(j)],
          static_cast<float>(images[area(static_cast<int>(image), pixels) + static_cast<std::size_t>(j)]) / 255.0F);
  }

  // Three to a row, one in each channel; the first is the one that stands alone. In an epoch every channel shows every
  // image once, and the channels in orders of their own.
  constexpr int channels = 3;
  const std::uint64_t start = 0;
  Values stacked(area(count, pixels * channels), nan);
  device_->gather_images(3, {&start, 1, 0}, images.data(), count, count, pixels, channels, stacked.data());
  device_->gather_images(3, {&start, 1, 0}, images.data(), count, count, pixels, 1, out.data());
  std::set<std::vector<std::uint32_t>> orders;
  for (int c = 0; c < channels; ++c) {
    std::vector<std::uint32_t> order;
    for (int r = 0; r < static_cast<int>(count); ++r) {
      order.push_back(math::image_of_sample(3, static_cast<std::uint64_t>(r), count, static_cast<std::uint32_t>(c)));
      for (int j = 0; j < pixels; ++j) {
        const float value =
            stacked[(area(r, pixels) + static_cast<std::size_t>(j)) * channels + static_cast<std::size_t>(c)];
        ASSERT_EQ(value, static_cast<float>(
                             images[area(static_cast<int>(order.back()), pixels) + static_cast<std::size_t>(j)]) /
                             255.0F);
        ASSERT_TRUE(c > 0 || value == out[area(r, pixels) + static_cast<std::size_t>(j)]);
      }
    }
    orders.insert(order);
    std::sort(order.begin(), order.end());
    for (std::uint32_t i = 0; i < count; ++i) ASSERT_EQ(order[i], i);
  }
  EXPECT_EQ(orders.size(), 3U);
}

TEST_P(Operations, GathersTheLabelsOfItsSamples) {
  std::vector<std::uint8_t> labels(37);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::uint8_t>(i * 11);
  const std::uint64_t step = 2;
  std::vector<std::uint8_t> out(120);
  device_->gather_labels(3, {&step, 100, 5}, labels.data(), 37, 120, out.data());
  for (std::size_t r = 0; r < out.size(); ++r) ASSERT_EQ(out[r], labels[math::image_of_sample(3, 205 + r, 37)]);
}

// Small ones, and some that threads share.
TEST_P(Operations, AppendsTheClass) {
  for (const int rows : {1, 7, 150})
    for (const auto& [pixels, channels, classes] : {std::array{1, 5, 3}, std::array{49, 8, 10}, std::array{6, 1, 1}}) {
      std::vector<std::uint8_t> labels(static_cast<std::size_t>(rows));
      for (std::size_t r = 0; r < labels.size(); ++r)
        labels[r] = static_cast<std::uint8_t>(r * 7 % static_cast<std::size_t>(classes));
      const Values x = draws(area(rows, pixels * channels), 1);
      Values y(area(rows, pixels * (channels + classes)), nan);
      device_->append_class(rows, pixels, channels, classes, labels.data(), x.data(), y.data());
      Values tangent(y.size(), nan);
      device_->append_class(rows, pixels, channels, classes, nullptr, x.data(), tangent.data());
      Values back(x.size(), nan);
      const Activation sigma = Activation::named("leaky-relu", 0.25F);
      device_->append_class_backward(rows, pixels, channels, classes, y.data(), sigma, x.data(), back.data());
      Values as_it_is(x.size(), nan);
      device_->append_class_backward(rows, pixels, channels, classes, y.data(), {}, nullptr, as_it_is.data());
      std::size_t at = 0;
      std::size_t from = 0;
      for (int r = 0; r < rows; ++r)
        for (int p = 0; p < pixels; ++p) {
          for (int c = 0; c < channels; ++c, ++at, ++from) {
            ASSERT_EQ(y[at], x[from]);
            ASSERT_EQ(tangent[at], x[from]);
            ASSERT_EQ(as_it_is[from], x[from]);
            ASSERT_EQ(back[from], x[from] > 0 ? x[from] : 0.25F * x[from]);
          }
          for (int c = 0; c < classes; ++c, ++at) {
            ASSERT_EQ(y[at], c == labels[static_cast<std::size_t>(r)] ? 1.0F : 0.0F);
            ASSERT_EQ(tangent[at], 0.0F);
          }
        }
    }
}

TEST_P(Operations, ScoresTheRowsOwnClass) {
  const std::vector<std::uint8_t> labels = {2, 0, 1};
  const Values x = {1, 10, 20, 30, 2, 11, 21, 31, 3, 12, 22, 32};
  Values y(3, nan);
  device_->class_score(3, 3, labels.data(), x.data(), y.data());
  EXPECT_EQ(y, (Values{31, 13, 25}));
  Values back(12, nan);
  device_->class_score_backward(3, 3, labels.data(), y.data(), back.data());
  EXPECT_EQ(back, (Values{31, 0, 0, 31, 13, 13, 0, 0, 25, 0, 25, 0}));
}

TEST_P(Operations, MasksAreDrawnByTheirDefinition) {
  constexpr int rows = 300;
  for (const int columns : {1, 7, 64, 131})
    for (const double share : {0.0, 0.2, 0.5, 0.875}) {
      const std::uint64_t step = 9;
      constexpr std::uint64_t seed = 0x123456789AULL;
      constexpr std::uint32_t layer = 3;
      std::vector<std::uint8_t> mask(area(rows, columns), 7);
      device_->draw_mask({seed, 21, {&step, 1000, 4}, layer}, rows, columns, share, mask.data());
      double kept = 0;
      for (int row = 0; row < rows; ++row)
        for (int j = 0; j < columns; ++j) {
          const math::Philox4 bits =
              math::philox_draw(seed, math::Stream::dropout_between, 9004 + static_cast<std::uint64_t>(row),
                                layer * 16777216 + static_cast<std::uint32_t>(j / 4));
          const bool expected = static_cast<double>(bits.v[j % 4]) >= share * 0x1p32;
          ASSERT_EQ(mask[area(row, columns) + static_cast<std::size_t>(j)], expected ? 1 : 0);
          kept += expected ? 1 : 0;
        }
      // Five standard deviations.
      const double count = rows * columns;
      EXPECT_NEAR(kept / count, 1 - share, 5 * std::sqrt(share * (1 - share) / count) + 1e-9);
      // Another layer, stream or sample has another mask.
      if (share == 0 || columns < 64) continue;
      std::vector<std::uint8_t> other(mask.size());
      for (const MaskDraw& draw :
           {MaskDraw{seed, 21, {&step, 1000, 4}, layer + 1}, MaskDraw{seed, 22, {&step, 1000, 4}, layer},
            MaskDraw{seed + 1, 21, {&step, 1000, 4}, layer}, MaskDraw{seed, 21, {&step, 1000, 5}, layer}}) {
        device_->draw_mask(draw, rows, columns, share, other.data());
        EXPECT_NE(other, mask);
      }
      // The last were those of the next rows.
      EXPECT_TRUE(std::equal(other.begin(), other.end() - columns, mask.begin() + columns));
    }
}

TEST_P(Operations, MasksDropAndScale) {
  const std::size_t count = 1237;
  const Values from = draws(count, 1);
  const Values x = draws(count, 2);
  std::vector<std::uint8_t> mask;
  for (std::size_t i = 0; i < count; ++i) mask.push_back(i * 5 % 7 < 3 ? 0 : 1);
  Values kept(count, 7.0F);
  Values sloped(count, 7.0F);
  device_->apply_mask(count, mask.data(), 1.25F, from.data(), {}, nullptr, kept.data());
  device_->apply_mask(count, mask.data(), 1.25F, from.data(), Activation::named("leaky-relu", 0.25F), x.data(),
                      sloped.data());
  for (std::size_t i = 0; i < count; ++i) {
    EXPECT_EQ(kept[i], mask[i] == 0 ? 0.0F : 1.25F * from[i]);
    EXPECT_EQ(sloped[i], kept[i] * (x[i] > 0 ? 1.0F : 0.25F));
  }
}

TEST_P(Operations, AStepEndsWithAReport) {
  const Values d_extras = {1, 2, 3};
  const Values g_extras = {4, 5};
  std::vector<double> running = {10, 20, 30, 40, 50};
  double squares[2] = {2, 3};
  const double g_square = 4;
  std::uint64_t step = 6;
  StepReport reports[3];
  StepEnd end;
  end.discriminator_extras = d_extras.data();
  end.discriminator_count = 3;
  end.generator_extras = g_extras.data();
  end.generator_count = 2;
  end.running = running.data();
  end.discriminator_squared_norms = squares;
  end.discriminator_updates = 2;
  end.generator_squared_norm = &g_square;
  end.stop = g_extras.data() + 1;  // goes before
  const std::uint32_t flag = 1;
  end.stop_flag = &flag;
  end.step = &step;
  std::uint64_t updates = 12;
  end.discriminator_total = &updates;
  end.reports = reports;
  end.report_count = 3;
  device_->end_step(end);
  EXPECT_EQ(step, 7U);
  EXPECT_EQ(updates, 14U);
  EXPECT_EQ(running, (std::vector<double>{11, 22, 33, 44, 55}));
  EXPECT_EQ(reports[0].step, 7U);
  EXPECT_EQ(reports[0].discriminator_squared_norm, 3);
  EXPECT_EQ(reports[0].generator_squared_norm, 4);
  EXPECT_EQ(reports[0].stop, 5);
  // An earlier update that was not finite is not lost behind a later one that was.
  squares[0] = std::numeric_limits<double>::infinity();
  device_->end_step(end);
  EXPECT_EQ(reports[1].step, 8U);
  EXPECT_TRUE(std::isinf(reports[1].discriminator_squared_norm));
  end.stop = nullptr;
  device_->end_step(end);
  EXPECT_EQ(reports[2].stop, 1);

  for (const std::uint32_t asked : {0U, 1U}) {
    float value = nan;
    std::int64_t fixed = -1;
    device_->flag_to_sum(&asked, SumTarget{&value});
    device_->flag_to_sum(&asked, SumTarget{nullptr, &fixed, nullptr});
    EXPECT_EQ(value, static_cast<float>(asked));
    EXPECT_EQ(math::from_fixed_point(fixed), static_cast<double>(asked));
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, Operations, ::testing::ValuesIn(machines()), machine_name);

}  // namespace
}  // namespace ganymede::testing
