// Losses, penalties and whole trainings against PyTorch's autograd and Adam in double precision.
#include <gtest/gtest.h>

#include <algorithm>

#include "gan/gan.hpp"
#include "gan/gradient_penalty.hpp"
#include "gan/losses.hpp"
#include "gan/models/models.hpp"
#include "gan/step.hpp"
#include "math/permutation.hpp"
#include "support/fixtures.hpp"
#include "support/reference_gan.hpp"

namespace ganymede::testing {
namespace {

class PyTorch : public ::testing::Test {
 protected:
  std::unique_ptr<Device> device_ = make_cpu_device(1);
};

// What the trainings below draw, by a second implementation of the generators' definitions.
TEST_F(PyTorch, TrainsOnOurDraws) {
  const nlohmann::json draws = fixture("draws");
  const std::uint64_t seed = draws["seed"];
  for (const nlohmann::json& c : draws["normal"]) {
    const int rows = c["rows"];
    const int columns = c["columns"];
    std::vector<float> z(count_of(rows, columns));
    const std::uint64_t zero = 0;
    device_->draw_normal(seed, c["stream"], {&zero, 0, c["first"]}, rows, columns, z.data());
    expect_near(z, doubles(c["values"]), 1e-6, "normal numbers");
  }
  for (const nlohmann::json& c : draws["uniform"]) {
    const int rows = c["rows"];
    const int columns = c["columns"];
    std::vector<float> z(count_of(rows, columns));
    const std::uint64_t zero = 0;
    device_->draw_uniform(seed, c["stream"], {&zero, 0, c["first"]}, rows, columns, z.data());
    // To the last bit.
    EXPECT_EQ(widen(z), doubles(c["values"]));
  }
  for (const nlohmann::json& c : draws["permutation"]) {
    const std::uint32_t images = c["images"];
    const math::Permutation permutation(seed, c["epoch"], images);
    for (std::uint32_t i = 0; i < images; ++i) EXPECT_EQ(permutation(i), c["values"][i].get<std::uint32_t>());
  }
}

TEST_F(PyTorch, Losses) {
  int seen = 0;
  for (const nlohmann::json& c : fixture("losses")) {
    const GanLoss loss{loss_index(c["loss"]), c["smoothing"].get<float>()};
    const std::vector<float> real = floats(c["real"]);
    const std::vector<float> fake = floats(c["fake"]);
    for (std::size_t i = 0; i < real.size(); ++i) {
      const float logits[2] = {real[i], fake[i]};
      float seeds[2] = {};
      float sums[LossSums::count] = {};
      const auto near = [&](float actual, const char* what) {
        const double expected = c[what][i];
        EXPECT_NEAR(static_cast<double>(actual), expected, 1e-6 * std::abs(expected) + 1e-7) << what << " " << i;
      };
      device_->discriminator_loss(loss, {2, 1, {0, 1}}, {}, logits, 1.0F, seeds, nullptr, false, SumTarget{sums});
      near(sums[LossSums::loss], "discriminator");
      near(seeds[0], "d_real");
      near(seeds[1], "d_fake");
      device_->generator_loss(loss, {2, 1, {0, 1}}, logits, 1.0F, seeds, false, SumTarget{sums});
      near(sums[LossSums::loss], "generator");
      near(seeds[0], "g_real");
      near(seeds[1], "g_fake");
      if (generator_sees_real(loss.kind)) continue;
      device_->generator_loss(loss, {1, 1, {0, 1}}, &fake[i], 1.0F, seeds, false, SumTarget{sums});
      near(sums[LossSums::loss], "generator");
      near(seeds[0], "g_fake");
    }
    ++seen;
  }
  EXPECT_EQ(seen, 9);
}

// Of all families of networks, on every instruction set.
TEST_F(PyTorch, PenaltiesByDoubleBackward) {
  int seen = 0;
  for (const nlohmann::json& c : fixture("penalties"))
    for (const std::string& instruction_set : cpu_instruction_sets()) {
      SCOPED_TRACE(c["options"].dump() + ", " + instruction_set);
      ++seen;
      const std::unique_ptr<Device> device = make_cpu_device(2, instruction_set);
      TrainOptions options = options_of(c["options"]);
      const int rows = c["rows"];
      options.batch = rows;
      Network d(*device, family_named(options.model).discriminator(options, DataShape::grey(c["side"])));
      TensorFile state;
      for (const nlohmann::json& t : c["state"])
        state.tensors.push_back({t["name"], t["shape"].get<std::vector<std::int64_t>>(), floats(t["values"])});
      ASSERT_EQ(d.tensors(d.parameter_array()).size(), state.tensors.size());
      d.load(state, "the fixture");
      const BatchLayout one{1, rows, {0, rows}};

      for (const bool with_loss : {false, true}) {
        GradientPenalties penalties(d, rows, options);
        const BatchLayout pass{penalties.part_count(), rows, {0, rows}};
        std::vector<float> x;
        for (const char* part : {"between", "real", "fake"}) {
          if (part == std::string("between") && !penalties.parts().between) continue;
          const std::vector<float> images = floats(c[part]);
          x.insert(x.end(), images.begin(), images.end());
        }
        Tape tape = d.make_tape(pass.total_rows(), true);
        std::vector<float> sums(LossSums::count);
        DeviceArray<float> gradient(*device, d.parameter_count());
        d.forward(pass, x.data(), tape);
        device->discriminator_loss({loss_index("non-saturating")}, pass, penalties.parts(), tape.output(),
                                   with_loss ? 1.0F / static_cast<float>(rows) : 0.0F, tape.delta(),
                                   penalties.row_scale(), false, SumTarget{sums.data()});
        d.backward(pass, 0, tape);
        penalties.apply(one, x.data(), tape, SumTarget{sums.data()}.at(LossSums::penalty));
        d.gradients(pass, 0, x.data(), tape, penalties.row_scale(), false, SumTarget{gradient.data()});
        const double value = c["penalty"];
        EXPECT_NEAR(static_cast<double>(sums[LossSums::penalty]), value, 2e-6 * value);
        const double loss = with_loss ? c["loss"].get<double>() : 0.0;
        EXPECT_NEAR(static_cast<double>(sums[LossSums::loss]), loss, 2e-6 * loss);
        Doubles expected;
        std::vector<float> found;
        for (const Tensor& t : d.tensors(gradient)) {
          const Doubles of_layer = doubles(c[with_loss ? "gradient" : "penalty_gradient"][t.name]);
          ASSERT_EQ(t.values.size(), of_layer.size());
          expected.insert(expected.end(), of_layer.begin(), of_layer.end());
          found.insert(found.end(), t.values.begin(), t.values.end());
        }
        expect_near(found, expected, 3e-6, with_loss ? "gradient of D" : "gradient of the penalties");
      }
    }
  EXPECT_EQ(seen, static_cast<int>(10 * cpu_instruction_sets().size()));
}

// Single against double precision over fifty steps: 1e-5 is seen. One part in a hundred more of γ, the learning rate,
// 1 - β₁ or 1 - the average's decay gives 1e-2 and above, of 1 - β₂ 6e-5.
constexpr double tolerance = 3e-5;
// Thirty steps with batches of eleven that are normalised, which divides by small deviations: 7e-5 is seen.
constexpr double tolerance_of_convolutions = 2e-4;

// The largest error, as a part of the largest distance that a weight moved: so that a part left untrained, or
// trained with a wrong constant, would show.
double training_error(const std::vector<float>& actual, const Doubles& start, const Doubles& end) {
  EXPECT_EQ(actual.size(), end.size());
  double error = 0;
  double moved = 0;
  for (std::size_t i = 0; i < end.size(); ++i) {
    error = std::max(error, std::abs(static_cast<double>(actual[i]) - end[i]));
    moved = std::max(moved, std::abs(end[i] - start[i]));
  }
  return error / moved;
}

// A network's trained parameters as PyTorch lists them.
std::vector<float> listed(const Network& network, const DeviceArray<float>& flat) {
  std::vector<float> values;
  for (const Tensor& t : network.tensors(flat))
    if (t.name.find("running") == std::string::npos && t.name.find(".0._") == std::string::npos)
      values.insert(values.end(), t.values.begin(), t.values.end());
  return values;
}
std::vector<float> listed(const Network& network) { return listed(network, network.parameter_array()); }

// Each optimiser over twenty updates, as the options make it for G and for D: with its own constants, weight decay,
// schedules, clipped gradients and weights. PyTorch adds 1e-6 to the norm that it divides by, of 3 and more here.
TEST_F(PyTorch, Optimizers) {
  const nlohmann::json cases = fixture("optimizers");
  for (const std::string& name : optimizer_names())
    EXPECT_GE(std::count_if(cases.begin(), cases.end(),
                            [&](const nlohmann::json& c) { return c["options"]["optimizer"] == name; }),
              6)
        << "nothing says whether the rule of " << name << " is right: in tests/fixtures/generate.py name it in "
        << "OPTIMIZERS and give its rule in optimizer_case, PyTorch's own or one in double, and run it";
  int number = 0;
  for (const nlohmann::json& c : cases)
    for (const std::string& instruction_set : cpu_instruction_sets()) {
      SCOPED_TRACE(std::to_string(number++) + ", " + c["options"].dump() + ", " + instruction_set);
      const std::unique_ptr<Device> device = make_cpu_device(1, instruction_set);
      const bool d = c["role"] == "discriminator";
      TrainOptions o = options_of(c["options"]);
      o.latent = 1;
      o.generator_hidden = o.discriminator_hidden = {2};
      o.r1 = 0;
      o.d_steps = 2;
      o.steps = c["gradients"].size() / (d ? 2 : 1);
      check_train_options(o);
      Gan gan = make_gan(o, DataShape::grey(1), *device);
      Optimizer& optimizer = d ? *gan.discriminator_optimizer : *gan.generator_optimizer;
      std::vector<float> p = floats(c["start"]);
      ASSERT_EQ(p.size(), (d ? gan.discriminator : gan.generator).parameter_count());
      for (std::uint64_t i = 0; i < c["gradients"].size(); ++i) {
        const std::vector<float> g = floats(c["gradients"][i]);
        double norm = 0;
        device->sum_of_squares(g.size(), g.data(), &norm);
        const std::uint64_t step = d ? i / 2 : i;
        optimizer.update({&step, d ? 2U : 1U, d ? i % 2 : 0}, &norm, g.data(), p.data(), {});
        if (i % 5 == 4) expect_near(p, doubles(c["parameters"][i / 5]), 2e-6, "parameters");
      }
    }
}

// Fifty steps of a tiny GAN in both schemes, with every loss and penalty, averages, more steps of D: on every
// instruction set, with float sums and with exact ones.
TEST_F(PyTorch, WholeTrainings) {
  const nlohmann::json trainings = fixture("trainings");
  std::vector<std::uint8_t> pixels;
  for (const nlohmann::json& image : trainings["images"])
    for (const nlohmann::json& pixel : image) pixels.push_back(pixel.get<std::uint8_t>());
  const auto labels = trainings["labels"].get<std::vector<std::uint8_t>>();
  ImageSet images;
  images.images = pixels;
  images.labels = labels;
  images.height = images.width = trainings["side"];
  images.count = static_cast<std::uint32_t>(trainings["images"].size());
  const std::unique_ptr<Communicator> alone = make_local_communicator();

  EXPECT_EQ(trainings["cases"].size(), 47U);
  for (const nlohmann::json& c : trainings["cases"])
    for (const std::string& instruction_set : cpu_instruction_sets())
      for (const bool exact : {false, true}) {
        SCOPED_TRACE(c["options"]["name"].get<std::string>() + (exact ? ", exact, " : ", ") + instruction_set);
        TrainOptions options = options_of(c["options"]);
        options.reproducible = exact;
        const std::unique_ptr<Device> device = make_cpu_device(2, instruction_set);
        Gan gan = make_gan(options, images.shape(), *device);
        const Doubles g_start = doubles(c["generator_start"]);
        const Doubles d_start = doubles(c["discriminator_start"]);
        if (options.init == "normal") {
          expect_near(listed(gan.generator), g_start, 1e-6, "initial weights of G");
          expect_near(listed(gan.discriminator), d_start, 1e-6, "initial weights of D");
        } else {
          // To the last bit.
          ASSERT_EQ(widen(listed(gan.generator)), g_start);
          ASSERT_EQ(widen(listed(gan.discriminator)), d_start);
        }

        // Where weights move little, single precision has few digits of how far.
        const double allowed =
            options.model != "mlp" || options.learning_rate < 1e-3 ? tolerance_of_convolutions : tolerance;
        GanStep step(*device, *alone, gan, images, options);
        for (std::uint64_t i = 0; i < options.steps; ++i) step.run(false);

        EXPECT_LT(training_error(listed(gan.generator), g_start, doubles(c["generator"])), allowed);
        EXPECT_LT(training_error(listed(gan.discriminator), d_start, doubles(c["discriminator"])), allowed);
        ASSERT_EQ(gan.average.size() > 0, c.contains("average"));
        if (c.contains("average")) {
          EXPECT_LT(training_error(listed(gan.generator, gan.average), g_start, doubles(c["average"])), allowed);
        }
        // Running statistics; those that the average of G is evaluated with are the same.
        for (const DeviceArray<float>* flat : {&gan.generator.parameter_array(), &gan.picture_parameters()})
          for (const Tensor& t : gan.generator.tensors(*flat))
            if (t.name.find("running") != std::string::npos)
              expect_near(t.values, doubles(c["generator_buffers"][t.name]), 1e-4, t.name);
        ASSERT_EQ(options.spectral_norm, c.contains("singular_vectors"));
        std::size_t vectors = 0;
        for (const Tensor& t : gan.discriminator.tensors(gan.discriminator.parameter_array()))
          if (t.name.find(".0._") != std::string::npos) {
            expect_near(t.values, doubles(c["singular_vectors"][t.name]), 1e-4, t.name);
            ++vectors;
          }
        EXPECT_EQ(vectors, options.spectral_norm ? c["singular_vectors"].size() : 0U);
        const StepMeans means = step.take_means();
        const nlohmann::json& expected = c["means"];
        EXPECT_NEAR(means.discriminator_loss, expected["discriminator_loss"], 1e-5);
        EXPECT_NEAR(means.generator_loss, expected["generator_loss"], 1e-5);
        const double penalty = expected["penalty"];
        EXPECT_NEAR(means.penalty, penalty, 1e-5 * std::max(1.0, penalty));
        EXPECT_NEAR(means.real_accuracy, expected["real_accuracy"], 1e-6);
        EXPECT_NEAR(means.fake_accuracy, expected["fake_accuracy"], 1e-6);
        EXPECT_NEAR(means.real_score, expected["real_score"], 1e-5);
        EXPECT_NEAR(means.fake_score, expected["fake_score"], 1e-5);
      }
}

}  // namespace
}  // namespace ganymede::testing
