// The real cuDNN finds an engine for every convolution that shipped networks do, on every generation of GPUs, where
// there is no GPU: it plans for the ones that gpus/ describes. (Written from published figures, in the form that
// CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION has on a GPU.) That proves what is supported and how; not results or speed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "cli/train_arguments.hpp"
#include "device/cuda/alignment.hpp"
#include "device/cuda/cudnn.hpp"
#include "eval/judge.hpp"
#include "gan/models/models.hpp"
#include "gan/sampler.hpp"
#include "gan/step.hpp"
#include "ganymede/error.hpp"
#include "quality/forwarding_device.hpp"
#include "support/small_gan.hpp"
#include "train/diagnostics.hpp"

namespace ganymede::testing {
namespace {

using cuda::ConvolutionPass;
using cuda::ConvolutionTask;
using cuda::Cudnn;
using ::testing::HasSubstr;

/// A convolution, and the first network that does it.
using Tasks = std::map<ConvolutionTask, std::string>;

/// Takes notes of convolutions, of float32 and of bfloat16, and does no products at all.
class NotingDevice : public quality::ForwardingDevice {
 public:
  NotingDevice(Device& to, Tasks& tasks) : ForwardingDevice(to), tasks_(tasks) {}
  void called(const std::string& network) { network_ = network; }

  [[nodiscard]] bool rounds() const override { return true; }
  void convolve(const Convolution& geometry, int rows, const float* fine, const float* w, const Finish& /*finish*/,
                float* coarse, const Rounded& rounded) override {
    note({ConvolutionPass::coarse, geometry, rows}, fine, w, coarse, rounded);
  }
  void convolve_transposed(const Convolution& geometry, int rows, const float* coarse, const float* w,
                           const Finish& /*finish*/, float* fine, const Rounded& rounded) override {
    note({ConvolutionPass::fine, geometry, rows}, fine, w, coarse, rounded);
  }
  void convolution_gradients(const BatchLayout& layout, const Convolution& geometry, const float* fine,
                             const float* coarse, bool accumulate, SumTarget dw, const Rounded& rounded) override {
    note({ConvolutionPass::weights, geometry, layout.total_rows(), accumulate}, fine, dw.values, coarse, rounded);
  }
  void affine_forward(int /*rows*/, int /*in*/, int /*out*/, const float* /*x*/, const float* /*w*/, const float* /*b*/,
                      Activation /*sigma*/, float* /*y*/, const Rounded& /*rounded*/) override {}
  void affine_tangent(int /*rows*/, int /*in*/, int /*out*/, const float* /*tx*/, const float* /*w*/,
                      Activation /*sigma*/, const float* /*y*/, float* /*ty*/, const Rounded& /*rounded*/) override {}
  void affine_backward_data(int /*rows*/, int /*in*/, int /*out*/, const float* /*delta*/, const float* /*w*/,
                            Activation /*below*/, const float* /*x*/, float* /*delta_in*/,
                            const Rounded& /*rounded*/) override {}
  void affine_gradients(const BatchLayout& /*layout*/, int /*in*/, int /*out*/, const float* /*x*/,
                        const float* /*delta*/, const float* /*row_scale*/, bool /*accumulate*/, SumTarget /*dw*/,
                        SumTarget /*db*/, const Rounded& /*rounded*/) override {}

 private:
  void note(ConvolutionTask task, const void* fine, const void* weights, const void* coarse, const Rounded& rounded) {
    task.alignment = cuda::alignment_of(fine, weights, coarse, 16);
    tasks_.try_emplace(task, network_);
    if (rounded.room == nullptr) return;
    // In the room each array begins at a multiple of 16 bytes; only weights lie where they do.
    task.alignment = cuda::alignment_of(rounded.room, rounded.weights, nullptr, 16);
    task.precision = Precision::bfloat16;
    task.accumulate = false;
    tasks_.try_emplace(task, network_);
  }
  Tasks& tasks_;
  std::string network_;
};

/// What a training draws of its generator and looks at besides its steps: pictures, diagnoses, blocks of an evaluation.
void look(Gan& gan, const TrainOptions& options, const ImageSet& images, Communicator& ranks) {
  Sampler sampler(gan.generator, options, gan.data.classes);
  const int last_block = static_cast<int>(options.eval_samples % eval::most_block_images);
  for (const int count : {options.sample_count, eval::most_block_images, last_block})
    sampler.draw(gan.picture_parameters(), options.seed, math::Stream::noise_for_grid, 0, count);
  Diagnostics diagnostics(options, gan, images, images, false, ranks);
  diagnostics.before_step(0);
  MetricsRecord record;
  diagnostics.measure(1, record);
}

/// The training that this command line asks for: a step, whole and in two slices, and what it looks at.
void train(NotingDevice& device, const std::vector<std::string>& words) {
  const cli::CommandSyntax syntax{"train", "", "", cli::train_arguments()};
  TrainOptions options = cli::resolve_train_options(cli::parse_command_line(syntax, words)).options;
  // The same convolutions as in any other step.
  options.d_steps = 1;
  options.d_burst = 0;
  RandomImages images(Diagnostics::compared, 28, 1);
  ImageSet set = images.set();
  std::vector<std::uint8_t> labels(set.count);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::uint8_t>(i % 10);
  set.labels = is_conditional(options) ? std::span(labels) : std::span<const std::uint8_t>();
  set.channels = options.stack;
  const std::unique_ptr<Communicator> alone = make_local_communicator();
  for (const int slice : {0, options.batch / 2}) {
    options.micro_batch = slice;
    Gan gan = make_gan(options, set.shape(), device);
    GanStep step(device, *alone, gan, set, options);
    step.run(false);
    step.settle();
    if (slice == 0) look(gan, options, set, *alone);
  }
}

/// Of all that is shipped and has convolutions.
const Tasks& shipped() {
  static const Tasks all = [] {
    Tasks tasks;
    const std::unique_ptr<Device> cpu = make_cpu_device(1);
    NotingDevice device(*cpu, tasks);
    for (const cli::Recipe& recipe : cli::all_recipes()) {
      device.called(recipe.name);
      train(device, {"--recipe", recipe.name});
    }
    device.called("wgan with --model dcgan");
    train(device, {"--recipe", "wgan", "--model", "dcgan"});
    // CONVOLUTIONS of tests/bench/peers/compare.py.
    device.called("the network that peers are compared on");
    train(device, {"--recipe", "dcgan", "--kernel", "4", "--fully-connected", "0", "--condition", "none",
                   "--generator-norm", "none", "--discriminator-norm", "none"});
    device.called("the judge");
    eval::Judge judge(device);
    const std::vector<std::uint8_t> images(100 * 28 * 28);
    std::vector<float> features(100 * eval::Judge::features);
    std::vector<float> logits(100 * eval::Judge::classes);
    judge.look_at(images.data(), 100, features.data(), logits.data());
    return tasks;
  }();
  return all;
}

std::string text(const ConvolutionTask& task) {
  const Convolution& g = task.geometry;
  const auto grid = [](int height, int width, int channels) {
    return std::to_string(height) + "×" + std::to_string(width) + "×" + std::to_string(channels);
  };
  const std::string fine = grid(g.fine_height, g.fine_width, g.fine_channels);
  const std::string coarse = grid(g.coarse_height, g.coarse_width, g.coarse_channels);
  return (task.pass == ConvolutionPass::coarse ? fine + " → " + coarse
          : task.pass == ConvolutionPass::fine ? coarse + " → " + fine
                                               : "weights of " + fine + " → " + coarse) +
         ", " + std::to_string(task.rows) + " rows, kernel " + std::to_string(g.kernel) + ", stride " +
         std::to_string(g.stride) + (task.accumulate ? ", added" : "") + ", alignment " +
         std::to_string(task.alignment);
}

std::string description(const std::string& gpu) {
  std::ifstream file(std::string(GANYMEDE_GPUS) + "/" + gpu + ".json");
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

// What is planned below is what it is meant to be.
TEST(ShippedConvolutions, AreAllNoted) {
  std::set<int> channels, kernels, strides;
  std::set<ConvolutionPass> passes;
  std::set<bool> accumulate;
  std::set<std::string> networks;
  std::set<int> drawn, looked_at;
  for (const auto& [task, network] : shipped()) {
    channels.insert({task.geometry.fine_channels, task.geometry.coarse_channels});
    kernels.insert(task.geometry.kernel);
    strides.insert(task.geometry.stride);
    passes.insert(task.pass);
    networks.insert(network);
    if (network == "modern" && task.pass == ConvolutionPass::fine) drawn.insert(task.rows);
    if (network == "modern" && task.pass == ConvolutionPass::coarse) looked_at.insert(task.rows);
    if (task.pass == ConvolutionPass::weights) accumulate.insert(task.accumulate);
  }
  EXPECT_THAT(channels, ::testing::IsSupersetOf({1, 11, 16, 32, 64, 74, 128}));
  EXPECT_THAT(kernels, ::testing::IsSupersetOf({3, 4, 5}));
  EXPECT_EQ(strides, (std::set<int>{1, 2}));
  EXPECT_EQ(passes.size(), 3U);
  EXPECT_EQ(accumulate.size(), 2U);
  EXPECT_THAT(networks, ::testing::IsSupersetOf({"dcgan", "modern", "wgan with --model dcgan", "the judge",
                                                 "the network that peers are compared on"}));
  // Pictures, blocks of an evaluation, diagnoses.
  EXPECT_THAT(drawn, ::testing::IsSupersetOf({100, 256, 10000 % 256, Diagnostics::samples}));
  EXPECT_THAT(looked_at, ::testing::IsSupersetOf({Diagnostics::samples}));
}

class Plans : public ::testing::TestWithParam<const char*> {
 protected:
  /// Those of all shipped convolutions on this GPU.
  static std::vector<Cudnn::Plan> plans(Precision precision, const char* name) {
    Cudnn cudnn(description(GetParam()));
    std::vector<Cudnn::Plan> result;
    std::size_t most = 0;
    Tasks tasks = shipped();
    // What 3 and 8 ranks have each; on one GPU, for the time that it takes.
    if (GetParam() == std::string("H100"))
      for (const auto& [whole, network] : shipped())
        for (const int ranks : {3, 8}) {
          ConvolutionTask share = whole;
          share.rows = whole.rows / ranks;
          tasks.try_emplace(share, network);
        }
    for (const auto& [noted, network] : tasks) {
      ConvolutionTask task = noted;
      if ((task.precision == Precision::bfloat16) != (precision == Precision::bfloat16)) continue;
      task.precision = precision;
      result.push_back(cudnn.plan(task));
      const Cudnn::Plan& plan = result.back();
      EXPECT_TRUE(plan.engine != nullptr || !plan.refusal.empty());
      // A T4 is older than bfloat16.
      if (GetParam() != std::string("T4") || precision != Precision::bfloat16) {
        EXPECT_NE(plan.engine, nullptr) << network << ": " << text(task) << "\n" << plan.refusal;
      }
      EXPECT_FALSE(plan.notes.any_order) << text(task);
      EXPECT_FALSE(plan.notes.narrow_sums) << text(task);
      EXPECT_LE(plan.workspace, Cudnn::most_workspace) << text(task);
      most = std::max(most, plan.workspace);
    }
    std::cout << result.size() << " convolutions in " << name << ", workspaces of up to " << (most >> 20) << " MiB\n";
    EXPECT_GT(result.size(), 100U);
    return result;
  }
  static std::size_t on_tensor_cores(const std::vector<Cudnn::Plan>& plans) {
    return static_cast<std::size_t>(
        std::count_if(plans.begin(), plans.end(), [](const Cudnn::Plan& plan) { return plan.notes.tensor_cores; }));
  }
};

TEST_P(Plans, OfFloat32RoundNothing) {
  for (const Cudnn::Plan& plan : plans(Precision::float32, "float32")) {
    EXPECT_FALSE(plan.notes.tensor_cores);
    EXPECT_FALSE(plan.notes.converts_inputs);
  }
}

// Which a T4 has for narrower numbers alone.
TEST_P(Plans, OfTf32UseTensorCores) {
  const std::vector<Cudnn::Plan> all = plans(Precision::tf32, "TF32");
  const std::size_t used = on_tensor_cores(all);
  EXPECT_EQ(used > all.size() / 4, GetParam() != std::string("T4")) << used << " of " << all.size();
}

TEST_P(Plans, OfBfloat16UseTensorCores) {
  const std::vector<Cudnn::Plan> all = plans(Precision::bfloat16, "bfloat16");
  if (GetParam() == std::string("T4")) {
    for (const Cudnn::Plan& plan : all) EXPECT_EQ(plan.engine, nullptr);
    EXPECT_THAT(all.front().refusal, HasSubstr("proposes no engine"));
  } else {
    EXPECT_GT(on_tensor_cores(all), all.size() / 2);
  }
}

INSTANTIATE_TEST_SUITE_P(Cudnn, Plans, ::testing::Values("T4", "A100", "L40S", "H100", "B200"),
                         [](const auto& info) { return std::string(info.param); });

// By itself, for what CMakeLists.txt puts in the real library's place.
TEST(Cudnn, PlansAConvolution) {
  Cudnn cudnn(description("H100"));
  EXPECT_NE(cudnn.plan({ConvolutionPass::coarse, {28, 28, 1, 14, 14, 64, 4, 2, 1}, 8}).engine, nullptr);
}

// Without a description: here there is a GPU only where CMakeLists.txt puts live_cudnn.cpp in the real library's place.
TEST(Cudnn, PlansForTheGpuThatIsThere) {
  std::optional<Cudnn> cudnn;
  try {
    cudnn.emplace(cudaStream_t{});
  } catch (const Error&) {
    GTEST_SKIP() << "there is no GPU";
  }
  const Cudnn::Plan plan = cudnn->plan({ConvolutionPass::coarse, {28, 28, 1, 14, 14, 64, 4, 2, 1}, 8});
  EXPECT_NE(plan.engine, nullptr) << plan.refusal;
}

// What is no convolution is an error with the library's reason, and not taken for one that has no engine.
TEST(Cudnn, RefusesAWrongGeometryWithTheReason) {
  Cudnn cudnn(description("H100"));
  try {
    static_cast<void>(cudnn.plan({ConvolutionPass::coarse, {28, 28, 1, 15, 14, 64, 4, 2, 1}, 8}));
    ADD_FAILURE() << "a convolution of 28 rows of pixels to 15 was planned";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("CUDNN_STATUS_BAD_PARAM"));
  }
}

TEST(Cudnn, NeedsADescriptionOfAGpu) { EXPECT_THROW(Cudnn(std::string("{}")), Error); }

}  // namespace
}  // namespace ganymede::testing
