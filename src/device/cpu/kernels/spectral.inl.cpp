// Products of a matrix with a vector and what spectral normalisation makes of them. Part of kernels.inl.cpp. They are
// bound by memory: sums in double cost nothing.
#pragma once

#include "device/cpu/kernels/gradients.inl.cpp"

namespace ganymede::cpu {
namespace {

void row_dots(const RowDotsArgs& args, float*, int part, int parts) {
  constexpr int chains = 16;
  const Range range = piece(args.rows, part, parts);
  for (int row = range.begin; row < range.end; ++row) {
    const float* a = args.a + static_cast<std::ptrdiff_t>(row) * args.columns;
    const float* b = args.b + row * args.b_stride;
    Doubles sums[chains / half] = {};
    int i = 0;
    for (; i + chains <= args.columns; i += chains) {
      GANYMEDE_UNROLL
      for (int j = 0; j < chains / half; ++j) sums[j] += widened(a + i + j * half) * widened(b + i + j * half);
    }
    alignas(64) double sum[chains];
    __builtin_memcpy(sum, sums, sizeof sum);
    for (int j = 0; i + j < args.columns; ++j)
      sum[j] = static_cast<double>(a[i + j]) * static_cast<double>(b[i + j]) + sum[j];
    for (int width = chains / 2; width > 0; width /= 2)
      for (int j = 0; j < width; ++j) sum[j] += sum[j + width];
    args.dots[row] = sum[0];
  }
}

// A stretch of columns at a time, whose sums stay in the first cache.
void column_sums(const ColumnSumsArgs& args, float*, int part, int parts) {
  constexpr std::size_t stretch = 1024;
  const LongRange range = long_piece(static_cast<std::size_t>(args.columns), 64, part, parts);
  for (std::size_t begin = range.begin; begin < range.end; begin += stretch) {
    const std::size_t count = range.end - begin < stretch ? range.end - begin : stretch;
    double* __restrict sums = args.sums + begin;
    for (std::size_t j = 0; j < count; ++j) sums[j] = 0;
    for (int row = 0; row < args.rows; ++row) {
      const float* __restrict w = args.w + static_cast<std::ptrdiff_t>(row) * args.columns + begin;
      const auto u = static_cast<double>(args.u[row]);
      for (std::size_t j = 0; j < count; ++j) sums[j] = u * static_cast<double>(w[j]) + sums[j];
    }
  }
}

void divide(const DivideArgs& args, float*, int part, int parts) {
  const LongRange range = long_piece(args.count, 64, part, parts);
  const float divisor = args.divisor;
  const float* __restrict from = args.from;
  float* __restrict to = args.to;
  for (std::size_t i = range.begin; i < range.end; ++i) to[i] = from[i] / divisor;
}

void take_rank_one(const RankOneArgs& args, float*, int part, int parts) {
  const Range range = piece(args.rows, part, parts);
  const float* __restrict v = args.v;
  for (int row = range.begin; row < range.end; ++row) {
    const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(row) * args.columns;
    const float* __restrict g = args.g + first;
    float* __restrict to = args.to + first;
    const float factor = args.factor * args.u[row];
    const float divisor = args.divisor;
    for (int j = 0; j < args.columns; ++j) to[j] = (g[j] - factor * v[j]) / divisor;
  }
}

}  // namespace
}  // namespace ganymede::cpu
