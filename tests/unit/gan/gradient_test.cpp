// Losses, penalties and whole gradients of D and G against central differences of the reference.
#include <gtest/gtest.h>

#include <optional>

#include "gan/gradient_penalty.hpp"
#include "gan/losses.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {
namespace {

using reference::gradient;
using reference::Mlp;

// --- losses -------------------------------------------------------------------------------------------

class EveryLoss : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Device> device_ = make_cpu_device(1);
  const std::vector<float> real_ = {-30.0F, -4.0F, -0.7F, 0.1F, 0.9F, 3.0F, 12.0F, 45.0F};
  const std::vector<float> fake_ = {2.0F, -25.0F, 0.4F, -0.2F, -3.0F, 40.0F, 1.0F, -8.0F};
  const float scale_ = 0.125F;

  // One pair of logits at a time, so that a small derivative is compared at its own size.
  void check_pair(const std::vector<float>& sums, double loss, float real, float fake) const {
    const std::string& name = GetParam();
    EXPECT_NEAR(static_cast<double>(sums[LossSums::loss]), 0.125 * loss, 1e-6 * std::max(0.125, std::abs(loss)));
    EXPECT_EQ(sums[LossSums::real_right], reference::right_on_real(name, real, fake) ? scale_ : 0.0F);
    EXPECT_EQ(sums[LossSums::fake_right], reference::right_on_fake(name, real, fake) ? scale_ : 0.0F);
    EXPECT_EQ(sums[LossSums::real_score], scale_ * real);
    EXPECT_EQ(sums[LossSums::fake_score], scale_ * fake);
    EXPECT_EQ(sums[LossSums::penalty], 0.0F);
  }
  [[nodiscard]] int kind() const { return loss_index(GetParam()); }
};

TEST_P(EveryLoss, OfTheDiscriminator) {
  const BatchLayout pair{2, 1, {0, 1}};
  for (const float smoothing : {0.0F, 0.25F})
    for (std::size_t i = 0; i < real_.size(); ++i) {
      if (smoothing > 0 && !loss_has_target(kind())) continue;
      const float logits[2] = {real_[i], fake_[i]};
      float seeds[2] = {};
      std::vector<float> sums(LossSums::count, 7.0F);
      device_->discriminator_loss({kind(), smoothing}, pair, {}, logits, scale_, seeds, nullptr, false,
                                  SumTarget{sums.data()});
      Doubles at = {static_cast<double>(logits[0]), static_cast<double>(logits[1])};
      const auto value = [&] {
        return 0.125 * reference::discriminator_loss(GetParam(), at[0], at[1], static_cast<double>(smoothing));
      };
      const Doubles expected = gradient(at, value, 1e-3);
      for (std::size_t k = 0; k < 2; ++k)
        EXPECT_NEAR(static_cast<double>(seeds[k]), expected[k], 1e-7 * std::max(1.0, std::abs(expected[k]))) << at[k];
      check_pair(sums, value() / 0.125, logits[0], logits[1]);
    }
}

TEST_P(EveryLoss, OfTheGenerator) {
  const BatchLayout pair{2, 1, {0, 1}};
  for (std::size_t i = 0; i < fake_.size(); ++i) {
    const float logits[2] = {real_[i], fake_[i]};
    Doubles at = {static_cast<double>(logits[0]), static_cast<double>(logits[1])};
    const auto value = [&] { return 0.125 * reference::generator_loss(GetParam(), at[0], at[1]); };
    const Doubles expected = gradient(at, value, 1e-3);
    float seeds[2] = {};
    std::vector<float> sums(LossSums::count, 7.0F);
    device_->generator_loss({kind()}, pair, logits, scale_, seeds, false, SumTarget{sums.data()});
    for (std::size_t k = 0; k < 2; ++k)
      EXPECT_NEAR(static_cast<double>(seeds[k]), expected[k], 1e-7 * std::max(1.0, std::abs(expected[k]))) << at[k];
    check_pair(sums, value() / 0.125, logits[0], logits[1]);
    if (generator_sees_real(kind())) {
      EXPECT_NE(expected[0], 0);
      continue;
    }
    // Without the real logit.
    EXPECT_EQ(expected[0], 0);
    float seed = 0;
    device_->generator_loss({kind()}, BatchLayout{1, 1, {0, 1}}, &logits[1], scale_, &seed, false,
                            SumTarget{sums.data()});
    EXPECT_EQ(seed, seeds[1]);
    EXPECT_NEAR(static_cast<double>(sums[LossSums::loss]), value(), 1e-6 * std::max(0.125, std::abs(value())));
    EXPECT_EQ(sums[LossSums::real_right], 0.0F);
    EXPECT_EQ(sums[LossSums::real_score], 0.0F);
    EXPECT_EQ(sums[LossSums::fake_score], scale_ * fake_[i]);
  }
}

// Sums over a batch, by default and shard by shard in fixed point.
TEST_P(EveryLoss, SummedOverTheBatch) {
  const int rows = static_cast<int>(real_.size());
  const BatchLayout layout{2, rows, {0, 3, 4, rows}};
  std::vector<float> logits = real_;
  logits.insert(logits.end(), fake_.begin(), fake_.end());
  std::vector<float> seeds(logits.size());
  Doubles expected(LossSums::count);
  for (std::size_t i = 0; i < real_.size(); ++i) {
    const auto r = static_cast<double>(real_[i]);
    const auto f = static_cast<double>(fake_[i]);
    expected[LossSums::loss] += 0.125 * reference::discriminator_loss(GetParam(), r, f);
    expected[LossSums::real_right] += reference::right_on_real(GetParam(), r, f) ? 0.125 : 0;
    expected[LossSums::fake_right] += reference::right_on_fake(GetParam(), r, f) ? 0.125 : 0;
    expected[LossSums::real_score] += 0.125 * r;
    expected[LossSums::fake_score] += 0.125 * f;
  }
  std::vector<float> sums(LossSums::count);
  std::vector<std::int64_t> fixed(LossSums::count);
  std::int64_t overflow = 0;
  device_->discriminator_loss({kind()}, layout, {}, logits.data(), scale_, seeds.data(), nullptr, false,
                              SumTarget{sums.data()});
  device_->discriminator_loss({kind()}, layout, {}, logits.data(), scale_, seeds.data(), nullptr, false,
                              SumTarget{nullptr, fixed.data(), &overflow});
  EXPECT_EQ(overflow, 0);
  for (std::size_t k = 0; k < expected.size(); ++k) {
    EXPECT_NEAR(static_cast<double>(sums[k]), expected[k], 2e-6 * std::abs(expected[k]));
    EXPECT_NEAR(static_cast<double>(fixed[k]) * 0x1p-40, expected[k], 2e-6 * std::abs(expected[k]));
  }

  // What a pass adds to the sums of another: in fixed point, exactly what it has by itself.
  const std::vector<float> sums_before = sums;
  const std::vector<std::int64_t> fixed_before = fixed;
  device_->discriminator_loss({kind()}, layout, {}, logits.data(), scale_, seeds.data(), nullptr, true,
                              SumTarget{sums.data()});
  device_->discriminator_loss({kind()}, layout, {}, logits.data(), scale_, seeds.data(), nullptr, true,
                              SumTarget{nullptr, fixed.data(), &overflow});
  for (std::size_t k = 0; k < expected.size(); ++k) {
    EXPECT_EQ(sums[k], 2 * sums_before[k]);
    EXPECT_EQ(fixed[k], 2 * fixed_before[k]);
  }
  std::vector<float> of_generator(LossSums::count);
  device_->generator_loss({kind()}, layout, logits.data(), scale_, seeds.data(), false, SumTarget{of_generator.data()});
  const std::vector<float> once = of_generator;
  device_->generator_loss({kind()}, layout, logits.data(), scale_, seeds.data(), true, SumTarget{of_generator.data()});
  for (std::size_t k = 0; k < expected.size(); ++k) EXPECT_EQ(of_generator[k], 2 * once[k]);
}

// Rows that a penalty works on have the seed 1, and their own beside; all others theirs.
TEST_P(EveryLoss, GivesUnitSeedsToPenalisedParts) {
  constexpr int rows = 3;
  std::vector<float> plain(2 * rows);
  std::vector<float> sums(LossSums::count);
  const std::vector<float> logits = {9.0F, 8.0F, 7.0F, 0.5F, -1.5F, 2.5F, -0.25F, 3.0F, -2.0F};  // between, real, fake
  device_->discriminator_loss({kind()}, {2, rows, {0, rows}}, {}, logits.data() + rows, scale_, plain.data(), nullptr,
                              false, SumTarget{sums.data()});
  for (int mask = 1; mask < 8; ++mask) {
    const PenaltyParts parts{(mask & 1) != 0, (mask & 2) != 0, (mask & 4) != 0};
    const int first = parts.between ? 0 : rows;
    const BatchLayout layout{parts.between ? 3 : 2, rows, {0, rows}};
    std::vector<float> seeds(3 * rows, 7.0F);
    std::vector<float> scales(3 * rows, 7.0F);
    std::vector<float> again(LossSums::count);
    device_->discriminator_loss({kind()}, layout, parts, logits.data() + first, scale_, seeds.data() + first,
                                scales.data() + first, false, SumTarget{again.data()});
    EXPECT_EQ(again, sums);
    for (int i = 0; i < 3 * rows; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const int part = i / rows;
      if (part == 0) {
        EXPECT_EQ(seeds[at], parts.between ? 1.0F : 7.0F);
        EXPECT_EQ(scales[at], parts.between ? 0.0F : 7.0F);
        continue;
      }
      const bool penalised = part == 1 ? parts.real : parts.fake;
      EXPECT_EQ(seeds[at], penalised ? 1.0F : plain[at - rows]);
      EXPECT_EQ(scales[at], penalised ? plain[at - rows] : 1.0F);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Loss, EveryLoss, ::testing::ValuesIn(loss_names()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// --- whole gradients ------------------------------------------------------------------------------------

struct Case {
  std::string loss;
  std::string activation;  // of D
  double r1, r2, between;  // weights of penalties
  bool exact;
};

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  std::string name = info.param.loss + "_" + info.param.activation + (info.param.r1 > 0 ? "_r1" : "") +
                     (info.param.r2 > 0 ? "_r2" : "") + (info.param.between > 0 ? "_gp" : "") +
                     (info.param.exact ? "_exact" : "_float");
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// A GAN, real images and z of which no unit is near its kink.
class WholeGradients : public ::testing::TestWithParam<Case> {
 protected:
  static constexpr int rows = 7;
  static constexpr int batch = 10;  // this rank's rows are a share of it

  void SetUp() override {
    options_ = small_options();
    options_.loss = GetParam().loss;
    options_.discriminator_activation = GetParam().activation;
    options_.generator_activation = "leaky-relu";
    options_.batch = batch;
    options_.r1 = GetParam().r1;
    options_.r2 = GetParam().r2;
    options_.gradient_penalty = GetParam().between;
    for (options_.seed = 1;; ++options_.seed) {
      ASSERT_LT(options_.seed, 1000U);
      gan_.emplace(make_gan(options_, DataShape::grey(small_side), *device_));
      // Biases that are not zero, so that they take part.
      for (Network* network : {&gan_->generator, &gan_->discriminator}) {
        const std::vector<float> more =
            uniform_floats(network->parameter_count(), static_cast<unsigned>(options_.seed), 0.1F);
        for (std::size_t i = 0; i < more.size(); ++i) network->parameters()[i] += more[i];
      }
      g_.emplace(reference_of(gan_->generator));
      d_.emplace(reference_of(gan_->discriminator));
      const auto seed = static_cast<unsigned>(2 * options_.seed);
      real_ = uniform_floats(count_of(rows, gan_->discriminator.inputs()), seed);
      between_ = uniform_floats(count_of(rows, gan_->discriminator.inputs()), seed + 2000);
      z_ = uniform_floats(count_of(rows, options_.latent), seed + 1, 2.0F);
      const Doubles fake = g_->forward(widen(z_));
      if (std::min({g_->distance_to_kink(widen(z_)), d_->distance_to_kink(fake), d_->distance_to_kink(widen(real_)),
                    d_->distance_to_kink(widen(between_))}) > 2e-3)
        break;
    }
  }

  // What `backward` sums into its target, whichever kind that is.
  std::vector<float> summed(std::size_t count, const std::function<void(SumTarget)>& backward) {
    if (!GetParam().exact) {
      std::vector<float> sum(count, NAN);
      backward(SumTarget{sum.data()});
      return sum;
    }
    std::vector<std::int64_t> fixed(count, -1);
    std::int64_t overflow = 0;
    backward(SumTarget{nullptr, fixed.data(), &overflow});
    EXPECT_EQ(overflow, 0);
    std::vector<float> sum(count);
    for (std::size_t i = 0; i < count; ++i) sum[i] = static_cast<float>(static_cast<double>(fixed[i]) * 0x1p-40);
    return sum;
  }
  // A share of the batch as one shard, or as three.
  [[nodiscard]] std::vector<int> shards() const {
    return GetParam().exact ? std::vector<int>{0, 2, 3, rows} : std::vector<int>{0, rows};
  }

  std::unique_ptr<Device> device_ = make_cpu_device(1);
  TrainOptions options_;
  std::optional<Gan> gan_;
  std::optional<Mlp> g_, d_;
  std::vector<float> real_, between_, z_;
  // Means are over the whole batch, of which the reference sees `rows` rows.
  static constexpr double share = static_cast<double>(rows) / batch;
};

TEST_P(WholeGradients, OfTheDiscriminator) {
  Network& d = gan_->discriminator;
  const BatchLayout one{1, rows, shards()};
  std::vector<float> fake_images(real_.size());
  Tape g_tape = gan_->generator.make_tape(rows, false);
  gan_->generator.forward(one, z_.data(), g_tape, fake_images.data());

  GradientPenalties penalties(d, rows, options_);
  const PenaltyParts parts = penalties.parts();
  const BatchLayout pass{penalties.part_count(), rows, shards()};
  std::vector<float> x;
  if (parts.between) x = between_;
  x.insert(x.end(), real_.begin(), real_.end());
  x.insert(x.end(), fake_images.begin(), fake_images.end());
  Tape tape = d.make_tape(pass.total_rows(), parts.any());
  d.forward(pass, x.data(), tape);
  float* row_scale = parts.any() ? penalties.row_scale() : nullptr;
  const std::vector<float> sums = summed(LossSums::count, [&](SumTarget target) {
    device_->discriminator_loss({loss_index(GetParam().loss)}, pass, parts, tape.output(), 1.0F / batch, tape.delta(),
                                row_scale, false, target);
    d.backward(pass, 0, tape);
    if (parts.any()) penalties.apply(one, x.data(), tape, target.at(LossSums::penalty));
  });
  const std::vector<float> actual = summed(
      d.parameter_count(), [&](SumTarget target) { d.gradients(pass, 0, x.data(), tape, row_scale, false, target); });

  const Doubles real = widen(real_);
  const Doubles fake = widen(fake_images);
  const auto loss = [&] { return share * reference::discriminator_objective(*d_, GetParam().loss, real, fake); };
  const auto penalty = [&] {
    return share * (reference::r1_penalty(*d_, GetParam().r1, real) + reference::r1_penalty(*d_, GetParam().r2, fake) +
                    reference::unit_norm_penalty(*d_, GetParam().between, widen(between_)));
  };
  EXPECT_NEAR(static_cast<double>(sums[LossSums::loss]), loss(), 2e-6 * std::max(1.0, std::abs(loss())));
  EXPECT_NEAR(static_cast<double>(sums[LossSums::penalty]), penalty(), 3e-6 * penalty());
  // A penalty that hardly matters would prove little.
  if (parts.any()) {
    EXPECT_GT(penalty(), 0.01 * std::abs(loss()));
  }
  expect_near(actual, gradient(d_->parameters, [&] { return loss() + penalty(); }), 3e-6, "gradient of D");
}

TEST_P(WholeGradients, OfTheGenerator) {
  Network& g = gan_->generator;
  Network& d = gan_->discriminator;
  const BatchLayout one{1, rows, shards()};
  const int real_rows = generator_sees_real(loss_index(GetParam().loss)) ? rows : 0;
  const BatchLayout pass{real_rows > 0 ? 2 : 1, rows, shards()};
  std::vector<float> x = real_;
  x.resize(2 * real_.size());
  float* fake = x.data() + real_.size();
  Tape g_tape = g.make_tape(rows, false);
  Tape d_tape = d.make_tape(2 * rows, false);
  g.forward(one, z_.data(), g_tape, fake);
  d.forward(pass, real_rows > 0 ? x.data() : fake, d_tape);
  const std::vector<float> losses = summed(LossSums::count, [&](SumTarget sums) {
    device_->generator_loss({loss_index(GetParam().loss)}, pass, d_tape.output(), 1.0F / batch, d_tape.delta(), false,
                            sums);
  });
  d.backward(one, real_rows, d_tape);
  d.backward_input(one, real_rows, d_tape, g.activation(), fake, g_tape.delta());
  g.backward(one, 0, g_tape);
  const std::vector<float> actual =
      summed(g.parameter_count(), [&](SumTarget sum) { g.gradients(one, 0, z_.data(), g_tape, nullptr, false, sum); });

  const Doubles z = widen(z_);
  const auto loss = [&] { return share * reference::generator_objective(*g_, *d_, GetParam().loss, widen(real_), z); };
  EXPECT_NEAR(static_cast<double>(losses[LossSums::loss]), loss(), 2e-6 * std::abs(loss()));
  expect_near(actual, gradient(g_->parameters, loss), 3e-6, "gradient of G");
}

INSTANTIATE_TEST_SUITE_P(
    Gan, WholeGradients,
    ::testing::Values(Case{"non-saturating", "relu", 0, 0, 0, false}, Case{"non-saturating", "relu", 5, 0, 0, false},
                      Case{"non-saturating", "relu", 5, 0, 0, true}, Case{"minimax", "leaky-relu", 2, 0, 0, false},
                      Case{"minimax", "leaky-relu", 0, 0, 0, true}, Case{"non-saturating", "tanh", 0, 0, 0, false},
                      Case{"minimax", "sigmoid", 0, 0, 0, true}, Case{"non-saturating", "relu", 0, 30, 0, false},
                      Case{"least-squares", "leaky-relu", 0, 0, 2, false}, Case{"hinge", "relu", 2, 3, 0, true},
                      Case{"wasserstein", "leaky-relu", 0, 0, 10, false}, Case{"wasserstein", "relu", 0, 0, 10, true},
                      Case{"relativistic", "leaky-relu", 1, 2, 0, false}, Case{"relativistic", "relu", 0, 0, 0, true},
                      Case{"relativistic", "relu", 1, 2, 3, false}),
    case_name);

}  // namespace
}  // namespace ganymede::testing
