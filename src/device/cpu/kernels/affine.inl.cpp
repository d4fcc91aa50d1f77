// The fully connected layers' passes from one layer to the next. Part of kernels.inl.cpp.
#pragma once

#include "device/cpu/kernels/product.inl.cpp"
#include "math/activation/activations.hpp"

namespace ganymede::cpu {
namespace {

void affine_forward(const AffineArgs& args, float* scratch, int part, int parts) {
  const float parameter = args.parameter;
  const float* bias = args.bias;
  math::Activations::visit(
      args.activation, [&](auto sigma) __attribute__((always_inline)) {
        if (args.out == 1) {
          const Range range = piece(args.rows, part, parts);
          for (int i = range.begin; i < range.end; ++i)
            args.result[i] = sigma.value(dot(args.x + static_cast<std::ptrdiff_t>(i) * args.in, args.w, args.in) +
                                             (bias == nullptr ? 0.0F : bias[0]),
                                         parameter);
          return;
        }
        product<true>(
            args.rows, args.out, args.in, args.x, args.w, args.result, nullptr, scratch, part,
            parts, [&](int, int column, int n, float* c) __attribute__((always_inline)) {
              if (bias == nullptr) {
                for (int j = 0; j < n; ++j) c[j] = sigma.value(c[j], parameter);
              } else {
                for (int j = 0; j < n; ++j) c[j] = sigma.value(c[j] + bias[column + j], parameter);
              }
            });
      });
}

void affine_tangent(const AffineArgs& args, float* scratch, int part, int parts) {
  const float parameter = args.parameter;
  math::Activations::visit(
      args.activation, [&](auto sigma) __attribute__((always_inline)) {
        const float* y = args.slope_of;
        if (args.out == 1) {
          const Range range = piece(args.rows, part, parts);
          for (int i = range.begin; i < range.end; ++i)
            args.result[i] =
                dot(args.x + static_cast<std::ptrdiff_t>(i) * args.in, args.w, args.in) * sigma.slope(y[i], parameter);
          return;
        }
        product<true>(
            args.rows, args.out, args.in, args.x, args.w, args.result, y, scratch, part,
            parts, [&](int row, int column, int n, float* c) __attribute__((always_inline)) {
              const float* h = y + static_cast<std::ptrdiff_t>(row) * args.out + column;
              for (int j = 0; j < n; ++j) c[j] *= sigma.slope(h[j], parameter);
            });
      });
}

void affine_backward_data(const AffineArgs& args, float* scratch, int part, int parts) {
  const float parameter = args.parameter;
  const float* x = args.slope_of;
  if (x == nullptr) {
    product<false>(args.rows, args.in, args.out, args.x, args.w, args.result, nullptr, scratch, part, parts,
                   [](int, int, int, float*) __attribute__((always_inline)){});
    return;
  }
  math::Activations::visit(
      args.activation, [&](auto below) __attribute__((always_inline)) {
        product<false>(
            args.rows, args.in, args.out, args.x, args.w, args.result, x, scratch, part,
            parts, [&](int row, int column, int n, float* c) __attribute__((always_inline)) {
              const float* h = x + static_cast<std::ptrdiff_t>(row) * args.in + column;
              for (int j = 0; j < n; ++j) c[j] *= below.slope(h[j], parameter);
            });
      });
}

}  // namespace
}  // namespace ganymede::cpu
