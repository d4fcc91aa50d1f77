// Spectral normalisation in D: its gradient through W/σ against finite differences, and what it promises: a D of
// Lipschitz constant 1.
#include <gtest/gtest.h>

#include <cmath>

#include "gan/step.hpp"
#include "ganymede/error.hpp"
#include "support/small_gan.hpp"
#include "unit/gan/discriminator_gradient.hpp"

namespace ganymede::testing {
namespace {

TrainOptions normalised() {
  TrainOptions o = small_options();
  o.spectral_norm = true;
  o.loss = "least-squares";
  o.discriminator_activation = "leaky-relu";
  return o;
}

// W̄ of every layer, from the trainable parameters and singular vectors that are held fixed.
Doubles weights_over_sigma(const reference::Mlp& d, Doubles parameters, const std::vector<float>& vectors) {
  auto vector = vectors.begin();
  for (int l = 0; l < d.layers(); ++l) {
    const auto rows = static_cast<std::size_t>(d.width(l + 1));
    const auto columns = static_cast<std::size_t>(d.width(l));
    const auto u = vector;
    const auto v = u + d.width(l + 1);
    vector = v + d.width(l);
    double* w = parameters.data() + d.offset(l);
    double sigma = 0;
    for (std::size_t i = 0; i < rows * columns; ++i)
      sigma += static_cast<double>(u[static_cast<std::ptrdiff_t>(i / columns)]) * w[i] *
               static_cast<double>(v[static_cast<std::ptrdiff_t>(i % columns)]);
    for (std::size_t i = 0; i < rows * columns; ++i) w[i] /= sigma;
  }
  EXPECT_EQ(vector, vectors.end());
  return parameters;
}

TEST(SpectralNorm, ItsGradientGoesThroughSigma) {
  const std::unique_ptr<Device> device = make_cpu_device(1);
  TrainOptions o = normalised();
  o.r1 = 3;
  for (o.seed = 1;; ++o.seed) {
    ASSERT_LT(o.seed, 1000U);
    Gan gan = make_gan(o, DataShape::grey(small_side), *device);
    Network& d = gan.discriminator;
    const std::vector<float> flat = d.parameter_array().host();
    const auto count = static_cast<std::ptrdiff_t>(d.parameter_count());
    Doubles stored(flat.begin(), flat.begin() + count);
    const std::vector<float> vectors(flat.begin() + count, flat.end());
    reference::Mlp expected = reference_of(d);
    expected.parameters = weights_over_sigma(expected, stored, vectors);
    const auto seed = static_cast<unsigned>(o.seed);
    const std::vector<float> real = uniform_floats(count_of(5, d.inputs()), 2 * seed);
    const std::vector<float> fake = uniform_floats(count_of(5, d.inputs()), 2 * seed + 1);
    if (std::min(expected.distance_to_kink(widen(real)), expected.distance_to_kink(widen(fake))) < 2e-3) continue;
    const auto objective = [&] {
      expected.parameters = weights_over_sigma(expected, stored, vectors);
      return reference::discriminator_objective(expected, o.loss, widen(real), widen(fake)) +
             reference::r1_penalty(expected, o.r1, widen(real));
    };
    expect_near(discriminator_gradient(d, o, real, fake), reference::gradient(stored, objective), 5e-6,
                "gradient of the weights");
    break;
  }
}

// |D(x) - D(y)| ≤ ‖x - y‖ for a D of leaky ReLUs, however far it has been trained: with a rate at which one step of
// the power iteration for each update follows.
TEST(SpectralNorm, KeepsDsSlopeAtOne) {
  const std::unique_ptr<Device> device = make_cpu_device(1);
  const std::unique_ptr<Communicator> alone = make_local_communicator();
  const RandomImages images(60, small_side, 3);
  double steepest = 0;
  for (const bool normalise : {true, false}) {
    TrainOptions o = normalised();
    o.spectral_norm = normalise;
    o.loss = "hinge";
    o.learning_rate = 1e-3;
    o.discriminator_hidden = {24, 16};
    o.batch = 20;
    Gan gan = make_gan(o, images.set().shape(), *device);
    Network& d = gan.discriminator;
    GanStep step(*device, *alone, gan, images.set(), o);
    for (int i = 0; i < 300; ++i) step.run(false);
    const int rows = 400;
    // Pairs that are close and far, in the images' directions and in any.
    std::vector<float> x = uniform_floats(count_of(rows, d.inputs()), 4);
    for (int row = 1; row < rows; row += 2)
      for (int i = 0; i < d.inputs(); ++i) {
        float* at = x.data() + static_cast<std::ptrdiff_t>(row) * d.inputs() + i;
        *at = at[-d.inputs()] + 0.05F * *at;
      }
    std::vector<float> y(static_cast<std::size_t>(rows));
    Tape tape = d.make_tape(rows, false);
    d.evaluate({1, rows, {0, rows}}, d.parameter_array(), x.data(), tape, y.data());
    double slope = 0;
    for (int row = 0; row + 1 < rows; ++row) {
      const Doubles a = row_of(x, row, d.inputs());
      const Doubles b = row_of(x, row + 1, d.inputs());
      double squares = 0;
      for (std::size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
      const double rise = static_cast<double>(y[static_cast<std::size_t>(row)]) -
                          static_cast<double>(y[static_cast<std::size_t>(row) + 1]);
      slope = std::max(slope, std::abs(rise) / std::sqrt(squares));
    }
    if (normalise) {
      EXPECT_LT(slope, 1.01);
      EXPECT_GT(slope, 0.01);
      steepest = slope;
    } else {
      EXPECT_GT(slope, 2 * steepest) << "D would have kept to such slopes by itself";
    }
    // Nobody has normalised another array of weights.
    if (!normalise) continue;
    DeviceArray<float> others(*device, d.parameter_array().size());
    EXPECT_THROW(d.evaluate({1, 1, {0, 1}}, others, x.data(), tape, y.data()), std::logic_error);
  }
}

// What was read from a file is what passes work with, without a step of the power iteration.
TEST(SpectralNorm, IsLoadedAsItWasSaved) {
  const std::unique_ptr<Device> device = make_cpu_device(1);
  TrainOptions o = normalised();
  Gan gan = make_gan(o, DataShape::grey(small_side), *device);
  o.seed = 2;
  Gan other = make_gan(o, DataShape::grey(small_side), *device);
  const std::vector<float> x = uniform_floats(count_of(5, gan.discriminator.inputs()), 4);
  const auto logits = [&](Network& d) {
    std::vector<float> y(5);
    Tape tape = d.make_tape(5, false);
    d.evaluate({1, 5, {0, 5}}, d.parameter_array(), x.data(), tape, y.data());
    return y;
  };
  EXPECT_NE(logits(other.discriminator), logits(gan.discriminator));
  other.load(gan.save(), "memory");
  EXPECT_EQ(logits(other.discriminator), logits(gan.discriminator));
  EXPECT_EQ(other.discriminator.parameter_array().host(), gan.discriminator.parameter_array().host());
}

TEST(SpectralNorm, IsForLayersWhoseRowsAreTheirOutputs) {
  const Weights spectral{Init::normal, true, true};
  EXPECT_THROW(make_linear(4, 8, {}, spectral, {}, ImageShape{2, 2, 2}), std::logic_error);
  Convolution g;
  g.fine_height = g.fine_width = g.coarse_height = g.coarse_width = g.fine_channels = g.coarse_channels = 1;
  EXPECT_THROW(make_transposed_convolution(g, {}, spectral), std::logic_error);
}

}  // namespace
}  // namespace ganymede::testing
