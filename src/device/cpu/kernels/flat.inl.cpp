// Flat buffers: conversions, norms and the optimisers. Part of kernels.inl.cpp.
#pragma once

#include "device/cpu/kernels/vectors.inl.cpp"
#include "math/fixed_point.hpp"
#include "math/optimizer/optimizers.hpp"

namespace ganymede::cpu {
namespace {

void from_fixed_point(const FromFixedArgs& args, float*, int part, int parts) {
  const LongRange range = long_piece(args.count, 64, part, parts);
  for (std::size_t i = range.begin; i < range.end; ++i)
    args.to[i] = static_cast<float>(math::from_fixed_point(args.from[i]));
}

void add_to(const AddArgs& args, float*, int part, int parts) {
  const LongRange range = long_piece(args.count, 64, part, parts);
  for (std::size_t i = range.begin; i < range.end; ++i) args.to[i] += static_cast<double>(args.from[i]);
}

void sum_of_squares(const SquaresArgs& args, float*, int part, int parts) {
  const LongRange range = long_piece(args.count, squares_block, part, parts);
  for (std::size_t block = range.begin; block < range.end; block += squares_block) {
    const std::size_t end = range.end - block < squares_block ? range.end : block + squares_block;
    alignas(64) double sum[16] = {};
    Doubles sums[16 / half] = {};
    std::size_t i = block;
    for (; i + 16 <= end; i += 16) {
      GANYMEDE_UNROLL
      for (std::size_t j = 0; j < 16 / half; ++j) {
        const Doubles x = widened(args.x + i + j * half);
        sums[j] += x * x;
      }
    }
    __builtin_memcpy(sum, sums, sizeof sum);
    for (std::size_t j = 0; i + j < end; ++j) {
      const auto x = static_cast<double>(args.x[i + j]);
      sum[j] = x * x + sum[j];
    }
    for (int width = 8; width > 0; width /= 2)
      for (int j = 0; j < width; ++j) sum[j] += sum[j + width];
    args.partial[block / squares_block] = sum[0];
  }
}

template <class Rule, bool Plain>
GANYMEDE_INLINE void update_range(const OptimizerArgs& args, const LongRange& range) {
  constexpr int states = math::state_count<Rule>;
  const OptimizerConstants constants = args.constants;
  float factors[math::most_factors];
  __builtin_memcpy(factors, args.factors, sizeof factors);
  const float* __restrict gradient = args.gradient;
  float* __restrict parameters = args.parameters;
  float* __restrict state[states];
  for (int s = 0; s < states; ++s) state[s] = args.state[s];
  for (std::size_t i = range.begin; i < range.end; ++i) {
    float values[states];
    GANYMEDE_UNROLL
    for (int s = 0; s < states; ++s) values[s] = state[s][i];
    float parameter = parameters[i];
    math::update_element<Rule, Plain>(constants, factors, gradient[i], parameter, values);
    GANYMEDE_UNROLL
    for (int s = 0; s < states; ++s) state[s][i] = values[s];
    parameters[i] = parameter;
  }
}

void optimizer_update(const OptimizerArgs& args, float*, int part, int parts) {
  const LongRange range = long_piece(args.count, 64, part, parts);
  math::Optimizers::visit(
      args.optimizer, [&](auto rule) __attribute__((always_inline)) {
        if (math::plain_update(args.constants)) {
          update_range<decltype(rule), true>(args, range);
        } else {
          update_range<decltype(rule), false>(args, range);
        }
      });
}

void exponential_average(const AverageArgs& args, float*, int part, int parts) {
  const LongRange range = long_piece(args.count, 64, part, parts);
  const float decay = args.decay;
  const float rest = 1.0F - decay;
  const float* __restrict value = args.value;
  float* __restrict average = args.average;
  for (std::size_t i = range.begin; i < range.end; ++i) average[i] = decay * average[i] + rest * value[i];
}

}  // namespace
}  // namespace ganymede::cpu
