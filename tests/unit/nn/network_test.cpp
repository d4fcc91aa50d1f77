// Networks as sequences: passes through several layers, initial weights, names and shapes of tensors.
#include "ganymede/network.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "ganymede/error.hpp"
#include "support/reference_gan.hpp"
#include "support/refusal.hpp"

namespace ganymede::testing {
namespace {

using reference::gradient;
using reference::Mlp;

std::vector<std::unique_ptr<Layer>> layers_of(const Mlp& like) {
  std::vector<std::unique_ptr<Layer>> layers;
  for (int l = 0; l < like.layers(); ++l)
    layers.push_back(make_linear(like.width(l), like.width(l + 1),
                                 Activation::named(like.sigma(l).name, static_cast<float>(like.sigma(l).leak))));
  return layers;
}

// A network in float with the parameters of one in double.
Network network_of(Device& device, const Mlp& like) {
  Network network(device, layers_of(like));
  std::vector<float> parameters(like.parameters.begin(), like.parameters.end());
  device.upload(network.parameters(), parameters.data(), parameters.size() * sizeof(float));
  return network;
}

Mlp mlp(std::vector<int> widths, std::vector<reference::Sigma> sigmas, unsigned seed) {
  Mlp result(std::move(widths), std::move(sigmas));
  result.parameters = widen(uniform_floats(result.parameter_count(), seed));
  return result;
}

class Networks : public ::testing::Test {
 protected:
  std::unique_ptr<Device> device_ = make_cpu_device(1);
};

// Σ c·y by all parameters and by the inputs, for a network with a different activation in each layer.
TEST_F(Networks, WholeBackwardPass) {
  Mlp expected = mlp({4, 7, 6, 5, 3}, {{"leaky-relu", 0.2F}, {"tanh"}, {"relu"}, {"sigmoid"}}, 7);
  const int rows = 6;
  const std::vector<float> x = uniform_floats(count_of(rows, 4), 8);
  const std::vector<float> c = uniform_floats(count_of(rows, 3), 9);
  Doubles wide = widen(x);
  ASSERT_GT(expected.distance_to_kink(wide), 1e-3);
  const auto value = [&] {
    const Doubles y = expected.forward(wide);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += static_cast<double>(c[i]) * y[i];
    return sum;
  };

  Network network = network_of(*device_, expected);
  const BatchLayout layout{1, rows, {0, rows}};
  Tape tape = network.make_tape(rows, false);
  DeviceArray<float> input(*device_, x.size());
  input.assign(x.data());
  network.forward(layout, input.data(), tape);
  // From ∂/∂y to δ, the adjoint before the last activation.
  for (std::size_t i = 0; i < c.size(); ++i) tape.delta()[i] = c[i] * tape.output()[i] * (1.0F - tape.output()[i]);
  network.backward(layout, 0, tape);
  DeviceArray<float> to_input(*device_, x.size());
  network.backward_input(layout, 0, tape, Activation{}, nullptr, to_input.data());
  DeviceArray<float> gradients(*device_, network.parameter_count());
  network.gradients(layout, 0, input.data(), tape, nullptr, false, SumTarget{gradients.data()});

  expect_near(gradients.host(), gradient(expected.parameters, value, 1e-4), 5e-6, "parameters");
  expect_near(to_input.host(), gradient(wide, value, 1e-4), 5e-6, "inputs");
}

// The tangent of every layer but the last: d h_l / dε along a direction of the input, for rows in the middle.
TEST_F(Networks, TangentPass) {
  const Mlp expected = mlp({5, 8, 6, 1}, {{"relu"}, {"leaky-relu", 0.3F}, {"identity"}}, 14);
  const int all_rows = 7;
  const int first = 2;
  const int rows = 4;
  const std::vector<float> x = uniform_floats(count_of(all_rows, 5), 12);
  const std::vector<float> v = uniform_floats(count_of(rows, 5), 13);
  ASSERT_GT(expected.distance_to_kink(widen(x)), 1e-4);
  Network network = network_of(*device_, expected);
  Tape tape = network.make_tape(all_rows, true);
  DeviceArray<float> input(*device_, x.size());
  input.assign(x.data());
  DeviceArray<float> direction(*device_, v.size());
  direction.assign(v.data());
  network.forward({1, all_rows, {0, all_rows}}, input.data(), tape);
  network.tangent({1, rows, {0, rows}}, first, direction.data(), tape);

  for (int l = 0; l < 2; ++l) {
    Doubles tangents;
    for (int row = 0; row < rows; ++row) {
      Doubles along = {0.0};
      for (int o = 0; o < expected.width(l + 1); ++o)
        tangents.push_back(gradient(
            along,
            [&] {
              Doubles moved;
              for (int i = 0; i < 5; ++i)
                moved.push_back(static_cast<double>(x[count_of(first + row, 5) + static_cast<std::size_t>(i)]) +
                                along[0] * static_cast<double>(v[count_of(row, 5) + static_cast<std::size_t>(i)]));
              const double a = expected.sums(moved)[static_cast<std::size_t>(l)][static_cast<std::size_t>(o)];
              return expected.sigma(l).value(a);
            },
            1e-5)[0]);
    }
    const std::vector<float> actual(tape.tangent(l), tape.tangent(l) + tangents.size());
    expect_near(actual, tangents, 2e-6, "layer " + std::to_string(l));
  }
}

TEST_F(Networks, InitialWeightsAreGlorotUniform) {
  Network network(*device_, layers_of(Mlp({100, 128, 784}, {{"relu"}, {"sigmoid"}})));
  network.initialise(3, 1);
  const std::vector<Tensor> tensors = network.tensors(network.parameter_array());
  for (std::size_t i = 0; i < tensors.size(); i += 2) {
    const auto fan_out = static_cast<double>(tensors[i].shape[0]);
    const auto fan_in = static_cast<double>(tensors[i].shape[1]);
    const double bound = std::sqrt(6 / (fan_in + fan_out));
    double sum = 0;
    double squares = 0;
    double largest = 0;
    for (const float value : tensors[i].values) {
      const auto w = static_cast<double>(value);
      sum += w;
      squares += w * w;
      largest = std::max(largest, std::abs(w));
    }
    const auto n = static_cast<double>(tensors[i].values.size());
    EXPECT_LE(largest, bound * (1 + 1e-6));
    EXPECT_GT(largest, 0.999 * bound);
    EXPECT_NEAR(sum / n, 0, 5 * bound / std::sqrt(3 * n));  // five standard errors
    EXPECT_NEAR(squares / n, bound * bound / 3, bound * bound * 1.5 / std::sqrt(n));
    // No two weights from one number.
    EXPECT_GT(std::set<float>(tensors[i].values.begin(), tensors[i].values.end()).size(), 0.98 * n);
    for (const float b : tensors[i + 1].values) EXPECT_EQ(b, 0.0F);
  }
}

TEST_F(Networks, InitialWeightsDependOnSeedStreamAndPlace) {
  const auto draw = [&](std::uint64_t seed, std::uint32_t stream, std::vector<int> widths) {
    Network network(*device_, layers_of(Mlp(widths, {{"relu"}, {"identity"}})));
    network.initialise(seed, stream);
    return network.tensors(network.parameter_array());
  };
  const auto base = draw(1, 1, {6, 6, 6});
  EXPECT_EQ(base[0].values, draw(1, 1, {6, 6, 6})[0].values);
  EXPECT_NE(base[0].values, draw(2, 1, {6, 6, 6})[0].values);
  EXPECT_NE(base[0].values, draw(1ULL << 32 | 1, 1, {6, 6, 6})[0].values);
  EXPECT_NE(base[0].values, draw(1, 2, {6, 6, 6})[0].values);
  EXPECT_NE(base[0].values, base[2].values);
  // A layer's weights do not depend on how large the one below is, but for the bound.
  EXPECT_EQ(base[2].values, draw(1, 1, {9, 6, 6})[2].values);
}

// An activation counts as a module of its own, as in nn.Sequential; the identity is none.
TEST_F(Networks, TensorNamesAndShapesArePyTorchs) {
  const Mlp like = mlp({4, 3, 2, 1}, {{"relu"}, {"identity"}, {"sigmoid"}}, 21);
  Network network = network_of(*device_, like);
  const std::vector<Tensor> tensors = network.tensors(network.parameter_array(), "m.");
  const std::vector<std::string> names = {"m.0.weight", "m.0.bias", "m.2.weight", "m.2.bias", "m.3.weight", "m.3.bias"};
  const std::vector<std::vector<std::int64_t>> shapes = {{3, 4}, {3}, {2, 3}, {2}, {1, 2}, {1}};
  std::size_t at = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(tensors[i].name, names[i]);
    EXPECT_EQ(tensors[i].shape, shapes[i]);
    for (const float value : tensors[i].values) EXPECT_EQ(static_cast<double>(value), like.parameters[at++]);
  }
}

TEST_F(Networks, LoadTakesWhatTensorsGives) {
  const Mlp like = mlp({4, 3, 1}, {{"relu"}, {"identity"}}, 22);
  const Network from = network_of(*device_, like);
  Network to(*device_, layers_of(like));
  TensorFile file;
  file.tensors = from.tensors(from.parameter_array());
  std::swap(file.tensors[0], file.tensors[3]);  // found by name, not by place
  to.load(file, "a file");
  EXPECT_EQ(to.parameter_array().host(), from.parameter_array().host());
}

TEST_F(Networks, LoadNamesWhatDoesNotFit) {
  const Mlp like = mlp({4, 3, 1}, {{"relu"}, {"identity"}}, 23);
  Network network = network_of(*device_, like);
  const std::vector<float> before = network.parameter_array().host();
  const auto failure = [&](const TensorFile& from) {
    return refusal(ExitCode::data, [&] { network.load(from, "weights.safetensors"); });
  };
  TensorFile file;
  file.tensors = network.tensors(network.parameter_array());
  TensorFile without = file;
  without.tensors.erase(without.tensors.begin() + 2);
  EXPECT_THAT(failure(without),
              ::testing::AllOf(::testing::HasSubstr("weights.safetensors"), ::testing::HasSubstr("'2.weight'")));
  TensorFile turned = file;
  std::swap(turned.tensors[0].shape[0], turned.tensors[0].shape[1]);
  EXPECT_THAT(failure(turned), ::testing::AllOf(::testing::HasSubstr("'0.weight'"), ::testing::HasSubstr("[4, 3]"),
                                                ::testing::HasSubstr("[3, 4]")));
  EXPECT_EQ(network.parameter_array().host(), before);
}

TEST_F(Networks, LayersMustFitTogether) {
  std::vector<std::unique_ptr<Layer>> layers;
  layers.push_back(make_linear(4, 3, Activation::named("relu")));
  layers.push_back(make_linear(2, 1, Activation::named("identity")));
  EXPECT_THROW(Network(*device_, std::move(layers)), Error);
  EXPECT_THROW(Network(*device_, {}), Error);
}

TEST_F(Networks, SayWhyAPenaltyIsImpossible) {
  const auto obstacle = [&](std::vector<reference::Sigma> sigmas) {
    return Network(*device_, layers_of(Mlp({4, 3, 1}, std::move(sigmas)))).penalty_obstacle();
  };
  EXPECT_EQ(obstacle({{"relu"}, {"identity"}}), "");
  EXPECT_EQ(obstacle({{"leaky-relu", 0.2F}, {"identity"}}), "");
  EXPECT_THAT(obstacle({{"tanh"}, {"identity"}}), ::testing::HasSubstr("tanh"));
  EXPECT_THAT(obstacle({{"relu"}, {"sigmoid"}}), ::testing::HasSubstr("logits"));
}

}  // namespace
}  // namespace ganymede::testing
