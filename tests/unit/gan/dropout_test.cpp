// Dropout in D: its gradient, penalties included, against finite differences of the network that the masks leave of it.
#include <gtest/gtest.h>

#include "gan/gan.hpp"
#include "math/philox.hpp"
#include "support/small_gan.hpp"
#include "unit/gan/discriminator_gradient.hpp"

namespace ganymede::testing {
namespace {

TrainOptions dropping() {
  TrainOptions o = small_options();
  o.dropout = 0.4;
  o.input_dropout = 0.25;
  o.loss = "least-squares";
  o.discriminator_activation = "leaky-relu";
  return o;
}

// D without its dropout layers, for one sample: what is dropped before a layer takes that layer's columns away, and
// what is kept scales them.
reference::Mlp masked(const reference::Mlp& whole, const TrainOptions& o, math::Stream stream, std::uint64_t sample) {
  reference::Mlp result = whole;
  for (int l = 0; l < whole.layers(); ++l) {
    const double share = l == 0 ? o.input_dropout : o.dropout;
    for (int i = 0; i < whole.width(l); ++i) {
      const math::Philox4 bits = math::philox_draw(
          o.seed, stream, sample, static_cast<std::uint32_t>(l) * 16777216U + static_cast<std::uint32_t>(i / 4));
      const double factor = static_cast<double>(bits.v[i % 4]) < share * 0x1p32 ? 0 : 1 / (1 - share);
      for (int out = 0; out < whole.width(l + 1); ++out)
        result.parameters[whole.offset(l) + count_of(out, whole.width(l)) + static_cast<std::size_t>(i)] *= factor;
    }
  }
  return result;
}

TEST(Dropout, GradientsAreThoseOfTheMaskedNetworks) {
  const std::unique_ptr<Device> device = make_cpu_device(1);
  TrainOptions o = dropping();
  o.r1 = 2;
  o.r2 = 1;
  constexpr int rows = 6;
  for (o.seed = 1;; ++o.seed) {
    ASSERT_LT(o.seed, 1000U);
    Gan gan = make_gan(o, DataShape::grey(small_side), *device);
    Network& d = gan.discriminator;
    TrainOptions plain = o;
    plain.dropout = plain.input_dropout = 0;
    const Gan without = make_gan(plain, DataShape::grey(small_side), *device);
    reference::Mlp whole = reference_of(without.discriminator);
    ASSERT_EQ(whole.parameters, widen(d.parameter_array().host()));
    const auto seed = static_cast<unsigned>(o.seed);
    const std::vector<float> real = uniform_floats(count_of(rows, d.inputs()), 2 * seed);
    const std::vector<float> fake = uniform_floats(count_of(rows, d.inputs()), 2 * seed + 1);
    const std::uint64_t step = 3;
    const Draws draws{o.seed, static_cast<std::uint32_t>(math::Stream::dropout_real), {&step, 100, 7}};
    const auto for_each_pair = [&](const auto& visit) {
      for (int row = 0; row < rows; ++row)
        visit(masked(whole, o, math::Stream::dropout_real, 307 + static_cast<std::uint64_t>(row)),
              row_of(real, row, d.inputs()),
              masked(whole, o, math::Stream::dropout_fake, 307 + static_cast<std::uint64_t>(row)),
              row_of(fake, row, d.inputs()));
    };
    double distance = 1;
    for_each_pair([&](const reference::Mlp& d_real, const Doubles& r, const reference::Mlp& d_fake, const Doubles& f) {
      distance = std::min({distance, d_real.distance_to_kink(r), d_fake.distance_to_kink(f)});
    });
    // Where all inputs are dropped, a unit's sum is its bias, 0.
    if (distance < 2e-3) continue;
    const auto objective = [&] {
      double sum = 0;
      for_each_pair(
          [&](const reference::Mlp& d_real, const Doubles& r, const reference::Mlp& d_fake, const Doubles& f) {
            sum += reference::discriminator_loss(o.loss, d_real.forward(r)[0], d_fake.forward(f)[0]);
            sum += reference::r1_penalty(d_real, o.r1, r) + reference::r1_penalty(d_fake, o.r2, f);
          });
      return sum / rows;
    };
    expect_near(discriminator_gradient(d, o, real, fake, draws), reference::gradient(whole.parameters, objective), 5e-6,
                "gradient of D");
    break;
  }
}

TEST(Dropout, IsNothingInEvaluation) {
  const std::unique_ptr<Device> device = make_cpu_device(1);
  TrainOptions o = dropping();
  const Gan with = make_gan(o, DataShape::grey(small_side), *device);
  o.dropout = o.input_dropout = 0;
  const Gan without = make_gan(o, DataShape::grey(small_side), *device);
  const std::vector<float> x = uniform_floats(count_of(5, with.discriminator.inputs()), 4);
  std::vector<float> logits[2];
  for (const Gan* gan : {&with, &without}) {
    const Network& d = gan->discriminator;
    std::vector<float>& y = logits[gan == &with ? 0 : 1];
    y.resize(5);
    Tape tape = d.make_tape(5, false);
    d.evaluate({1, 5, {0, 5}}, d.parameter_array(), x.data(), tape, y.data());
  }
  EXPECT_EQ(logits[0], logits[1]);
}

TEST(Dropout, NeedsATapeForTrainingAndItsSamples) {
  const std::unique_ptr<Device> device = make_cpu_device(1);
  const std::unique_ptr<Communicator> alone = make_local_communicator();
  Gan gan = make_gan(dropping(), DataShape::grey(small_side), *device);
  Network& d = gan.discriminator;
  const std::vector<float> x(count_of(5, d.inputs()));
  const std::uint64_t step = 0;
  Tape evaluation = d.make_tape(5, false);
  evaluation.set_draws({1, 22, {&step}});
  EXPECT_THROW(d.forward({1, 5, {0, 5}}, x.data(), evaluation), std::logic_error);
  Tape training = d.make_tape(5, false, *alone, 5);
  EXPECT_THROW(d.forward({1, 5, {0, 5}}, x.data(), training), std::logic_error);
  training.set_draws({1, 22, {&step}});
  EXPECT_NO_THROW(d.forward({1, 5, {0, 5}}, x.data(), training));
}

}  // namespace
}  // namespace ganymede::testing
