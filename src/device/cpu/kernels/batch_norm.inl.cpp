// Batch normalisation: sums over a batch, and the passes that follow from them. Part of kernels.inl.cpp.
#pragma once

#include "device/cpu/kernels/gradients.inl.cpp"
#include "math/activation/activations.hpp"

namespace ganymede::cpu {
namespace {

GANYMEDE_INLINE Doubles load_doubles(const double* from) {
  Doubles value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}
GANYMEDE_INLINE void store_doubles(double* to, Doubles value) { __builtin_memcpy(to, &value, sizeof value); }

// sums += a and products += a · b at `vectors` · half places of n rows. In double throughout: a variance may be a
// millionth of the mean square that it is taken from. The products of floats are exact in double, so a chain has the
// same bits with fused multiply-adds and without.
template <int vectors, bool squares>
GANYMEDE_INLINE void add_rows(const float* a, const float* b, std::ptrdiff_t row, int n, double* sums,
                              double* products) {
  Doubles sum[vectors];
  Doubles product[vectors];
  GANYMEDE_UNROLL
  for (int i = 0; i < vectors; ++i) {
    sum[i] = load_doubles(sums + i * half);
    product[i] = load_doubles(products + i * half);
  }
  for (int k = 0; k < n; ++k, a += row, b += row) {
    GANYMEDE_UNROLL
    for (int i = 0; i < vectors; ++i) {
      const Doubles left = widened(a + i * half);
      const Doubles right = squares ? left : widened(b + i * half);
      sum[i] += left;
      product[i] += left * right;
    }
  }
  GANYMEDE_UNROLL
  for (int i = 0; i < vectors; ++i) {
    store_doubles(sums + i * half, sum[i]);
    store_doubles(products + i * half, product[i]);
  }
}

template <bool squares>
GANYMEDE_INLINE void add_columns(const float* a, const float* b, std::ptrdiff_t row, int n, Range columns, double* sums,
                                 double* products) {
#if defined(__AVX512F__)
  constexpr int vectors = 8;
#else
  constexpr int vectors = 4;
#endif
  int j = columns.begin;
  for (; j + vectors * half <= columns.end; j += vectors * half)
    add_rows<vectors, squares>(a + j, b + j, row, n, sums + j, products + j);
  for (; j + half <= columns.end; j += half) add_rows<1, squares>(a + j, b + j, row, n, sums + j, products + j);
  if (j == columns.end) return;
  for (int k = 0; k < n; ++k, a += row, b += row) {
    for (int i = j; i < columns.end; ++i) {
      const auto left = static_cast<double>(a[i]);
      sums[i] += left;
      products[i] += left * static_cast<double>(b[i]);
    }
  }
}

// Every place of a row has a chain of its own over the rows of a stretch, so that places can be shared among the parts
// where stretches are few.
template <bool squares>
GANYMEDE_INLINE void sum_stretches(const BatchNormSumsArgs& args, int part, int parts) {
  constexpr int panel = 64;
  constexpr int run = 16;  // rows whose columns are taken a few at a time, while memory is still read in order
  const int row = args.row;
  const int panels = (row + panel - 1) / panel;
  const Range range = piece(args.stretches * panels, part, parts);
  for (int item = range.begin; item < range.end;) {
    const int which = item / panels;
    const int first = item % panels;
    const int last = smaller(panels, first + range.end - item);
    item += last - first;
    const Range columns{first * panel, smaller(last * panel, row)};
    double* sums = args.sums + static_cast<std::ptrdiff_t>(which) * 2 * row;
    double* products = sums + row;
    for (int j = columns.begin; j < columns.end; ++j) sums[j] = products[j] = 0;
    const Stretch stretch = args.stretch[which];
    const float* a = args.a + stretch.begin;
    const float* b = args.b + stretch.begin;
    const int rows = static_cast<int>(stretch.count / static_cast<std::size_t>(row));
    for (int k = 0; k < rows; k += run) {
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(k) * row;
      add_columns<squares>(a + at, b + at, row, smaller(run, rows - k), columns, sums, products);
    }
    const int rest = static_cast<int>(stretch.count % static_cast<std::size_t>(row));
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(rows) * row;
    add_columns<squares>(a + at, b + at, row, 1, {columns.begin, smaller(columns.end, rest)}, sums, products);
  }
}

void batch_norm_sums(const BatchNormSumsArgs& args, float*, int part, int parts) {
  if (args.a == args.b) {
    sum_stretches<true>(args, part, parts);
  } else {
    sum_stretches<false>(args, part, parts);
  }
}

// What a part does of a pass over whole arrays: work(part of the batch, first element, elements), row by row.
template <class Work>
GANYMEDE_INLINE void for_rows(int batch_parts, std::size_t part_size, int row, int part, int parts, Work&& work) {
  const auto size = static_cast<std::size_t>(row);
  const std::size_t rows = (part_size + size - 1) / size;
  const LongRange range = long_piece(rows * static_cast<std::size_t>(batch_parts), 1, part, parts);
  for (std::size_t k = range.begin; k < range.end; ++k) {
    const std::size_t batch_part = k / rows;
    const std::size_t at = k % rows * size;
    work(batch_part, batch_part * part_size + at, static_cast<int>(part_size - at < size ? part_size - at : size));
  }
}

void batch_norm_forward(const BatchNormForwardArgs& args, float*, int part, int parts) {
  const float parameter = args.parameter;
  math::Activations::visit(
      args.activation, [&](auto sigma) __attribute__((always_inline)) {
        for_rows(
            args.batch_parts, args.part_size, args.row, part,
            parts, [&](std::size_t batch_part, std::size_t at, int n) __attribute__((always_inline)) {
              const auto row = static_cast<std::size_t>(args.row);
              const float* __restrict mean = args.coefficients + batch_part * 3 * row;
              const float* __restrict scale = mean + row;
              const float* __restrict shift = scale + row;
              const float* x = args.x + at;
              float* y = args.y + at;
              for (int j = 0; j < n; ++j) y[j] = sigma.value(scale[j] * (x[j] - mean[j]) + shift[j], parameter);
            });
      });
}

void batch_norm_backward_data(const BatchNormBackwardArgs& args, float*, int part, int parts) {
  const float parameter = args.parameter;
  math::Activations::visit(
      args.activation, [&](auto below) __attribute__((always_inline)) {
        for_rows(
            args.batch_parts, args.part_size, args.row, part,
            parts, [&](std::size_t batch_part, std::size_t at, int n) __attribute__((always_inline)) {
              const auto row = static_cast<std::size_t>(args.row);
              const float* __restrict mean = args.coefficients + batch_part * 4 * row;
              const float* __restrict scale = mean + row;
              const float* __restrict slope = scale + row;
              const float* __restrict shift = slope + row;
              const float* x = args.x + at;
              const float* delta = args.delta + at;
              float* result = args.result + at;
              for (int j = 0; j < n; ++j) {
                const float sum = scale[j] * delta[j] + (slope[j] * (x[j] - mean[j]) + shift[j]);
                result[j] = below.slope(x[j], parameter) * sum;
              }
            });
      });
}

}  // namespace
}  // namespace ganymede::cpu
