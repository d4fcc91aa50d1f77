// Channels that say which class a row has. Part of kernels.inl.cpp.
#pragma once

#include "device/cpu/kernels/vectors.inl.cpp"
#include "math/activation/activations.hpp"

namespace ganymede::cpu {
namespace {

void append_class(const ClassArgs& args, float*, int part, int parts) {
  const Range range = piece(args.rows, part, parts);
  for (int row = range.begin; row < range.end; ++row) {
    const int label = args.labels == nullptr ? -1 : args.labels[row];
    const float* x = args.x + static_cast<std::ptrdiff_t>(row) * args.pixels * args.channels;
    float* y = args.result + static_cast<std::ptrdiff_t>(row) * args.pixels * (args.channels + args.classes);
    for (int pixel = 0; pixel < args.pixels; ++pixel) {
      for (int j = 0; j < args.channels; ++j) y[j] = x[j];
      x += args.channels;
      y += args.channels;
      for (int c = 0; c < args.classes; ++c) y[c] = c == label ? 1.0F : 0.0F;
      y += args.classes;
    }
  }
}

void append_class_backward(const ClassArgs& args, float*, int part, int parts) {
  const Range range = piece(args.rows, part, parts);
  const float parameter = args.parameter;
  math::Activations::visit(
      args.activation, [&](auto below) __attribute__((always_inline)) {
        for (int row = range.begin; row < range.end; ++row) {
          const float* delta = args.x + static_cast<std::ptrdiff_t>(row) * args.pixels * (args.channels + args.classes);
          const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(row) * args.pixels * args.channels;
          const float* h = args.slope_of + first;
          float* result = args.result + first;
          for (int pixel = 0; pixel < args.pixels; ++pixel) {
            for (int j = 0; j < args.channels; ++j) result[j] = delta[j] * below.slope(h[j], parameter);
            delta += args.channels + args.classes;
            h += args.channels;
            result += args.channels;
          }
        }
      });
}

}  // namespace
}  // namespace ganymede::cpu
