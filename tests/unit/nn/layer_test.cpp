// Every pass of the fully connected layer, for each activation, against central differences of the reference.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "ganymede/network.hpp"
#include "support/reference_gan.hpp"

namespace ganymede::testing {
namespace {

using reference::gradient;
using reference::Mlp;
using reference::Sigma;

struct Case {
  const char* activation;
  float parameter;
};

// Shapes around the kernels' tiles, with one output (its own code) among them.
struct Shape {
  int rows, in, out;
};
const std::vector<Shape> shapes = {{1, 1, 1}, {5, 7, 1}, {3, 4, 9}, {13, 18, 33}};

class EveryActivation : public ::testing::TestWithParam<Case> {
 protected:
  [[nodiscard]] Activation activation() const { return Activation::named(GetParam().activation, GetParam().parameter); }
  [[nodiscard]] Sigma sigma() const { return {GetParam().activation, static_cast<double>(GetParam().parameter)}; }

  std::unique_ptr<Device> device_ = make_cpu_device(1);
};

// One layer in float and the same in double, with inputs and adjoints of every pass.
struct Setting {
  Setting(Device& device, const Shape& s, Activation activation, const Sigma& sigma)
      : layer(make_linear(s.in, s.out, activation)),
        layout{1, s.rows, {0, s.rows}},
        expected({s.in, s.out}, {sigma}),
        parameters(uniform_floats(expected.parameter_count(), 1)),
        x(uniform_floats(count_of(s.rows, s.in), 2)),
        delta(uniform_floats(count_of(s.rows, s.out), 3)),
        direction(uniform_floats(count_of(s.rows, s.in), 4)),
        scale(uniform_floats(static_cast<std::size_t>(s.rows), 5)),
        w(to(device, parameters)) {
    expected.parameters = widen(parameters);
  }
  static DeviceArray<float> to(Device& device, const std::vector<float>& values) {
    DeviceArray<float> array(device, values.size());
    array.assign(values.data());
    return array;
  }

  [[nodiscard]] Pass pass(Device& device) const { return {device, layout, w.data()}; }

  std::unique_ptr<Layer> layer;
  BatchLayout layout;
  Mlp expected;
  std::vector<float> parameters, x, delta, direction, scale;
  DeviceArray<float> w;
};

TEST_P(EveryActivation, Forward) {
  for (const Shape& s : shapes) {
    Setting t(*device_, s, activation(), sigma());
    const DeviceArray<float> x = Setting::to(*device_, t.x);
    DeviceArray<float> y(*device_, count_of(s.rows, s.out));
    t.layer->forward(t.pass(*device_), x.data(), y.data());
    expect_near(y.host(), t.expected.forward(widen(t.x)), 1e-6, "y");
  }
}

TEST_P(EveryActivation, Tangent) {
  for (const Shape& s : shapes) {
    Setting t(*device_, s, activation(), sigma());
    ASSERT_GT(t.expected.distance_to_kink(widen(t.x)), 1e-4);
    const DeviceArray<float> x = Setting::to(*device_, t.x);
    const DeviceArray<float> tx = Setting::to(*device_, t.direction);
    DeviceArray<float> y(*device_, count_of(s.rows, s.out));
    DeviceArray<float> ty(*device_, count_of(s.rows, s.out));
    t.layer->forward(t.pass(*device_), x.data(), y.data());
    t.layer->tangent(t.pass(*device_), tx.data(), y.data(), ty.data());

    // dy/dε of y(x + ε·direction), one output at a time.
    Doubles expected;
    Doubles along = {0.0};
    for (std::size_t i = 0; i < y.size(); ++i)
      expected.push_back(gradient(
          along,
          [&] {
            Doubles moved = widen(t.x);
            for (std::size_t j = 0; j < moved.size(); ++j) moved[j] += along[0] * static_cast<double>(t.direction[j]);
            return t.expected.forward(moved)[i];
          },
          1e-6)[0]);
    expect_near(ty.host(), expected, 2e-6, "ty");
  }
}

// δ below is the gradient of Σ δ·(W·σ(a) + b) by a, the sums of the layer below, whose activation is σ.
TEST_P(EveryActivation, BackwardData) {
  for (const Shape& s : shapes) {
    Setting t(*device_, s, Activation::named("identity"), {"identity"});
    Doubles a = widen(t.x);
    for (double& sum : a) sum += std::copysign(0.01, sum);  // clear of the kink
    const Sigma below = sigma();
    const auto value = [&] {
      Doubles h;
      for (const double sum : a) h.push_back(below.value(sum));
      const Doubles y = t.expected.forward(h);
      double total = 0;
      for (std::size_t i = 0; i < y.size(); ++i) total += static_cast<double>(t.delta[i]) * y[i];
      return total;
    };
    std::vector<float> h;
    for (const double sum : a) h.push_back(static_cast<float>(below.value(sum)));
    const DeviceArray<float> x = Setting::to(*device_, h);
    const DeviceArray<float> delta = Setting::to(*device_, t.delta);
    DeviceArray<float> delta_in(*device_, x.size());
    t.layer->backward_data(t.pass(*device_), delta.data(), activation(), x.data(), delta_in.data());
    expect_near(delta_in.host(), gradient(a, value, 1e-5), 2e-6, "delta_in");
  }
}

// δ is the adjoint before the activation, so gradients of weights and biases are those of Σ δ·(W·x + b): the
// same for every activation.
TEST(Linear, BackwardWeightsAndBiases) {
  const std::unique_ptr<Device> device = make_cpu_device(1);
  for (const Shape& s : shapes) {
    Setting t(*device, s, Activation::named("relu"), {"identity"});
    for (const bool scaled : {false, true}) {
      const auto value = [&] {
        // Row scales weigh the biases alone: W·x with the rows' own δ, b with scale·δ.
        Doubles y = t.expected.forward(widen(t.x));
        double total = 0;
        for (int row = 0; row < s.rows; ++row)
          for (int o = 0; o < s.out; ++o) {
            const std::size_t i = count_of(row, s.out) + static_cast<std::size_t>(o);
            const double b = t.expected.bias(0, o);
            const double weigh = scaled ? static_cast<double>(t.scale[static_cast<std::size_t>(row)]) : 1.0;
            total += static_cast<double>(t.delta[i]) * (y[i] - b + weigh * b);
          }
        return total;
      };
      const DeviceArray<float> x = Setting::to(*device, t.x);
      const DeviceArray<float> delta = Setting::to(*device, t.delta);
      const DeviceArray<float> scale = Setting::to(*device, t.scale);
      DeviceArray<float> sum(*device, t.parameters.size());
      const SumTarget target{sum.data()};
      t.layer->gradients(t.pass(*device), x.data(), delta.data(), scaled ? scale.data() : nullptr, false, target);
      Doubles expected = gradient(t.expected.parameters, value);
      expect_near(sum.host(), expected, 2e-6, "gradient");

      // Once more on top of it.
      t.layer->gradients(t.pass(*device), x.data(), delta.data(), scaled ? scale.data() : nullptr, true, target);
      for (double& g : expected) g *= 2;
      expect_near(sum.host(), expected, 2e-6, "accumulated gradient");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layer, EveryActivation,
                         ::testing::Values(Case{"identity", 0}, Case{"relu", 0}, Case{"leaky-relu", 0.2F},
                                           Case{"sigmoid", 0}, Case{"tanh", 0}),
                         [](const auto& info) {
                           const std::string name = info.param.activation;
                           return name == "leaky-relu" ? "leaky_relu" : name;
                         });

}  // namespace
}  // namespace ganymede::testing
