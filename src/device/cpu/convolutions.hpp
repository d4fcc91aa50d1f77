// Convolutions on the CPU: which kernels compute one, and in what memory. A function of the geometry alone, and so the
// same for any number of rows, threads and ranks.
#pragma once

#include <array>
#include <map>

#include "device/cpu/engine.hpp"
#include "device/cpu/winograd_plan.hpp"

namespace ganymede::cpu {

class Convolutions {
 public:
  explicit Convolutions(Engine& engine) : engine_(engine) {}

  /// Device::convolve(), or convolve_transposed().
  void run(const Convolution& geometry, bool transposed, int rows, const float* source, const float* w,
           const Finish& finish, float* result);
  /// Device::convolution_gradients().
  void gradients(const BatchLayout& layout, const Convolution& geometry, const float* fine, const float* coarse,
                 bool accumulate, const SumTarget& dw);

 private:
  using Key = std::array<int, 10>;

  void window_gradients(const BatchLayout& layout, const Convolution& geometry, const float* fine, const float* coarse,
                        bool accumulate, const SumTarget& dw);
  void winograd_gradients(const WinogradTables& winograd, const BatchLayout& layout, const Convolution& geometry,
                          const float* fine, const float* coarse, bool accumulate, const SumTarget& dw);
  // The tables of a geometry, made when it is first met.
  const WinogradTables& tables(const Convolution& geometry, bool transposed);

  Engine& engine_;
  Workspace<float> filters_;
  Workspace<float> windows_;
  Workspace<int> offsets_;
  Workspace<int> blocks_;
  std::map<Key, WinogradTables> winograd_;
};

}  // namespace ganymede::cpu
