// Convolutions by cuDNN's graph API: which of its engines does one, in how much workspace, and running it. Through the
// C functions of cudnn_graph.h: an operation is one node of three tensors, for which NVIDIA's header library
// (cudnn-frontend) would be a second dependency, not part of the toolkit, and half a minute of compiling.
//
// An engine is taken for what it may do to a training: none that adds in an order of its own each time, because a
// training repeats bit for bit; none that rounds more than was asked for. Planning needs no GPU where one is described
// (tests/cudnn_plans); tests without a GPU have this interface implemented by tests/cuda_backend/simulated_cudnn.cpp.
#pragma once

#include <cuda_runtime_api.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "device/precision.hpp"
#include "ganymede/device.hpp"

namespace ganymede::cuda {

/// Which of a convolution's three arrays is made of the other two. In cuDNN's words: the forward operation, the data
/// gradient and the filter gradient.
enum class ConvolutionPass { coarse, fine, weights };

struct ConvolutionTask {
  ConvolutionPass pass = ConvolutionPass::coarse;
  Convolution geometry;
  int rows = 0;
  bool accumulate = false;  ///< of weights: added to what is there
  int alignment = 16;       ///< of the arrays' addresses, in bytes, up to 16
  /// All three arrays are of bfloat16, or all of float32. Sums are float32 always, until they are written.
  Precision precision = Precision::float32;

  friend auto operator<=>(const ConvolutionTask&, const ConvolutionTask&) = default;  // NOLINT(modernize-use-nullptr)
};

class Cudnn {
 public:
  /// An engine that wants more working memory is passed over: the next is rarely much slower, and all of it is taken
  /// from the batch.
  static constexpr std::size_t most_workspace = std::size_t{512} << 20;

  /// For the current GPU and this stream of it.
  explicit Cudnn(cudaStream_t stream);
  /// For a GPU that need not be there, from cuDNN's JSON of its properties: plans, and runs nothing.
  explicit Cudnn(const std::string& gpu);
  Cudnn(const Cudnn&) = delete;
  Cudnn& operator=(const Cudnn&) = delete;
  ~Cudnn();

  /// What cuDNN notes of an engine's arithmetic.
  struct Notes {
    bool any_order = false;        ///< sums in another order each time
    bool tensor_cores = false;     ///< which take nothing wider than TF32
    bool converts_inputs = false;  ///< to something narrower than the arrays
    bool narrow_sums = false;      ///< narrower than float32
  };
  struct Engine;
  struct Plan {
    std::shared_ptr<const Engine> engine;  ///< null: cuDNN has none that may be taken
    Notes notes;                           ///< the engine's
    std::size_t workspace = 0;             ///< bytes
    std::string refusal;                   ///< without an engine: why
  };
  /// The first engine by cuDNN's heuristics that may be taken. Throws Error(launch) where not the convolution but cuDNN
  /// is in the way. Takes milliseconds, and seconds the first time.
  [[nodiscard]] Plan plan(const ConvolutionTask& task);

  /// Enqueues it; the pass's own array is written.
  void run(const Plan& plan, const void* fine, const void* weights, const void* coarse, void* workspace);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// "9.19.0": of the library that was loaded.
std::string cudnn_version();

}  // namespace ganymede::cuda
