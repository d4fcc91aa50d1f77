// cuDNN on simulated GPUs, at Ganymede's own interface to it (src/device/cuda/cudnn.hpp): plans with workspaces of many
// sizes, and convolutions by plain loops, each a kernel of the simulated stream. Strides of more than 2, and
// bfloat16 at other than multiples of 4 bytes, have no engine here, so that tests see what then is done. That cuDNN
// itself takes what it is given is for tests/cudnn_plans to see, and what it makes of it for launch/gpu-check.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "cuda_sim/devices.hpp"
#include "cuda_sim/errors.hpp"
#include "cuda_sim/scheduler.hpp"
#include "device/cuda/cudnn.hpp"
#include "device/cuda/runtime.hpp"
#include "ganymede/error.hpp"
#include "support/bfloat16.hpp"
#include "support/convolution_taps.hpp"
#include "support/tf32.hpp"

namespace ganymede::cuda {
namespace {

constexpr int no_device_memory = 4004;  // CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED

// Counts the call, and throws what the real one throws where it is to fail.
class Call : public cuda_sim::Call {
 public:
  Call(const char* function, const char* what) : cuda_sim::Call(function, cudnn) {
    if (!failed()) return;
    const std::string failure =
        std::string("cuDNN could not ") + what + " (simulated status " + std::to_string(error<int>()) + ")";
    if (error<int>() == no_device_memory) throw OutOfMemory(failure, 0);
    throw Error(ExitCode::launch, failure);
  }
};

std::size_t floats(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

// Elements of one of a task's arrays.
std::size_t count_of(const ConvolutionTask& task, ConvolutionPass array) {
  const Convolution& g = task.geometry;
  if (array == ConvolutionPass::weights) return floats(g.coarse_channels, g.filter());
  return floats(task.rows, array == ConvolutionPass::fine ? g.fine_size() : g.coarse_size());
}

// Calls visit(fine element, weight, coarse element), the numbers of their first channels, for all that meet.
template <class Visit>
void for_all(const ConvolutionTask& task, const Visit& visit) {
  const Convolution& g = task.geometry;
  for (int row = 0; row < task.rows; ++row)
    testing::visit_taps(g, [&](int coarse, int fine, int tap) {
      visit(floats(row * g.fine_pixels() + fine, g.fine_channels), floats(tap, g.fine_channels),
            floats(row * g.coarse_pixels() + coarse, g.coarse_channels));
    });
}

// Plain loops; `fine`, `weights` and `coarse` are the pass's factors and room for its result.
std::vector<float> sums_of(const ConvolutionTask& task, const float* fine, const float* weights, const float* coarse) {
  const Convolution& g = task.geometry;
  const auto ins = static_cast<std::size_t>(g.fine_channels);
  const auto outs = static_cast<std::size_t>(g.coarse_channels);
  const auto filter = static_cast<std::size_t>(g.filter());
  std::vector<float> sums(count_of(task, task.pass));
  if (task.pass == ConvolutionPass::coarse) {
    for_all(task, [&](std::size_t f, std::size_t w, std::size_t c) {
      for (std::size_t o = 0; o < outs; ++o)
        for (std::size_t i = 0; i < ins; ++i) sums[c + o] += fine[f + i] * weights[o * filter + w + i];
    });
  } else if (task.pass == ConvolutionPass::fine) {
    for_all(task, [&](std::size_t f, std::size_t w, std::size_t c) {
      for (std::size_t o = 0; o < outs; ++o)
        for (std::size_t i = 0; i < ins; ++i) sums[f + i] += coarse[c + o] * weights[o * filter + w + i];
    });
  } else {
    for_all(task, [&](std::size_t f, std::size_t w, std::size_t c) {
      for (std::size_t o = 0; o < outs; ++o)
        for (std::size_t i = 0; i < ins; ++i) sums[o * filter + w + i] += coarse[c + o] * fine[f + i];
    });
  }
  return sums;
}

std::vector<float> values_of(const void* array, std::size_t count, Precision precision) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = precision == Precision::bfloat16 ? testing::bfloat16_value(static_cast<const std::uint16_t*>(array)[i])
                                                 : static_cast<const float*>(array)[i];
  return values;
}

// What tensor cores make of them before they multiply.
std::vector<float> factors_of(const void* array, std::size_t count, Precision precision) {
  std::vector<float> factors = values_of(array, count, precision);
  if (precision == Precision::tf32)
    std::transform(factors.begin(), factors.end(), factors.begin(), testing::nearest_tf32);
  return factors;
}

void compute(const ConvolutionTask& task, const void* fine, const void* weights, const void* coarse) {
  const auto factor = [&](const void* array, ConvolutionPass of) {
    return of == task.pass ? std::vector<float>() : factors_of(array, count_of(task, of), task.precision);
  };
  const std::vector<float> f = factor(fine, ConvolutionPass::fine);
  const std::vector<float> w = factor(weights, ConvolutionPass::weights);
  const std::vector<float> c = factor(coarse, ConvolutionPass::coarse);
  std::vector<float> sums = sums_of(task, f.data(), w.data(), c.data());
  void* const to = const_cast<void*>(task.pass == ConvolutionPass::fine      ? fine
                                     : task.pass == ConvolutionPass::weights ? weights
                                                                             : coarse);
  if (task.accumulate) {
    const std::vector<float> before = values_of(to, sums.size(), task.precision);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += before[i];
  }
  if (task.precision == Precision::bfloat16) {
    std::transform(sums.begin(), sums.end(), static_cast<std::uint16_t*>(to),
                   [](float sum) { return testing::bfloat16_bits(testing::nearest_bfloat16(sum)); });
  } else {
    std::copy(sums.begin(), sums.end(), static_cast<float*>(to));
  }
}

}  // namespace

struct Cudnn::Engine {
  ConvolutionTask task;
};

struct Cudnn::State {
  cuda_sim::Stream* stream;
};

Cudnn::Cudnn(cudaStream_t stream) {
  const Call call("cudnnCreate", "start");
  if (cuda_sim::use_device() != cudaSuccess) throw Error(ExitCode::launch, "cuDNN could not start");
  state_ = std::make_unique<State>(State{cuda_sim::find_stream(stream)});
  if (state_->stream == nullptr) throw Error(ExitCode::launch, "cuDNN could not use a stream");
}

Cudnn::~Cudnn() = default;

Cudnn::Plan Cudnn::plan(const ConvolutionTask& task) {
  const Call call("cudnnBackendFinalize", "plan a convolution");
  if (state_->stream->capture != nullptr)
    cuda_sim::violation("a convolution is planned while its stream is being captured: cuDNN may load kernels");
  const Convolution& g = task.geometry;
  Plan plan;
  if (g.stride > 2) {
    plan.refusal = "strides of more than 2 have no engine in the simulation";
    return plan;
  }
  if (task.precision == Precision::bfloat16 && task.alignment < 4) {
    plan.refusal = "bfloat16 that are not aligned to 4 bytes have no engine in the simulation";
    return plan;
  }
  plan.engine = std::make_shared<Engine>(Engine{task});
  // Some need none, others the more the more rows there are.
  if (task.pass != ConvolutionPass::coarse)
    plan.workspace = floats(task.rows, 4 * (g.fine_channels + 1)) * sizeof(float);
  return plan;
}

void Cudnn::run(const Plan& plan, const void* fine, const void* weights, const void* coarse, void* workspace) {
  const Call call("cudnnBackendExecute", "run a convolution");
  const ConvolutionTask& task = plan.engine->task;
  auto work = std::make_shared<cuda_sim::Work>();
  work->kind = cudaGraphNodeTypeKernel;
  work->name = "cudnnBackendExecute";
  const auto takes = [&](const void* array, ConvolutionPass which) {
    if (reinterpret_cast<std::uintptr_t>(array) % static_cast<std::uintptr_t>(task.alignment) != 0)
      cuda_sim::violation("cuDNN is given an array that is not aligned as its plan has it");
    const bool writes = task.pass == which;
    const std::size_t size = count_of(task, which) * (task.precision == Precision::bfloat16 ? 2 : sizeof(float));
    work->accesses.push_back({array, size, writes});
    if (writes && task.accumulate) work->accesses.push_back({array, size, false});
  };
  takes(fine, ConvolutionPass::fine);
  takes(weights, ConvolutionPass::weights);
  takes(coarse, ConvolutionPass::coarse);
  const std::size_t bytes = plan.workspace;
  if (bytes > 0) work->accesses.push_back({workspace, bytes, true});
  work->run = [=] {
    if (bytes > 0) std::memset(workspace, 0xFF, bytes);
    compute(task, fine, weights, coarse);
  };
  if (cuda_sim::issue(*state_->stream, std::move(work)) != cudaSuccess)
    throw Error(ExitCode::launch, "cuDNN could not run a convolution");
}

std::string cudnn_version() { return "simulated"; }

}  // namespace ganymede::cuda
