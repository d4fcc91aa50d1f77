// What the GPU device does beside training: how many kernels a step is, what --debug finds, what happens when a call
// fails or memory runs out.
#include <cublasLt.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nccl.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "cuda_backend/gpu.hpp"
#include "cuda_sim/cuda_sim.hpp"
#include "device/cuda/graph_routine.hpp"
#include "device/cuda/runtime.hpp"
#include "gan/sampler.hpp"
#include "gan/step.hpp"
#include "ganymede/error.hpp"
#include "support/gan_settings.hpp"
#include "support/refusal.hpp"
#include "support/relative_distance.hpp"
#include "support/small_gan.hpp"
#include "train/diagnostics.hpp"
#include "train/memory.hpp"
#include "train/step_operations.hpp"

namespace ganymede::testing {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class SimulatedDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    cuda_sim::reset();
    cuda_sim::set_devices({{}});
  }
  void TearDown() override { cuda_sim::reset(); }

  /// Kernels and copies of a step.
  int recorded(const TrainOptions& o, int side, const CudaOptions& options = {}) {
    const RandomImages images(20, side, 1);
    const std::unique_ptr<Device> device = make_gpu(*alone_, options);
    Gan gan = make_gan(o, DataShape::grey(side), *device);
    GanStep step(*device, *alone_, gan, images.set(), o);
    step.run(false);
    step.run(false);
    step.settle();
    return step.recorded();
  }
  static TrainOptions small_convolutions() {
    TrainOptions o = small_options();
    change_to_small_dcgan(o);
    o.condition = "none";
    return o;
  }
  /// Of so many calls: all up to 16, the first and three between of more.
  static std::set<std::size_t> some_of(std::size_t count) {
    std::set<std::size_t> calls = {1, count / 4, count / 2, 3 * count / 4};
    for (std::size_t nth = 1; count <= 16 && nth <= count; ++nth) calls.insert(nth);
    calls.erase(0);
    return calls;
  }
  /// Some calls that a training makes of functions of this name fail, one each time: an Error says so, and nothing else
  /// happens. Returns how many.
  int fail_each(const TrainOptions& o, int side, const std::string& prefix, const CudaOptions& options = {}) {
    cuda_sim::reset();
    cuda_sim::set_devices({{}});
    recorded(o, side, options);
    const std::map<std::string, std::size_t> calls = cuda_sim::calls();
    int failures = 0;
    for (const auto& [function, count] : calls) {
      if (function.rfind(prefix, 0) != 0) continue;
      // What is only asked, what tells of errors, and what ends things may fail unnoticed.
      for (const char* quiet : {"Destroy", "Free", "GetError", "LastError", "GetNodes", "PeekAt"})
        if (function.find(quiet) != std::string::npos) goto next;
      for (const std::size_t nth : some_of(count)) {
        // The step's destructor tells nobody.
        if (function == "cudaEventRecord" && nth == count) continue;
        cuda_sim::reset();
        cuda_sim::set_devices({{}});
        cuda_sim::fail(function, static_cast<int>(nth));
        try {
          recorded(o, side, options);
          ADD_FAILURE() << function << " failed at call " << nth << " of " << count << " and nobody noticed";
        } catch (const Error& error) {
          ++failures;
          EXPECT_NE(std::string(error.what()), "") << function;
        }
      }
    next:;
    }
    return failures;
  }
  std::unique_ptr<Communicator> alone_ = make_local_communicator();
};

// A GAN this small is bound by launches: each operation is one kernel, and they are few.
TEST_F(SimulatedDevice, AStepIsFewKernels) {
  TrainOptions o = small_options();
  const RandomImages images(20, small_side, 1);
  const auto operations = [&] { return static_cast<int>(operations_of_step(o, *alone_, images.set(), 10).size()); };
  EXPECT_EQ(operations(), 32);
  EXPECT_EQ(recorded(o, small_side), 32);
  o.ema = 0.999;
  EXPECT_EQ(operations(), 32);
  EXPECT_EQ(recorded(o, small_side), 32);
  o.r1 = 5;
  EXPECT_EQ(operations(), 39);
  EXPECT_EQ(recorded(o, small_side), 39);
}

// The host asks for means and goes on: they come up to two steps later, and are those of the steps that were asked for.
TEST_F(SimulatedDevice, TellsMeansWithoutMakingTheHostWait) {
  const TrainOptions o = small_options();
  const RandomImages images(20, small_side, 1);
  const std::unique_ptr<Device> device = make_gpu(*alone_);
  const std::unique_ptr<Device> cpu = make_cpu_device(1);
  Gan gan = make_gan(o, DataShape::grey(small_side), *device);
  Gan same = make_gan(o, DataShape::grey(small_side), *cpu);
  GanStep step(*device, *alone_, gan, images.set(), o);
  GanStep at_once(*cpu, *alone_, same, images.set(), o);
  std::vector<std::uint64_t> told;
  std::map<std::uint64_t, StepMeans> all;
  for (std::uint64_t i = 1; i <= 12; ++i) {
    const bool wanted = i % 3 == 0 || i == 10;  // 9 and 10 are under way together
    step.run(false, wanted);
    at_once.run(false, wanted);
    const auto expected = at_once.take_wanted_means();
    ASSERT_EQ(expected.has_value(), wanted);
    if (expected) all[expected->step] = expected->means;
    while (const auto known = step.take_wanted_means()) {
      EXPECT_EQ(i, known->step + static_cast<std::uint64_t>(device->steps_ahead()));
      const StepMeans& means = all.at(known->step);
      EXPECT_NEAR(known->means.discriminator_loss, means.discriminator_loss, 1e-5);
      EXPECT_NEAR(known->means.generator_loss, means.generator_loss, 1e-5);
      EXPECT_NEAR(known->means.discriminator_gradient_norm, means.discriminator_gradient_norm, 1e-5);
      told.push_back(known->step);
    }
  }
  EXPECT_EQ(told, (std::vector<std::uint64_t>{3, 6, 9, 10}));
  // The rest are known once they have been waited for; after them, nothing is left to tell of.
  step.settle();
  EXPECT_EQ(step.take_wanted_means().value().step, 12U);
  EXPECT_FALSE(step.take_wanted_means());
}

// Layers and convolutions by the libraries: TF32's factors are off by up to 2^-11 each.
TEST_F(SimulatedDevice, RoundsToTf32WhereThatIsAskedForAlone) {
  const Convolution g{4, 4, 3, 2, 2, 5, 4, 2, 1};
  const int rows = 3;
  const auto array = [](Device& device, int count, unsigned seed) {
    DeviceArray<float> values(device, static_cast<std::size_t>(count));
    values.assign(uniform_floats(values.size(), seed).data());
    return values;
  };
  const std::unique_ptr<Device> cpu = make_cpu_device(1);
  const auto results = [&](Device& device) {
    DeviceArray<float> fine = array(device, rows * g.fine_size(), 1), coarse = array(device, rows * g.coarse_size(), 2);
    DeviceArray<float> w = array(device, g.coarse_channels * g.filter(), 3);
    const BatchLayout layout{1, rows, {0, rows}};
    std::vector<std::vector<float>> all;
    DeviceArray<float> result = array(device, rows * g.coarse_size(), 4);
    device.convolve(g, rows, fine.data(), w.data(), {}, result.data());
    all.push_back(result.host());
    result = array(device, rows * g.fine_size(), 4);
    device.convolve_transposed(g, rows, coarse.data(), w.data(), {}, result.data());
    all.push_back(result.host());
    result = array(device, g.coarse_channels * g.filter(), 4);
    device.convolution_gradients(layout, g, fine.data(), coarse.data(), false, {result.data()});
    all.push_back(result.host());
    result = array(device, rows * g.coarse_channels, 4);
    device.affine_forward(rows, g.filter(), g.coarse_channels, fine.data(), w.data(), nullptr,
                          Activation::named("identity"), result.data());
    all.push_back(result.host());
    return all;
  };
  const std::vector<std::vector<float>> expected = results(*cpu);
  for (const Precision precision : {Precision::float32, Precision::tf32}) {
    SCOPED_TRACE(name_of(precision));
    CudaOptions options;
    options.precision = precision;
    options.blas_from = 1;
    const std::vector<std::vector<float>> actual = results(*make_gpu(*alone_, options));
    for (std::size_t i = 0; i < actual.size(); ++i) {
      const double off = distance(actual[i], expected[i]);
      if (precision == Precision::float32) {
        EXPECT_LT(off, 1e-6) << i;
      } else {
        EXPECT_LT(off, 0x1p-10) << i;
        EXPECT_GT(off, 0x1p-14) << i << ": nothing was rounded";
      }
    }
  }
}

TEST_F(SimulatedDevice, KnowsItsPeaks) {
  const std::unique_ptr<Device> device = make_gpu(*alone_);
  // 132 multiprocessors of 128 multiply-adds at 1.98 GHz; 5120 bits at 2 × 2.619 GHz: an H100's 67 TFLOP/s, 3.35 TB/s.
  EXPECT_NEAR(device->peak_flops(), 66.9e12, .05e12);
  EXPECT_NEAR(device->peak_bandwidth(), 3.352e12, .001e12);
  // Of tensor cores: the data sheet's 494.5 and 989.5 TFLOP/s are at 1.83 GHz.
  for (const auto& [precision, peak] : {std::pair{Precision::tf32, 494.5e12}, {Precision::bfloat16, 989.5e12}}) {
    CudaOptions options;
    options.precision = precision;
    EXPECT_NEAR(make_gpu(*alone_, options)->peak_flops() * 1.83 / 1.98, peak, .005 * peak);
  }
  // An A10 and an L4 have twice what a GeForce of the same capability has: which it is is not known.
  cuda_sim::DeviceSpec smaller;
  smaller.major = 8;
  for (const int minor : {6, 9}) {
    smaller.minor = minor;
    cuda_sim::reset();
    cuda_sim::set_devices({smaller});
    CudaOptions options;
    options.precision = Precision::tf32;
    EXPECT_EQ(make_gpu(*alone_, options)->peak_flops(), 0);
  }
}

TEST_F(SimulatedDevice, DebugNamesTheFirstBadNumber) {
  const TrainOptions o = small_options();
  const RandomImages images(20, small_side, 1);
  CudaOptions options;
  options.debug = true;
  const std::unique_ptr<Device> device = make_gpu(*alone_, options);
  Gan gan = make_gan(o, DataShape::grey(small_side), *device);
  GanStep step(*device, *alone_, gan, images.set(), o);
  step.run(false);
  // The first weight of D's first layer: the first unit of every row.
  const float bad = std::numeric_limits<float>::quiet_NaN();
  device->upload(gan.discriminator.parameters(), &bad, sizeof bad);
  EXPECT_THAT(refusal(ExitCode::training_failed, [&] { step.run(false); }),
              HasSubstr("a layer's forward pass, " + std::to_string(small_side * small_side) +
                        " → 6, of layer 1 in D "
                        "forward wrote a value that is not finite, first at element 0 of 72"));
}

// Layers of the same widths are told apart, and what fails does not advise what is on already.
TEST_F(SimulatedDevice, DebugNamesTheLayerOfAFailure) {
  TrainOptions o = small_options();
  o.discriminator_hidden = {6, 6, 6};
  const RandomImages images(20, small_side, 1);
  std::set<std::string> places;
  for (int nth = 1; nth < 100; ++nth) {
    cuda_sim::reset();
    cuda_sim::set_devices({{}});
    CudaOptions options;
    options.debug = true;
    const std::unique_ptr<Device> device = make_gpu(*alone_, options);
    Gan gan = make_gan(o, DataShape::grey(small_side), *device);
    GanStep step(*device, *alone_, gan, images.set(), o);
    device->synchronize();
    cuda_sim::fail("operation", nth, cudaErrorIllegalAddress);
    const std::string text = refusal(ExitCode::launch, [&] { step.run(false); });
    EXPECT_THAT(text, AllOf(HasSubstr("CUDA could not "), HasSubstr("compute-sanitizer finds the line"),
                            Not(HasSubstr("--debug"))));
    for (const char* place : {" → 6, of layer 2 in D forward", " → 6, of layer 3 in D forward",
                              " → 6, of layer 2 in D backward", " → 6, of layer 3 in D backward"})
      if (text.find("6" + std::string(place)) != std::string::npos) places.insert(place);
    if (places.size() == 4) break;
  }
  EXPECT_EQ(places.size(), 4U);
}

// Deltas whose sum is too large for a float, of inputs that are 0: the weights' gradients are 0.
TEST_F(SimulatedDevice, DebugLooksAtBiases) {
  CudaOptions options;
  options.debug = true;
  const std::unique_ptr<Device> device = make_gpu(*alone_, options);
  DeviceArray<float> x(*device, 2), delta(*device, 2), dw(*device, 1), db(*device, 1);
  const std::vector<float> large(2, 3e38F);
  delta.assign(large.data());
  try {
    device->affine_gradients({1, 2, {0, 2}}, 1, 1, x.data(), delta.data(), nullptr, false, {dw.data()}, {db.data()});
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("a layer's bias gradients, 1 → 1, wrote a value that is not finite, first at "
                                        "element 0 of 1"));
  }
}

// What has no widths has channels.
TEST_F(SimulatedDevice, DebugNamesChannels) {
  CudaOptions options;
  options.debug = true;
  const std::unique_ptr<Device> device = make_gpu(*alone_, options);
  const int channels = 5;
  DeviceArray<float> delta(*device, 2 * channels), db(*device, channels);
  const std::vector<float> large(2 * channels, 3e38F);
  delta.assign(large.data());
  try {
    device->channel_gradients({1, 2, {0, 2}}, 1, channels, delta.data(), nullptr, false, {db.data()});
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("a layer's bias gradients of 5 channels wrote a value that is not finite"));
  }
}

TEST_F(SimulatedDevice, SaysHowMuchMemoryIsMissing) {
  cuda_sim::reset();
  cuda_sim::DeviceSpec small;
  small.memory = std::size_t{4} << 20;
  cuda_sim::set_devices({small});
  TrainOptions o = small_options();
  o.batch = 100000;
  EXPECT_THAT(refusal(ExitCode::launch, [&] { recorded(o, small_side); }),
              AllOf(HasSubstr("there is no memory for 3.81 MiB on the GPU"), HasSubstr("of its 4 MiB are free")));
}

// Whatever the memory is for: what is free, and what helps.
TEST_F(SimulatedDevice, SaysWhatToDoWithoutMemoryForItsLibraries) {
  struct Shortage {
    const char* function;
    int code;
    const char* said;
  };
  constexpr int no_device_memory = 4004;  // cuDNN's
  const std::string smaller = "use a smaller --batch or --micro-batch, .*nvidia-smi shows what else has memory there";
  for (const Shortage& s :
       {Shortage{"cudaMalloc", cudaErrorMemoryAllocation, "there is no memory for [0-9.]+ [KMi]*B"},
        {"cudaGraphInstantiate", cudaErrorMemoryAllocation, "CUDA could not make the step's graph"},
        {"cublasLtCreate", CUBLAS_STATUS_ALLOC_FAILED, "cuBLASLt could not start"},
        {"cudnnCreate", no_device_memory, "cuDNN could not start"},
        {"ncclMemAlloc", ncclUnhandledCudaError, "NCCL could not allocate 1[0-9.]* MiB .unhandled cuda error"},
        {"cudaHostAlloc", cudaErrorMemoryAllocation, "the host has no memory for [0-9.]+ [KMi]*B"}}) {
    SCOPED_TRACE(s.function);
    cuda_sim::reset();
    cuda_sim::set_devices({{}});
    cuda_sim::fail(s.function, 1, s.code);
    TrainOptions o = small_convolutions();
    o.latent = 300;
    o.fully_connected = 900;
    CudaOptions options;
    options.blas_from = 1;
    options.nccl_alone = true;
    const std::string text = refusal(ExitCode::launch, [&] { recorded(o, 8, options); });
    EXPECT_THAT(text, ContainsRegex(std::string("^") + s.said));
    if (s.function == std::string("cudaHostAlloc")) {
      EXPECT_THAT(text, ContainsRegex("and [0-9.]+ [GMi]*B are free there: end other programs on it, "));
    } else {
      EXPECT_THAT(text, ContainsRegex("on the GPU, and [0-9.]+ GiB of its 80 GiB are free: " + smaller));
    }
  }
}

TEST_F(SimulatedDevice, LeavesMemoryToTheLibraries) {
  TrainOptions o = small_options();
  o.batch = 10000;
  const RandomImages images(20, small_side, 1);
  const auto refusal_of = [&](double times) {
    const auto planned = static_cast<double>(plan_memory(o, *alone_, images.set(), false).total());
    cuda_sim::reset();
    cuda_sim::DeviceSpec gpu;
    gpu.memory = static_cast<std::size_t>(times * planned);
    cuda_sim::set_devices({gpu});
    const std::unique_ptr<Device> device = make_gpu(*alone_);
    return refusal(ExitCode::launch, [&] { (void)plan_available_memory(o, *alone_, images.set(), *device); });
  };
  EXPECT_EQ(refusal_of(1.4), "");
  EXPECT_THAT(refusal_of(1.3),
              AllOf(HasSubstr("are left to CUDA's libraries: --batch "), HasSubstr("the largest that fits")));
}

TEST_F(SimulatedDevice, TakesTheMemoryThatWasPlanned) {
  for (const Precision precision : {Precision::float32, Precision::bfloat16})
    for (const GanSetting& setting : gan_settings()) {
      SCOPED_TRACE(setting.name);
      TrainOptions o = small_options();
      o.batch = 18;
      o.eval_every = o.diagnose_every;
      setting.change(o);
      if (precision == Precision::bfloat16) o.precision = "bf16";
      const RandomImages random(20, 8, 1);
      const ImageSet images = shown(random.set(), o);
      CudaOptions options;
      options.precision = precision;
      const std::unique_ptr<Device> device = make_gpu(*alone_, options);
      const std::size_t free_before = device->available_memory();
      Gan gan = make_gan(o, images.shape(), *device);
      const GanStep step(*device, *alone_, gan, images, o);
      const Sampler pictures(gan.generator, o, gan.data.classes);
      const Sampler evaluated(gan.generator, o, gan.data.classes);
      const Diagnostics::Workspace diagnoses(o, gan, *alone_);
      EXPECT_EQ(taken_memory(*device, free_before), plan_memory(o, *alone_, images, false).total());
      device->synchronize();  // all of it has been cleared before any is freed
    }
}

TEST_F(SimulatedDevice, AnyCallMayFail) {
  EXPECT_GT(fail_each(small_options(), small_side, ""), 40);
  EXPECT_EQ(fail_each(small_convolutions(), 8, "cudnn"), 17);
  CudaOptions large;
  large.blas_from = 1;
  EXPECT_EQ(fail_each(small_options(), small_side, "cublas", large), 29);
  CudaOptions debug;
  debug.debug = true;
  EXPECT_EQ(fail_each(small_options(), small_side, "cudaStreamSynchronize", debug), 4);
}

// A product that cuBLASLt has no algorithm for is our own kernel's.
TEST_F(SimulatedDevice, DoesWithoutCublasWhatItCannotDo) {
  const TrainOptions o = small_options();
  CudaOptions large;
  large.blas_from = 1;
  const int all = recorded(o, small_side, large);
  cuda_sim::reset();
  cuda_sim::set_devices({{}});
  // The first layer's: its kernel activates, too.
  cuda_sim::fail("cublasLtMatmulAlgoGetHeuristic", 1, CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_LT(recorded(o, small_side, large), all);
}

// Biases' gradients come with those of the weights: a node less for each layer of both networks where they lie at
// multiples of 16 bytes; of D's none with R1, which weighs rows.
TEST_F(SimulatedDevice, AStepHasBiasGradientsWithThoseOfWeights) {
  CudaOptions large;
  large.blas_from = 1;
  const auto nodes = [&](const TrainOptions& o, bool refused) {
    cuda_sim::reset();
    cuda_sim::set_devices({{}});
    if (refused) cuda_sim::refuse_epilogue(CUBLASLT_EPILOGUE_BGRADB);
    return recorded(o, small_side, large);
  };
  for (const char* activation : {"relu", "leaky-relu", "tanh"})
    for (const bool penalty : {false, true}) {
      if (penalty && activation == std::string("tanh")) continue;
      SCOPED_TRACE(std::string(activation) + (penalty ? ", R1" : ""));
      TrainOptions o = small_options();
      o.generator_activation = o.discriminator_activation = activation;
      o.r1 = penalty ? 5 : 0;
      // G's at 15, 40 and 108 floats, D's at 96, 126 and 134.
      EXPECT_EQ(nodes(o, false), nodes(o, true) - (penalty ? 2 : 3));
      o.latent = 4;
      o.generator_hidden = o.discriminator_hidden = {8, 4};
      EXPECT_EQ(nodes(o, false), nodes(o, true) - (penalty ? 3 : 6));
      // Beside the kernels of small layers: slopes behind D's two data gradients and G's five; another activation than
      // ReLU, on G's two hidden layers and D's twice two, and sigmoid on G's last; biases' gradients behind none.
      if (!penalty) {
        EXPECT_EQ(nodes(o, false), recorded(o, small_side) + 7 + (activation == std::string("relu") ? 0 : 6) + 1);
      }
    }
}

// What is planned once is done in the step that is not recorded; --reproducible asks cuDNN for nothing.
TEST_F(SimulatedDevice, ConvolutionsArePlannedInTheFirstStep) {
  for (const bool reproducible : {false, true}) {
    cuda_sim::reset();
    cuda_sim::set_devices({{}});
    TrainOptions o = small_convolutions();
    o.reproducible = reproducible;
    const RandomImages images(20, 8, 1);
    CudaOptions options;
    options.reproducible = reproducible;
    const std::unique_ptr<Device> device = make_gpu(*alone_, options);
    Gan gan = make_gan(o, DataShape::grey(8), *device);
    GanStep step(*device, *alone_, gan, images.set(), o);
    step.run(false);
    const std::map<std::string, std::size_t> first = cuda_sim::calls();
    EXPECT_EQ(first.contains("cudnnBackendFinalize"), !reproducible);
    EXPECT_EQ(first.contains("cudnnBackendExecute"), !reproducible);
    for (int i = 0; i < 3; ++i) step.run(false);
    step.settle();
    const std::map<std::string, std::size_t> all = cuda_sim::calls();
    if (!reproducible) {
      EXPECT_EQ(all.at("cudnnBackendFinalize"), first.at("cudnnBackendFinalize"));
      EXPECT_EQ(all.at("cudnnBackendExecute"), 2 * first.at("cudnnBackendExecute"));  // and once recorded
    }
    EXPECT_EQ(all.at("cudaMalloc"), first.at("cudaMalloc"));
  }
}

// What is urgent in a step is so in its graph.
TEST_F(SimulatedDevice, ARoutinesKernelsKeepTheUrgencyOfTheirStreams) {
  const cuda::Stream compute(false);
  const cuda::Stream urgent(true);
  cuda::Event begun;
  cuda::Event done;
  std::vector<int> priorities;
  const std::unique_ptr<Routine> routine = cuda::make_graph_routine(
      compute.get(),
      [&] {
        const auto kernel = [&] { priorities.push_back(cuda_sim::running_priority()); };
        cuda_sim::submit(compute.get(), "before", kernel);
        begun.record(compute.get());
        begun.hold_back(urgent.get());
        cuda_sim::submit(urgent.get(), "beside", kernel);
        done.record(urgent.get());
        done.hold_back(compute.get());
        cuda_sim::submit(compute.get(), "behind", kernel);
      },
      [] { return true; });
  int least = 0;
  int greatest = 0;
  cuda::check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "read the range of stream priorities");
  ASSERT_LT(greatest, least);  // a smaller number goes first
  for (int run = 0; run < 3; ++run) {
    SCOPED_TRACE(run);
    priorities.clear();
    routine->run();
    cuda::check(cudaStreamSynchronize(compute.get()), "run kernels");
    EXPECT_EQ(routine->recorded(), run == 0 ? 0 : 3);
    EXPECT_EQ(priorities, (std::vector<int>{least, greatest, least}));
  }
}

// Asked when memory is allocated, not while a step is recorded.
TEST_F(SimulatedDevice, KnowsItsAddressesOfHostMemory) {
  const TrainOptions o = small_options();
  const RandomImages images(20, small_side, 1);
  const std::unique_ptr<Device> device = make_gpu(*alone_);
  Gan gan = make_gan(o, DataShape::grey(small_side), *device);
  GanStep step(*device, *alone_, gan, images.set(), o);
  const auto asked = [] { return cuda_sim::calls()["cudaHostGetDevicePointer"]; };
  const std::size_t before = asked();
  EXPECT_GT(before, 0U);
  for (int i = 0; i < 3; ++i) step.run(false);
  step.settle();
  EXPECT_EQ(asked(), before);
}

// Whatever memory the host has it in, and does with it next.
// Nothing is left to be done in its memory when that goes: of a device that has done nothing, and of one that was
// waited for before the first of its sums.
TEST_F(SimulatedDevice, MayEndBeforeItsFirstSum) {
  cuda_sim::Violations violations;
  CudaOptions options;
  options.nccl_alone = true;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    cuda_sim::set_seed(seed);
    make_gpu(*alone_, options).reset();
    const std::unique_ptr<Device> device = make_gpu(*alone_, options);
    const auto sum = device->make_reduction<float>(*alone_, 10);
    device->synchronize();
  }
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_THAT(violations.texts(), ::testing::IsEmpty());
}

TEST_F(SimulatedDevice, HasWhatWasUploadedWhenTheCallReturns) {
  const std::unique_ptr<Device> device = make_gpu(*alone_);
  DeviceArray<float> x(*device, 1000);
  auto* const values = static_cast<float*>(device->allocate_host(x.bytes()));
  for (const bool pageable : {true, false}) {
    std::vector<float> ones(x.size(), 1);
    if (!pageable) std::copy(ones.begin(), ones.end(), values);
    device->upload(x.data(), pageable ? ones.data() : values, x.bytes());
    EXPECT_EQ(cuda_sim::pending(), 0U);
    std::fill_n(values, x.size(), 2.0F);
    device->download(values, x.data(), x.bytes());
    EXPECT_EQ(values[999], 1);
  }
  device->release_host(values);
}

/// Gradients of one layer that is cuBLASLt's, into an array of which they take a part.
class LargeGradients : public SimulatedDevice {
 protected:
  static constexpr int rows = 24;
  static constexpr int in = 20;
  static constexpr int out = 36;
  static constexpr std::size_t weights = std::size_t{in} * out;
  static constexpr std::size_t all = weights + out + 8;

  struct Case {
    const char* name;
    std::size_t place = weights;  ///< of the biases'
    bool accumulate = false;
    bool scaled = false;
  };
  /// With a product that has the biases' as well, where cuBLASLt has one, and without.
  const std::vector<Case> together_ = {{"right behind the weights'"}, {"16 bytes on", weights + 4}};
  const std::vector<Case> apart_ = {{"4 bytes on", weights + 1},
                                    {"8 bytes on", weights + 2},
                                    {"added to earlier ones", weights, true},
                                    {"of weighed rows", weights, false, true}};

  static std::unique_ptr<Device> device(Precision precision) {
    static const std::unique_ptr<Communicator> alone = make_local_communicator();
    CudaOptions o;
    o.precision = precision;
    o.blas_from = 1;
    return make_gpu(*alone, o);
  }
  struct Arrays {
    explicit Arrays(Device& d) : x(array(d, rows * in, 1)), delta(array(d, rows * out, 2)), scale(array(d, rows, 3)) {
      sums = array(d, all, 4);
      if (d.rounds()) room = DeviceArray<Bfloat16>(d, Rounded::room_for(x.size(), delta.size()));
    }
    static DeviceArray<float> array(Device& d, std::size_t count, unsigned seed) {
      DeviceArray<float> values(d, count);
      values.assign(uniform_floats(count, seed).data());
      return values;
    }
    DeviceArray<float> x, delta, scale, sums;
    DeviceArray<Bfloat16> room;
  };
  static void run(Device& d, Arrays& a, const Case& c) {
    d.affine_gradients({1, rows, {0, rows}}, in, out, a.x.data(), a.delta.data(), c.scaled ? a.scale.data() : nullptr,
                       c.accumulate, {a.sums.data()}, {a.sums.data() + c.place}, {nullptr, a.room.data()});
  }
  static std::vector<float> result(Device& d, const Case& c) {
    Arrays arrays(d);
    run(d, arrays, c);
    return arrays.sums.host();
  }
  /// Kernels that they are, once recorded.
  static int kernels(Device& d, const Case& c) {
    Arrays arrays(d);
    const std::unique_ptr<Routine> routine = d.make_routine([&] { run(d, arrays, c); });
    for (int i = 0; i < 2; ++i) routine->run();
    d.synchronize();
    return routine->recorded();
  }
};

TEST_F(LargeGradients, AreOneProductWhereTheyCanBe) {
  const std::unique_ptr<Device> cpu = make_cpu_device(1);
  for (const Precision precision : {Precision::float32, Precision::tf32, Precision::bfloat16})
    for (const bool refused : {false, true}) {
      cuda_sim::reset();
      cuda_sim::set_devices({{}});
      if (refused) cuda_sim::refuse_epilogue(CUBLASLT_EPILOGUE_BGRADB);
      const std::unique_ptr<Device> gpu = device(precision);
      const int before = precision == Precision::bfloat16 ? 1 : 0;  // both factors are rounded
      // Factors of 8 and of 11 bits, half a unit of the last one off.
      const double off = precision == Precision::float32 ? 1e-6 : precision == Precision::tf32 ? 0x1p-10 : 0x1p-7;
      for (const auto* cases : {&together_, &apart_})
        for (const Case& c : *cases) {
          SCOPED_TRACE(name_of(precision) + (refused ? ", refused: " : ": ") + c.name);
          EXPECT_EQ(kernels(*gpu, c), before + (cases == &together_ && !refused ? 1 : 2));
          const std::vector<float> actual = result(*gpu, c);
          const std::vector<float> expected = result(*cpu, c);
          for (std::size_t i = 0; i < all; ++i) ASSERT_NEAR(actual[i], expected[i], rows * off) << i;
        }
    }
}

// That there is no such product is asked once.
TEST_F(LargeGradients, AreAskedForOnce) {
  for (const bool refused : {false, true}) {
    cuda_sim::reset();
    cuda_sim::set_devices({{}});
    if (refused) cuda_sim::refuse_epilogue(CUBLASLT_EPILOGUE_BGRADB);
    const std::unique_ptr<Device> gpu = device(Precision::float32);
    Arrays arrays(*gpu);
    run(*gpu, arrays, together_.front());
    EXPECT_EQ(cuda_sim::calls().at("cublasLtMatmulAlgoGetHeuristic"), refused ? 2U : 1U);
    const std::map<std::string, std::size_t> first = cuda_sim::calls();
    run(*gpu, arrays, together_.front());
    std::map<std::string, std::size_t> second = cuda_sim::calls();
    for (const auto& [function, count] : first) second[function] -= count;
    EXPECT_EQ(second["cublasLtMatmulAlgoGetHeuristic"], 0U);
    EXPECT_EQ(second["cublasLtMatmul"], 1U);
    // The vector's address.
    EXPECT_EQ(second["cublasLtMatmulDescSetAttribute"], refused ? 0U : 1U);
    gpu->synchronize();
  }
}

// An algorithm that was chosen for a vector at a multiple of 256 bytes is none for one at a multiple of 16.
TEST_F(LargeGradients, HaveAPlanForWhereTheirVectorLies) {
  const std::unique_ptr<Device> gpu = device(Precision::float32);
  Arrays arrays(*gpu);
  DeviceArray<float> vectors(*gpu, 128), y(*gpu, rows * out);
  for (const std::size_t place : {0, 4, 8, 64}) {
    gpu->affine_gradients({1, rows, {0, rows}}, in, out, arrays.x.data(), arrays.delta.data(), nullptr, false,
                          {arrays.sums.data()}, {vectors.data() + place});
    gpu->affine_forward(rows, in, out, arrays.x.data(), arrays.sums.data(), vectors.data() + place,
                        Activation::named("relu"), y.data());
  }
  gpu->synchronize();
  EXPECT_EQ(cuda_sim::calls().at("cublasLtMatmulAlgoGetHeuristic"), 6U);
}

/// A simulated H100 that rounds whatever it is given, with arrays for one layer of either kind.
class RoundingGpu : public SimulatedDevice {
 protected:
  static constexpr int rows = 3;
  static constexpr int in = 20;
  static constexpr int out = 30;

  /// Kernels and copies of an operation that is recorded.
  int recorded(const std::function<void()>& operation) const {
    const std::unique_ptr<Routine> routine = device_->make_routine(operation);
    for (int i = 0; i < 2; ++i) routine->run();
    device_->synchronize();
    return routine->recorded();
  }
  static CudaOptions options() {
    CudaOptions o;
    o.precision = Precision::bfloat16;
    o.blas_from = 1;
    return o;
  }
  void SetUp() override {
    SimulatedDevice::SetUp();
    device_ = make_gpu(*alone_, options());
    const auto array = [&] { return DeviceArray<float>(*device_, 10000); };
    x_ = array();
    w_ = array();
    b_ = array();
    y_ = array();
    weights_ = DeviceArray<Bfloat16>(*device_, 10000);
    room_ = DeviceArray<Bfloat16>(*device_, 30000);
  }
  void TearDown() override {
    for (DeviceArray<float>* array : {&x_, &w_, &b_, &y_}) *array = {};
    weights_ = {};
    room_ = {};
    device_.reset();
    SimulatedDevice::TearDown();
  }

  std::unique_ptr<Device> device_;
  DeviceArray<float> x_, w_, b_, y_;
  DeviceArray<Bfloat16> weights_, room_;
};

// A kernel before each pass of a convolution, another behind one that nothing follows, both around gradients, and one
// for the weights of either network. G's two convolutions: 1 + 2 forward, 2 backward; D's, twice: 1 + 2 forward, 3
// backward in all; gradients of these four: 8.
TEST_F(SimulatedDevice, AStepInBfloat16IsMoreKernels) {
  const TrainOptions o = small_convolutions();
  CudaOptions rounding;
  rounding.precision = Precision::bfloat16;
  EXPECT_EQ(recorded(o, 8, rounding), recorded(o, 8) + 3 + 2 + 2 * 3 + 3 + 8 + 2);
}

TEST_F(RoundingGpu, RoundsInOneKernelMore) {
  const Rounded rounded{weights_.data(), room_.data()};
  const Activation relu = Activation::named("relu");
  const Convolution g{8, 8, 3, 4, 4, 6, 4, 2, 1};
  const BatchLayout layout{1, rows, {0, rows}};
  const SumTarget dw{y_.data()};
  EXPECT_EQ(recorded([&] { device_->round(777, w_.data(), weights_.data()); }), 1);
  EXPECT_EQ(recorded([&] {
              device_->affine_forward(rows, in, out, x_.data(), w_.data(), b_.data(), relu, y_.data(), rounded);
            }),
            2);
  EXPECT_EQ(recorded([&] {
              device_->affine_gradients(layout, in, out, x_.data(), b_.data(), nullptr, false, dw, {}, rounded);
            }),
            2);
  // What makes float32 of a convolution's result does what follows it as well.
  EXPECT_EQ(recorded([&] {
              device_->convolve(g, rows, x_.data(), w_.data(), {b_.data(), relu, nullptr}, y_.data(), rounded);
            }),
            3);
  EXPECT_EQ(recorded([&] { device_->convolution_gradients(layout, g, x_.data(), b_.data(), true, dw, rounded); }), 3);
}

// Where cuDNN has no engine for bfloat16: nothing is rounded.
TEST_F(RoundingGpu, ConvolutionsWithoutAnEngineAreFloat32s) {
  const std::unique_ptr<Device> cpu = make_cpu_device(1);
  for (const bool odd_place : {false, true}) {
    const Convolution g =
        odd_place ? Convolution{6, 7, 12, 6, 7, 20, 5, 1, 2} : Convolution{8, 11, 5, 3, 4, 4, 2, 3, 0};
    const std::vector<float> fine = uniform_floats(x_.size(), 1);
    const std::vector<float> w = uniform_floats(w_.size(), 2);
    x_.assign(fine.data());
    w_.assign(w.data());
    std::vector<float> expected(y_.size());
    cpu->convolve(g, rows, fine.data(), w.data(), {}, expected.data());
    device_->zero(y_.data(), y_.bytes());
    device_->convolve(g, rows, x_.data(), w_.data(), {}, y_.data(),
                      {weights_.data() + (odd_place ? 1 : 0), room_.data()});
    const std::vector<float> actual = y_.host();
    for (std::size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], 1e-4F) << i;
  }
}

TEST_F(SimulatedDevice, OldGpusDoNotRound) {
  cuda_sim::reset();
  cuda_sim::DeviceSpec old;
  old.model = "T4";
  old.major = 7;
  old.minor = 5;
  cuda_sim::set_devices({old});
  for (const auto& [precision, name] : {std::pair{Precision::tf32, "tf32"}, {Precision::bfloat16, "bf16"}}) {
    CudaOptions options;
    options.precision = precision;
    EXPECT_THAT(refusal(ExitCode::launch, [&] { static_cast<void>(make_gpu(*alone_, options)); }),
                HasSubstr("--precision " + std::string(name) +
                          " needs a GPU of compute capability 8.0 (Ampere, 2020) or later, and the "
                          "simulated T4 (no GPU) has 7.5: train with --precision fp32"));
  }
}

// A convolution that needs more workspace than those before it, after one of them was recorded.
TEST_F(SimulatedDevice, AWorkspaceThatIsInAGraphStays) {
  const Convolution g{4, 4, 3, 2, 2, 5, 4, 2, 1};
  const std::unique_ptr<Device> device = make_gpu(*alone_);
  const auto array = [&](int count) { return DeviceArray<float>(*device, static_cast<std::size_t>(count)); };
  DeviceArray<float> w = array(g.coarse_channels * g.filter());
  DeviceArray<float> coarse = array(30 * g.coarse_size());
  DeviceArray<float> fine = array(30 * g.fine_size());
  const std::unique_ptr<Routine> routine =
      device->make_routine([&] { device->convolve_transposed(g, 2, coarse.data(), w.data(), {}, fine.data()); });
  for (int i = 0; i < 2; ++i) routine->run();
  EXPECT_EQ(routine->recorded(), 1);
  device->convolve_transposed(g, 30, coarse.data(), w.data(), {}, fine.data());
  routine->run();
  device->synchronize();
  EXPECT_EQ(fine.host(), std::vector<float>(fine.size()));
}

}  // namespace
}  // namespace ganymede::testing
