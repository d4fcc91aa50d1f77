// Batch normalisation on the CPU: Device's operations of that name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "device/cpu/engine.hpp"

namespace ganymede::cpu {

class BatchNorms {
 public:
  explicit BatchNorms(Engine& engine) : engine_(engine) {}

  void moments(const BatchLayout& layout, const BatchNorm& norm, const float* x, std::int64_t* sums);
  static void statistics(int parts, const BatchNorm& norm, const std::int64_t* moments, float* statistics,
                         float* running);
  static void frozen(const BatchNorm& norm, const float* running, float* statistics);
  void forward(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* statistics,
               const float* gamma, const float* beta, Activation sigma, float* y);
  void adjoints(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                const float* statistics, std::int64_t* sums);
  static void gradients(int parts, const BatchNorm& norm, const std::int64_t* adjoints, bool accumulate,
                        const SumTarget& dgamma, const SumTarget& dbeta);
  void backward_data(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                     const float* statistics, const float* gamma, const std::int64_t* adjoints, Activation below,
                     float* delta_in);

 private:
  template <class Finish>
  void sum_batch(const BatchLayout& layout, const BatchNorm& norm, const float* a, const float* b, std::int64_t* sums,
                 Finish&& finish);

  Engine& engine_;
  Workspace<float> coefficients_;
  Workspace<double> partial_;
  std::vector<Stretch> stretches_;
};

}  // namespace ganymede::cpu
