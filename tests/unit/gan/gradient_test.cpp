// Losses, the R1 penalty and whole gradients of D and G against central differences of the reference.
#include <gtest/gtest.h>

#include <optional>

#include "gan/gradient_sum.hpp"
#include "gan/losses.hpp"
#include "gan/r1_penalty.hpp"
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
  void check_pair(const std::vector<float>& sums, double loss, double real, double fake, bool with_real) const {
    EXPECT_NEAR(static_cast<double>(sums[LossSums::loss]), 0.125 * loss, 1e-6 * std::max(0.125, std::abs(loss)));
    EXPECT_EQ(sums[LossSums::real_right], with_real && real > 0 ? scale_ : 0.0F);
    EXPECT_EQ(sums[LossSums::fake_right], fake < 0 ? scale_ : 0.0F);
  }
};

TEST_P(EveryLoss, OfTheDiscriminator) {
  const BatchLayout pair{2, 1, {0, 1}};
  for (std::size_t i = 0; i < real_.size(); ++i) {
    const float logits[2] = {real_[i], fake_[i]};
    float seeds[2] = {};
    std::vector<float> sums(LossSums::count);
    device_->discriminator_loss(loss_index(GetParam()), pair, logits, scale_, seeds, nullptr, SumTarget{sums.data()});
    Doubles at = {static_cast<double>(logits[0]), static_cast<double>(logits[1])};
    const auto value = [&] { return 0.125 * reference::discriminator_loss(GetParam(), at[0], at[1]); };
    const Doubles expected = gradient(at, value, 1e-3);
    for (std::size_t k = 0; k < 2; ++k) EXPECT_NEAR(static_cast<double>(seeds[k]), expected[k], 1e-7) << at[k];
    check_pair(sums, value() / 0.125, at[0], at[1], true);
  }
}

TEST_P(EveryLoss, OfTheGenerator) {
  for (std::size_t i = 0; i < fake_.size(); ++i) {
    float seed = 0;
    std::vector<float> sums(LossSums::count);
    device_->generator_loss(loss_index(GetParam()), BatchLayout{1, 1, {0, 1}}, &fake_[i], scale_, &seed,
                            SumTarget{sums.data()});
    Doubles at = {static_cast<double>(fake_[i])};
    const auto value = [&] { return 0.125 * reference::generator_loss(GetParam(), at[0]); };
    EXPECT_NEAR(static_cast<double>(seed), gradient(at, value, 1e-3)[0], 1e-7) << at[0];
    check_pair(sums, value() / 0.125, 0, at[0], false);
  }
}

// Sums over a batch, by default and shard by shard in fixed point.
TEST_P(EveryLoss, SummedOverTheBatch) {
  const int rows = static_cast<int>(real_.size());
  const BatchLayout layout{2, rows, {0, 3, 4, rows}};
  std::vector<float> logits = real_;
  logits.insert(logits.end(), fake_.begin(), fake_.end());
  std::vector<float> seeds(logits.size());
  double loss = 0;
  for (std::size_t i = 0; i < real_.size(); ++i)
    loss +=
        0.125 * reference::discriminator_loss(GetParam(), static_cast<double>(real_[i]), static_cast<double>(fake_[i]));
  std::vector<float> sums(LossSums::count);
  std::vector<std::int64_t> fixed(LossSums::count);
  std::int64_t overflow = 0;
  const int index = loss_index(GetParam());
  device_->discriminator_loss(index, layout, logits.data(), scale_, seeds.data(), nullptr, SumTarget{sums.data()});
  device_->discriminator_loss(index, layout, logits.data(), scale_, seeds.data(), nullptr,
                              SumTarget{nullptr, fixed.data(), &overflow});
  const Doubles expected = {loss, 5 * 0.125, 4 * 0.125};
  EXPECT_EQ(overflow, 0);
  for (std::size_t k = 0; k < expected.size(); ++k) {
    EXPECT_NEAR(static_cast<double>(sums[k]), expected[k], 2e-6 * expected[k]);
    EXPECT_NEAR(static_cast<double>(fixed[k]) * 0x1p-40, expected[k], 2e-6 * expected[k]);
  }
}

INSTANTIATE_TEST_SUITE_P(Loss, EveryLoss, ::testing::ValuesIn(loss_names()), [](const auto& info) {
  return info.param == "non-saturating" ? std::string("non_saturating") : info.param;
});

// --- whole gradients ------------------------------------------------------------------------------------

struct Case {
  std::string loss;
  std::string activation;  // of D
  double gamma;
  bool exact;
};

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  std::string name = info.param.loss + "_" + info.param.activation + (info.param.gamma > 0 ? "_r1" : "_plain") +
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
    for (options_.seed = 1;; ++options_.seed) {
      ASSERT_LT(options_.seed, 1000U);
      gan_.emplace(make_gan(options_, small_side, *device_));
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
      z_ = uniform_floats(count_of(rows, options_.latent), seed + 1, 2.0F);
      const Doubles fake = g_->forward(widen(z_));
      if (std::min({g_->distance_to_kink(widen(z_)), d_->distance_to_kink(fake), d_->distance_to_kink(widen(real_))}) >
          2e-3)
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
  std::vector<float> real_, z_;
  // Means are over the whole batch, of which the reference sees `rows` rows.
  static constexpr double share = static_cast<double>(rows) / batch;
};

TEST_P(WholeGradients, OfTheDiscriminator) {
  const Network& d = gan_->discriminator;
  const BatchLayout both{2, rows, shards()};
  const BatchLayout one{1, rows, shards()};
  const double gamma = GetParam().gamma;
  std::vector<float> x = real_;
  x.resize(2 * real_.size());
  Tape g_tape = gan_->generator.make_tape(rows, false);
  gan_->generator.forward(one, z_.data(), g_tape, x.data() + real_.size());
  const Doubles fake = widen({x.begin() + static_cast<std::ptrdiff_t>(real_.size()), x.end()});

  Tape tape = d.make_tape(2 * rows, gamma > 0);
  d.forward(both, x.data(), tape);
  std::optional<R1Penalty> r1;
  if (gamma > 0) r1.emplace(d, rows, gamma, batch);
  const std::vector<float> losses = summed(LossSums::count, [&](SumTarget sums) {
    device_->discriminator_loss(loss_index(GetParam().loss), both, tape.output(), 1.0F / batch, tape.delta(),
                                r1 ? r1->row_scale() : nullptr, sums);
  });
  d.backward(both, 0, tape);
  std::vector<float> penalty(1);
  if (r1) penalty = summed(1, [&](SumTarget value) { r1->apply(one, x.data(), tape, value); });
  const std::vector<float> actual = summed(d.parameter_count(), [&](SumTarget sum) {
    d.gradients(both, 0, x.data(), tape, r1 ? r1->row_scale() : nullptr, false, sum);
  });

  const Doubles real = widen(real_);
  const auto loss = [&] { return share * reference::discriminator_objective(*d_, GetParam().loss, real, fake); };
  const auto r1_value = [&] { return share * reference::r1_penalty(*d_, gamma, real); };
  EXPECT_NEAR(static_cast<double>(losses[LossSums::loss]), loss(), 2e-6 * loss());
  if (r1) {
    EXPECT_NEAR(static_cast<double>(penalty[0]), r1_value(), 2e-6 * r1_value());
    // A penalty that hardly matters would prove little.
    EXPECT_GT(r1_value(), 0.01 * loss());
  }
  expect_near(actual, gradient(d_->parameters, [&] { return loss() + r1_value(); }), 3e-6, "gradient of D");
}

TEST_P(WholeGradients, OfTheGenerator) {
  const Network& g = gan_->generator;
  const Network& d = gan_->discriminator;
  const BatchLayout one{1, rows, shards()};
  std::vector<float> fake(real_.size());
  Tape g_tape = g.make_tape(rows, false);
  Tape d_tape = d.make_tape(2 * rows, false);
  g.forward(one, z_.data(), g_tape, fake.data());
  d.forward(one, fake.data(), d_tape);
  const std::vector<float> losses = summed(LossSums::count, [&](SumTarget sums) {
    device_->generator_loss(loss_index(GetParam().loss), one, d_tape.output(), 1.0F / batch, d_tape.delta(), sums);
  });
  d.backward(one, 0, d_tape);
  d.backward_input(one, 0, d_tape, g.activation(), fake.data(), g_tape.delta());
  g.backward(one, 0, g_tape);
  const std::vector<float> actual =
      summed(g.parameter_count(), [&](SumTarget sum) { g.gradients(one, 0, z_.data(), g_tape, nullptr, false, sum); });

  const Doubles z = widen(z_);
  const auto loss = [&] { return share * reference::generator_objective(*g_, *d_, GetParam().loss, z); };
  EXPECT_NEAR(static_cast<double>(losses[LossSums::loss]), loss(), 2e-6 * std::abs(loss()));
  expect_near(actual, gradient(g_->parameters, loss), 3e-6, "gradient of G");
}

// The penalty's gradient alone: with the loss's seeds at zero nothing else is left. Biases have none of their own.
class PenaltyAlone : public WholeGradients {};

TEST_P(PenaltyAlone, HasTheRightGradient) {
  const double gamma = GetParam().gamma;
  const Network& d = gan_->discriminator;
  const BatchLayout both{2, rows, shards()};
  const BatchLayout one{1, rows, shards()};
  std::vector<float> x = real_;
  x.insert(x.end(), real_.begin(), real_.end());
  Tape tape = d.make_tape(2 * rows, true);
  d.forward(both, x.data(), tape);
  R1Penalty r1(d, rows, gamma, batch);
  // No loss: what Device::discriminator_loss() leaves when all its seeds are 0.
  std::fill(tape.delta(), tape.delta() + rows, 1.0F);
  std::fill(tape.delta() + rows, tape.delta() + 2 * rows, 0.0F);
  std::fill(r1.row_scale(), r1.row_scale() + rows, 0.0F);
  std::fill(r1.row_scale() + rows, r1.row_scale() + 2 * rows, 1.0F);
  d.backward(both, 0, tape);
  summed(1, [&](SumTarget value) { r1.apply(one, x.data(), tape, value); });
  const std::vector<float> actual = summed(
      d.parameter_count(), [&](SumTarget sum) { d.gradients(both, 0, x.data(), tape, r1.row_scale(), false, sum); });
  const Doubles real = widen(real_);
  const Doubles expected = gradient(d_->parameters, [&] { return share * reference::r1_penalty(*d_, gamma, real); });
  expect_near(actual, expected, 3e-6, "gradient of R1");
  for (int l = 0; l < d_->layers(); ++l)
    for (int o = 0; o < d_->width(l + 1); ++o)
      EXPECT_EQ(actual[d_->offset(l) + count_of(d_->width(l + 1), d_->width(l)) + static_cast<std::size_t>(o)], 0.0F);
}

INSTANTIATE_TEST_SUITE_P(
    Gan, WholeGradients,
    ::testing::Values(Case{"non-saturating", "relu", 0, false}, Case{"non-saturating", "relu", 5, false},
                      Case{"non-saturating", "relu", 5, true}, Case{"minimax", "leaky-relu", 2, false},
                      Case{"minimax", "leaky-relu", 0, true}, Case{"non-saturating", "tanh", 0, false},
                      Case{"minimax", "sigmoid", 0, true}),
    case_name);

INSTANTIATE_TEST_SUITE_P(Gan, PenaltyAlone,
                         ::testing::Values(Case{"non-saturating", "relu", 5, false},
                                           Case{"non-saturating", "relu", 1, true},
                                           Case{"non-saturating", "leaky-relu", 10, false}),
                         case_name);

}  // namespace
}  // namespace ganymede::testing
