// Every pass of the fully connected layer against PyTorch's values, for each activation; then whole networks of
// convolutions and batch normalisation, in training and in evaluation.
#include <gtest/gtest.h>

#include "gan/models/models.hpp"
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
    const Pass pass{*device, layout, parameters.data()};
    layer->forward(pass, x.data(), y.data());
    expect_near(y, doubles(c["forward"]), 1e-6, name + " forward");

    std::vector<float> ty(count_of(rows, out));
    layer->tangent(pass, tangent.data(), y.data(), ty.data());
    expect_near(ty, doubles(c["forward_tangent"]), 2e-6, name + " tangent");

    std::vector<float> delta_in(count_of(rows, in));
    layer->backward_data(pass, delta.data(), activation, below.data(), delta_in.data());
    expect_near(delta_in, doubles(c["backward_data"]), 2e-6, name + " backward data");

    std::vector<float> gradient(parameters.size());
    layer->gradients(pass, below.data(), delta.data(), nullptr, false, SumTarget{gradient.data()});
    Doubles expected = doubles(c["weight_gradient"]);
    const Doubles biases = doubles(c["bias_gradient"]);
    expected.insert(expected.end(), biases.begin(), biases.end());
    expect_near(gradient, expected, 2e-6, name + " gradient");
    ++seen;
  }
  EXPECT_EQ(seen, 5);
}

// The networks that the options make take PyTorch's state_dict as it is, and give back its outputs, gradients and
// running statistics; on every instruction set, as one batch and in two parts that are normalised apart.
TEST(PyTorch, Networks) {
  const std::unique_ptr<Communicator> alone = make_local_communicator();
  int seen = 0;
  for (const nlohmann::json& c : fixture("networks"))
    for (const std::string& instruction_set : cpu_instruction_sets()) {
      SCOPED_TRACE(c["options"].dump() + ", " + c["role"].get<std::string>() + ", " + instruction_set);
      ++seen;
      const std::unique_ptr<Device> device = make_cpu_device(2, instruction_set);
      const TrainOptions o = options_of(c["options"]);
      const bool generator = c["role"] == "generator";
      const Family& family = family_named(o.model);
      DataShape data = DataShape::grey(c["side"]);
      if (o.condition != "none") data.classes = c["classes"];
      Network network(*device, generator ? family.generator(o, data) : family.discriminator(o, data));
      TensorFile state;
      for (const nlohmann::json& t : c["state"])
        state.tensors.push_back({t["name"], t["shape"].get<std::vector<std::int64_t>>(), floats(t["values"])});
      EXPECT_EQ(network.tensors(network.parameter_array()).size(), state.tensors.size());

      const int rows = c["rows"];
      const std::vector<float> x = floats(c["x"]);
      const std::vector<float> adjoint = floats(c["adjoint"]);
      const auto labels = c["labels"].get<std::vector<std::uint8_t>>();
      const Doubles output = doubles(c["output"]);
      for (const int parts : {1, 2}) {
        network.load(state, "the fixture");
        const BatchLayout layout{parts, rows, {0, rows}};
        Tape tape = network.make_tape(layout.total_rows(), false, *alone, rows);
        const auto repeated = [&](const auto& values) {
          auto all = values;
          for (int p = 1; p < parts; ++p) all.insert(all.end(), values.begin(), values.end());
          return all;
        };
        // The other part has other numbers, so that it would show if one saw the other's statistics.
        std::vector<float> input = repeated(x);
        for (std::size_t i = x.size(); i < input.size(); ++i) input[i] = 0.5F * input[i] + 0.25F;
        const std::vector<std::uint8_t> all_labels = repeated(labels);
        tape.set_labels(all_labels.data());
        network.forward(layout, input.data(), tape);
        const std::vector<float> y(tape.output(), tape.output() + output.size());
        expect_near(y, output, 5e-6, "output");
        for (std::size_t i = 0; i < output.size(); ++i)
          tape.delta()[i] = generator ? adjoint[i] * y[i] * (1 - y[i]) : adjoint[i];
        const BatchLayout one{1, rows, {0, rows}};
        network.backward(one, 0, tape);
        std::vector<float> input_gradient(x.size());
        network.backward_input(one, 0, tape, {}, nullptr, input_gradient.data());
        expect_near(input_gradient, doubles(c["input_gradient"]), 2e-5, "gradient of the input");
        DeviceArray<float> gradient(*device, network.parameter_count());
        network.gradients(one, 0, input.data(), tape, nullptr, false, SumTarget{gradient.data()});
        device->copy(gradient.data(), network.parameter_gradient(gradient.data()), gradient.bytes());
        for (const Tensor& t : network.tensors(gradient))
          expect_near(t.values, doubles(c["gradients"][t.name]), 2e-5, "gradient of " + t.name);
        if (parts == 2) continue;
        int buffers = 0;
        for (const Tensor& t : network.tensors(network.parameter_array()))
          if (c["buffers"].contains(t.name)) {
            expect_near(t.values, doubles(c["buffers"][t.name]), 2e-6, t.name);
            ++buffers;
          }
        EXPECT_EQ(buffers, static_cast<int>(c["buffers"].size()));
        Tape evaluation = network.make_tape(rows, false);
        evaluation.set_labels(labels.data());
        std::vector<float> evaluated(output.size());
        network.evaluate(one, network.parameter_array(), x.data(), evaluation, evaluated.data());
        expect_near(evaluated, doubles(c["evaluated"]), 5e-6, "output of evaluation");
      }
    }
  EXPECT_EQ(seen, static_cast<int>(30 * cpu_instruction_sets().size()));
}

}  // namespace
}  // namespace ganymede::testing
