// See cudnn.hpp. Whatever cuDNN knows is a descriptor: created, given its attributes, finalized. Its tensors'
// dimensions are (N, C, H, W) in whatever order memory has them; ours is N, H, W, C, told by strides.
#include "device/cuda/cudnn.hpp"

#include <cudnn_graph.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <utility>
#include <vector>

#include "device/cuda/runtime.hpp"
#include "ganymede/error.hpp"

namespace ganymede::cuda {
namespace {

// The first in which plans need no GPU, nor a handle.
constexpr std::size_t oldest = 90800;

std::string version_text(std::size_t version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

/// "CUDNN_STATUS_…, and what it says besides", of this thread's last call that failed.
std::string reason(cudnnStatus_t status) {
  std::array<char, 512> message = {};
  cudnnGetLastErrorString(message.data(), message.size());
  const std::string said = message.data();
  return cudnnGetErrorString(status) + (said.empty() ? "" : ", " + said);
}

void check(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  const std::string failure = std::string("cuDNN could not ") + what + " (" + reason(status) + ")";
  if (status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED) throw OutOfMemory(failure, 0);
  throw Error(ExitCode::launch, failure);
}

void check_version() {
  if (cudnnGetVersion() >= oldest) return;
  throw Error(ExitCode::launch, "cuDNN " + version_text(cudnnGetVersion()) + " was loaded, and convolutions need " +
                                    version_text(oldest) +
                                    " or later: put the folder of a newer libcudnn_graph.so.9 first in LD_LIBRARY_PATH "
                                    "(launch/install --cuda brings one)");
}

// The types of attributes, by those of their values.
constexpr cudnnBackendAttributeType_t type_of(const std::int64_t& /*value*/) { return CUDNN_TYPE_INT64; }
constexpr cudnnBackendAttributeType_t type_of(const float& /*value*/) { return CUDNN_TYPE_FLOAT; }
constexpr cudnnBackendAttributeType_t type_of(const char& /*value*/) { return CUDNN_TYPE_CHAR; }
constexpr cudnnBackendAttributeType_t type_of(void* const& /*value*/) { return CUDNN_TYPE_VOID_PTR; }
constexpr cudnnBackendAttributeType_t type_of(const cudnnHandle_t& /*value*/) { return CUDNN_TYPE_HANDLE; }
constexpr cudnnBackendAttributeType_t type_of(const cudnnDataType_t& /*value*/) { return CUDNN_TYPE_DATA_TYPE; }
constexpr cudnnBackendAttributeType_t type_of(const cudnnConvolutionMode_t& /*value*/) {
  return CUDNN_TYPE_CONVOLUTION_MODE;
}
constexpr cudnnBackendAttributeType_t type_of(const cudnnBackendHeurMode_t& /*value*/) { return CUDNN_TYPE_HEUR_MODE; }

class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    check(cudnnBackendCreateDescriptor(type, &descriptor_), "make a descriptor");
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (descriptor_ != nullptr) cudnnBackendDestroyDescriptor(descriptor_);
  }

  template <class T>
  void set(cudnnBackendAttributeName_t name, const T* values, std::size_t count) {
    check(cudnnBackendSetAttribute(descriptor_, name, type_of(*values), static_cast<std::int64_t>(count), values),
          "take an attribute");
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, std::initializer_list<T> values) {
    set(name, values.begin(), values.size());
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    check(cudnnBackendSetAttribute(descriptor_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.descriptor_),
          "take a descriptor");
  }
  void finalize(const char* what) { check(cudnnBackendFinalize(descriptor_), what); }
  [[nodiscard]] cudnnBackendDescriptor_t get() const { return descriptor_; }

 private:
  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

// What the tensors are called in a plan's call.
enum : std::int64_t { fine_id = 1, weights_id, coarse_id };

Descriptor tensor(std::int64_t id, cudnnDataType_t type, int alignment, int images, int height, int width,
                  int channels) {
  const std::int64_t n = images, h = height, w = width, c = channels;
  Descriptor result(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  result.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, {id});
  result.set(CUDNN_ATTR_TENSOR_DATA_TYPE, {type});
  result.set(CUDNN_ATTR_TENSOR_DIMENSIONS, {n, c, h, w});
  result.set(CUDNN_ATTR_TENSOR_STRIDES, {h * w * c, std::int64_t{1}, w * c, c});
  result.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, {std::int64_t{alignment}});
  result.finalize("describe a tensor");
  return result;
}

// What differs between the operations.
struct Operation {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t convolution, fine, weights, coarse, scale, old;
};
const Operation& operation_of(ConvolutionPass pass) {
  static constexpr Operation coarse = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                                       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
  static constexpr Operation fine = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
  static constexpr Operation weights = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  return pass == ConvolutionPass::coarse ? coarse : pass == ConvolutionPass::fine ? fine : weights;
}

// cuDNN has no engine that makes float32 of bfloat16: all three arrays have one type. A null handle: of a GPU that is
// described.
Descriptor graph_of(const ConvolutionTask& task, cudnnHandle_t handle) {
  const cudnnDataType_t type = task.precision == Precision::bfloat16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  const Convolution& g = task.geometry;
  const Descriptor fine =
      tensor(fine_id, type, task.alignment, task.rows, g.fine_height, g.fine_width, g.fine_channels);
  const Descriptor weights =
      tensor(weights_id, type, task.alignment, g.coarse_channels, g.kernel, g.kernel, g.fine_channels);
  const Descriptor coarse =
      tensor(coarse_id, type, task.alignment, task.rows, g.coarse_height, g.coarse_width, g.coarse_channels);

  const std::int64_t stride = g.stride, padding = g.padding, one = 1, two = 2;
  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, {CUDNN_DATA_FLOAT});
  convolution.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, {CUDNN_CROSS_CORRELATION});
  convolution.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, {two});
  convolution.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, {one, one});
  convolution.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {stride, stride});
  convolution.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {padding, padding});
  convolution.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {padding, padding});
  convolution.finalize("describe a convolution");

  const Operation& names = operation_of(task.pass);
  Descriptor operation(names.type);
  operation.set(names.convolution, convolution);
  operation.set(names.fine, fine);
  operation.set(names.weights, weights);
  operation.set(names.coarse, coarse);
  operation.set(names.scale, {1.0F});
  operation.set(names.old, {task.accumulate ? 1.0F : 0.0F});
  operation.finalize("describe a convolution's pass");

  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
  if (handle != nullptr) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, {handle});
  graph.finalize("make a graph of a convolution");
  return graph;
}

Cudnn::Notes notes_of(const Descriptor& configuration) {
  const Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t to = engine.get();
  std::int64_t count = 0;
  check(cudnnBackendGetAttribute(configuration.get(), CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                 &count, &to),
        "name an engine");
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> all = {};
  check(cudnnBackendGetAttribute(engine.get(), CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                 static_cast<std::int64_t>(all.size()), &count, all.data()),
        "describe an engine");
  const auto has = [&](cudnnBackendNumericalNote_t note) {
    return std::find(all.begin(), all.begin() + count, note) != all.begin() + count;
  };
  return {has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC), has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE),
          has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS), has(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)};
}

bool may_take(const Cudnn::Notes& notes, Precision precision) {
  const bool narrow = notes.tensor_cores || notes.converts_inputs;
  return !notes.any_order && !notes.narrow_sums && !(narrow && precision == Precision::float32);
}

// Statuses are in thousands by kind.
bool means_unsupported(cudnnStatus_t status) { return CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED; }

}  // namespace

struct Cudnn::Engine {
  Descriptor plan{CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR};
};

// What plans are for: NVIDIA's cudnn-frontend, too, tells graphs and plans the handle, or heuristics and plans the
// description.
struct Cudnn::State {
  cudnnHandle_t handle = nullptr;      // of the GPU that is there
  std::unique_ptr<Descriptor> device;  // one that is described

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  // It frees memory: see CudaDevice::release().
  ~State() {
    if (handle != nullptr && std::uncaught_exceptions() == 0) cudnnDestroy(handle);
  }

  /// cuDNN's proposals, the best first.
  std::vector<Descriptor> proposals(const Descriptor& graph, cudnnBackendHeurMode_t mode, Plan& plan) const {
    Descriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_MODE, {mode});
    if (device) heuristic.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *device);
    const cudnnStatus_t status = cudnnBackendFinalize(heuristic.get());
    if (means_unsupported(status)) {
      plan.refusal = reason(status);
      return {};
    }
    check(status, "look for engines of a convolution");
    std::int64_t count = 0;
    check(cudnnBackendGetAttribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0,
                                   &count, nullptr),
          "count engines of a convolution");
    std::vector<Descriptor> result;
    std::vector<cudnnBackendDescriptor_t> to;
    for (std::int64_t i = 0; i < count; ++i)
      to.push_back(result.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).get());
    check(cudnnBackendGetAttribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count,
                                   &count, to.data()),
          "propose engines of a convolution");
    while (result.size() > static_cast<std::size_t>(count)) result.pop_back();
    return result;
  }
};

Cudnn::Cudnn(cudaStream_t stream) : state_(std::make_unique<State>()) {
  check_version();
  check(cudnnCreate(&state_->handle), "start");
  check(cudnnSetStream(state_->handle, stream), "use a stream");
}

Cudnn::Cudnn(const std::string& gpu) : state_(std::make_unique<State>()) {
  check_version();
  state_->device = std::make_unique<Descriptor>(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  state_->device->set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, gpu.data(), gpu.size());
  state_->device->finalize("understand a GPU's description");
}

Cudnn::~Cudnn() = default;

Cudnn::Plan Cudnn::plan(const ConvolutionTask& task) {
  const Descriptor graph = graph_of(task, state_->handle);
  Plan result;
  int proposed = 0;
  std::string broken;  // what befell an engine besides not being for this
  // The second: slower engines that take what others do not.
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
    for (const Descriptor& configuration : state_->proposals(graph, mode, result)) {
      ++proposed;
      const Notes notes = notes_of(configuration);
      if (!may_take(notes, task.precision)) continue;
      auto engine = std::make_shared<Engine>();
      engine->plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
      if (state_->device)
        engine->plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *state_->device);
      else
        engine->plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, {state_->handle});
      const cudnnStatus_t status = cudnnBackendFinalize(engine->plan.get());
      if (status != CUDNN_STATUS_SUCCESS) {
        (means_unsupported(status) ? result.refusal : broken) = reason(status);
        continue;
      }
      std::int64_t count = 0;
      std::int64_t workspace = 0;
      check(cudnnBackendGetAttribute(engine->plan.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                                     &count, &workspace),
            "tell a plan's workspace");
      if (static_cast<std::size_t>(workspace) > most_workspace) {
        result.refusal = "its engines want more than " + std::to_string(most_workspace >> 20) + " MiB to work in";
        continue;
      }
      result.workspace = static_cast<std::size_t>(workspace);
      result.engine = std::move(engine);
      result.notes = notes;
      result.refusal.clear();
      return result;
    }
  if (!broken.empty()) throw Error(ExitCode::launch, "cuDNN could not plan a convolution (" + broken + ")");
  if (result.refusal.empty())
    result.refusal =
        proposed == 0 ? "cuDNN proposes no engine" : "no engine rounds as little and has one order of sums";
  // That is all it says of numbers that a GPU does not have, and where half of it is missing. All have float32.
  if (proposed == 0 && task.precision != Precision::bfloat16)
    throw Error(ExitCode::launch,
                result.refusal +
                    " for a convolution: libcudnn_heuristic.so.9 and libcudnn_engines_precompiled.so.9 of the same "
                    "version have to lie beside libcudnn_graph.so.9 (launch/install --cuda brings all); --reproducible "
                    "trains without them");
  return result;
}

void Cudnn::run(const Plan& plan, const void* fine, const void* weights, const void* coarse, void* workspace) {
  // A host's object for each call, by cuDNN's rules; a graph, which calls once, has none of it in its steps.
  // cuDNN takes all arrays alike, and writes the pass's own.
  const std::initializer_list<void*> arrays = {const_cast<void*>(fine), const_cast<void*>(weights),
                                               const_cast<void*>(coarse)};
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS,
           {std::int64_t{fine_id}, std::int64_t{weights_id}, std::int64_t{coarse_id}});
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, arrays);
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, {workspace});
  pack.finalize("take a convolution's arrays");
  check(cudnnBackendExecute(state_->handle, plan.engine->plan.get(), pack.get()), "run a convolution");
}

std::string cudnn_version() { return version_text(cudnnGetVersion()); }

}  // namespace ganymede::cuda
