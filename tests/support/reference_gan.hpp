// The oracle of the numerical tests: networks, GAN losses and the R1 penalty in double precision, in plain loops
// that follow the formulas and share nothing with the code under test. Gradients come from central differences
// of these values, so no derivative is written down but σ', which R1's value needs.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/activations.hpp"

namespace ganymede::testing {

using Doubles = std::vector<double>;

inline std::size_t count_of(int rows, int columns) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
}

/// Uniform in (-scale, scale); floats, so that the code under test starts from the very same numbers.
inline std::vector<float> uniform_floats(std::size_t count, unsigned seed, float scale = 1.0F) {
  std::mt19937 generator(seed);
  std::vector<float> values(count);
  for (float& value : values) value = scale * (static_cast<float>(generator() >> 8) * 0x1p-23F - 1.0F);
  return values;
}

inline Doubles widen(const std::vector<float>& values) { return {values.begin(), values.end()}; }

namespace reference {

/// A hidden layer's activation by name; `leak` is that of leaky-relu.
struct Sigma {
  std::string name;
  double leak = 0;

  [[nodiscard]] double value(double a) const { return value_of(name, leak, a); }
  [[nodiscard]] double slope(double a) const { return slope_of(name, leak, value(a)); }
};

/// A fully connected network; parameters flat as ganymede::Network lays them out: each layer's weight
/// [out, in], then its bias [out].
struct Mlp {
  std::vector<int> widths;    // inputs, hidden …, outputs
  std::vector<Sigma> sigmas;  // one per layer
  Doubles parameters;

  Mlp(std::vector<int> all_widths, std::vector<Sigma> all_sigmas)
      : widths(std::move(all_widths)), sigmas(std::move(all_sigmas)), parameters(parameter_count()) {}

  [[nodiscard]] int layers() const { return static_cast<int>(sigmas.size()); }
  [[nodiscard]] int width(int l) const { return widths[static_cast<std::size_t>(l)]; }
  [[nodiscard]] const Sigma& sigma(int l) const { return sigmas[static_cast<std::size_t>(l)]; }
  [[nodiscard]] std::size_t parameter_count() const {
    std::size_t count = 0;
    for (int l = 0; l < layers(); ++l) count += count_of(width(l) + 1, width(l + 1));
    return count;
  }
  /// The first parameter of layer l.
  [[nodiscard]] std::size_t offset(int l) const {
    std::size_t at = 0;
    for (int k = 0; k < l; ++k) at += count_of(width(k) + 1, width(k + 1));
    return at;
  }
  [[nodiscard]] double weight(int l, int out, int in) const {
    return parameters[offset(l) + count_of(out, width(l)) + static_cast<std::size_t>(in)];
  }
  [[nodiscard]] double bias(int l, int out) const {
    return parameters[offset(l) + count_of(width(l + 1), width(l)) + static_cast<std::size_t>(out)];
  }

  /// What every layer computes before its activation, for one sample.
  [[nodiscard]] std::vector<Doubles> sums(Doubles h) const {
    std::vector<Doubles> all;
    for (int l = 0; l < layers(); ++l) {
      Doubles a(static_cast<std::size_t>(width(l + 1)));
      for (int o = 0; o < width(l + 1); ++o) {
        double sum = bias(l, o);
        for (int i = 0; i < width(l); ++i) sum += weight(l, o, i) * h[static_cast<std::size_t>(i)];
        a[static_cast<std::size_t>(o)] = sum;
      }
      h.clear();
      for (const double value : a) h.push_back(sigma(l).value(value));
      all.push_back(std::move(a));
    }
    return all;
  }

  /// Outputs [rows, outputs] of inputs [rows, inputs].
  [[nodiscard]] Doubles forward(const Doubles& x) const {
    Doubles y;
    for_each_row(x, [&](const Doubles& row) {
      const std::vector<Doubles> a = sums(row);
      for (const double value : a.back()) y.push_back(sigmas.back().value(value));
    });
    return y;
  }

  /// ‖∂y/∂x‖² of a network with one output, for one sample: the chain rule from the top.
  [[nodiscard]] double squared_input_gradient(const Doubles& row) const {
    const std::vector<Doubles> a = sums(row);
    Doubles adjoint = {1.0};
    for (int l = layers() - 1; l >= 0; --l) {
      Doubles below(static_cast<std::size_t>(width(l)));
      for (int i = 0; i < width(l); ++i)
        for (int o = 0; o < width(l + 1); ++o)
          below[static_cast<std::size_t>(i)] +=
              weight(l, o, i) * adjoint[static_cast<std::size_t>(o)] *
              sigma(l).slope(a[static_cast<std::size_t>(l)][static_cast<std::size_t>(o)]);
      adjoint = below;
    }
    double sum = 0;
    for (const double g : adjoint) sum += g * g;
    return sum;
  }

  /// The smallest |a| at which a hidden layer of straight lines bends, over all samples: how far any of them is
  /// from a kink, where derivatives do not exist and float and double may see different slopes.
  [[nodiscard]] double distance_to_kink(const Doubles& x) const {
    double least = 1e30;
    for_each_row(x, [&](const Doubles& row) {
      const std::vector<Doubles> a = sums(row);
      for (int l = 0; l < layers(); ++l)
        if (sigma(l).name == "relu" || sigma(l).name == "leaky-relu")
          for (const double value : a[static_cast<std::size_t>(l)]) least = std::min(least, std::abs(value));
    });
    return least;
  }

  void for_each_row(const Doubles& x, const std::function<void(const Doubles&)>& visit) const {
    for (auto row = x.begin(); row != x.end(); row += width(0)) visit(Doubles(row, row + width(0)));
  }
};

inline double softplus(double t) { return std::max(t, 0.0) + std::log1p(std::exp(-std::abs(t))); }

/// D's loss for one pair of logits.
inline double discriminator_loss(const std::string& loss, double real, double fake, double smoothing = 0) {
  if (loss == "least-squares") return 0.5 * std::pow(real - (1 - smoothing), 2) + 0.5 * fake * fake;
  if (loss == "hinge") return std::max(0.0, 1 - real) + std::max(0.0, 1 + fake);
  if (loss == "wasserstein") return fake - real;
  if (loss == "relativistic") return softplus(-(real - fake));
  if (loss != "non-saturating" && loss != "minimax") throw std::invalid_argument("no reference for the loss " + loss);
  return (1 - smoothing) * softplus(-real) + smoothing * softplus(real) + softplus(fake);
}
/// G's loss for one pair; all but one look at the fake logit alone.
inline double generator_loss(const std::string& loss, double real, double fake) {
  if (loss == "minimax") return -softplus(fake);
  if (loss == "least-squares") return 0.5 * (fake - 1) * (fake - 1);
  if (loss == "hinge" || loss == "wasserstein") return -fake;
  if (loss == "relativistic") return softplus(-(fake - real));
  if (loss != "non-saturating") throw std::invalid_argument("no reference for the loss " + loss);
  return softplus(-fake);
}
/// What D is right about.
inline bool right_on_real(const std::string& loss, double real, double fake) {
  if (loss == "wasserstein" || loss == "relativistic") return real > fake;
  return real > (loss == "least-squares" ? 0.5 : 0);
}
inline bool right_on_fake(const std::string& loss, double real, double fake) {
  if (loss == "wasserstein" || loss == "relativistic") return real > fake;
  return fake < (loss == "least-squares" ? 0.5 : 0);
}

/// Mean of D's loss over the batch.
inline double discriminator_objective(const Mlp& d, const std::string& loss, const Doubles& real, const Doubles& fake,
                                      double smoothing = 0) {
  const Doubles r = d.forward(real);
  const Doubles f = d.forward(fake);
  double sum = 0;
  for (std::size_t i = 0; i < r.size(); ++i) sum += discriminator_loss(loss, r[i], f[i], smoothing);
  return sum / static_cast<double>(r.size());
}

/// Mean over the rows of `value` of ‖∇ₓD‖².
inline double penalty(const Mlp& d, const Doubles& x, const std::function<double(double)>& value) {
  double sum = 0;
  int rows = 0;
  d.for_each_row(x, [&](const Doubles& row) {
    sum += value(d.squared_input_gradient(row));
    ++rows;
  });
  return sum / rows;
}

/// γ/2 · mean ‖∇ₓD‖²: R1 on real images, R2 on generated ones.
inline double r1_penalty(const Mlp& d, double gamma, const Doubles& x) {
  return penalty(d, x, [&](double squared) { return gamma / 2 * squared; });
}
/// WGAN-GP's λ · mean (‖∇ₓD‖ - 1)².
inline double unit_norm_penalty(const Mlp& d, double lambda, const Doubles& x) {
  return penalty(d, x, [&](double squared) { return lambda * std::pow(std::sqrt(squared) - 1, 2); });
}

/// Mean of G's loss over the batch; `real` are images that D sees beside.
inline double generator_objective(const Mlp& g, const Mlp& d, const std::string& loss, const Doubles& real,
                                  const Doubles& z) {
  const Doubles f = d.forward(g.forward(z));
  const Doubles r = d.forward(real);
  double sum = 0;
  for (std::size_t i = 0; i < f.size(); ++i) sum += generator_loss(loss, r[i], f[i]);
  return sum / static_cast<double>(f.size());
}

/// ∂value/∂at by central differences: `at` is changed in place and put back. Fourth order, so that with
/// h = 1e-4 some eleven digits hold; a kink within 2h would spoil it, and the tests keep clear of that.
inline Doubles gradient(Doubles& at, const std::function<double()>& value, double h = 1e-4) {
  Doubles result;
  for (double& element : at) {
    const double kept = element;
    const auto shifted = [&](double by) {
      element = kept + by;
      return value();
    };
    result.push_back((8 * (shifted(h) - shifted(-h)) - (shifted(2 * h) - shifted(-2 * h))) / (12 * h));
    element = kept;
  }
  return result;
}

}  // namespace reference

/// Element-wise within `relative` of the largest magnitude expected.
inline void expect_near(const std::vector<float>& actual, const Doubles& expected, double relative,
                        const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double scale = 1e-30;
  for (const double value : expected) scale = std::max(scale, std::abs(value));
  for (std::size_t i = 0; i < actual.size(); ++i)
    ASSERT_NEAR(static_cast<double>(actual[i]), expected[i], relative * scale) << what << ", element " << i;
}

}  // namespace ganymede::testing
