// Every pass of the fully connected layer against PyTorch's values, for each activation.
#include <gtest/gtest.h>

#include "ganymede/network.hpp"
#include "support/fixtures.hpp"
#include "support/reference_gan.hpp"

namespace ganymede::testing {
namespace {

TEST(PyTorch, LayerPasses) {
  const std::unique_ptr<Device> device = make_cpu_device(1);
  int seen = 0;
  for (const nlohmann::json& c : fixture("layers")) {
    const std::string name = c["activation"];
    const Activation activation = Activation::named(name, c["leak"].get<float>());
    const int rows = c["rows"];
    const int in = c["inputs"];
    const int out = c["outputs"];
    const std::unique_ptr<Layer> layer = make_linear(in, out, activation);
    const BatchLayout layout{1, rows, {0, rows}};
    std::vector<float> parameters = floats(c["weight"]);
    const std::vector<float> bias = floats(c["bias"]);
    parameters.insert(parameters.end(), bias.begin(), bias.end());
    const std::vector<float> x = floats(c["x"]);
    const std::vector<float> delta = floats(c["delta"]);
    const std::vector<float> tangent = floats(c["tangent"]);
    const std::vector<float> below = floats(c["below"]);

    std::vector<float> y(count_of(rows, out));
    layer->forward(*device, layout, parameters.data(), x.data(), y.data());
    expect_near(y, doubles(c["forward"]), 1e-6, name + " forward");

    std::vector<float> ty(count_of(rows, out));
    layer->tangent(*device, layout, parameters.data(), tangent.data(), y.data(), ty.data());
    expect_near(ty, doubles(c["forward_tangent"]), 2e-6, name + " tangent");

    std::vector<float> delta_in(count_of(rows, in));
    layer->backward_data(*device, layout, parameters.data(), delta.data(), activation, below.data(), delta_in.data());
    expect_near(delta_in, doubles(c["backward_data"]), 2e-6, name + " backward data");

    std::vector<float> gradient(parameters.size());
    layer->gradients(*device, layout, below.data(), delta.data(), nullptr, false, SumTarget{gradient.data()});
    Doubles expected = doubles(c["weight_gradient"]);
    const Doubles biases = doubles(c["bias_gradient"]);
    expected.insert(expected.end(), biases.begin(), biases.end());
    expect_near(gradient, expected, 2e-6, name + " gradient");
    ++seen;
  }
  EXPECT_EQ(seen, 5);
}

}  // namespace
}  // namespace ganymede::testing
