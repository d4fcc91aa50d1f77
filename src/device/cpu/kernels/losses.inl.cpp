// GAN losses and gradient penalties. Part of kernels.inl.cpp.
#pragma once

#include "math/loss/losses.hpp"

#include "device/cpu/kernels/product.inl.cpp"
#include "math/penalty/penalties.hpp"

namespace ganymede::cpu {
namespace {

void loss(const LossArgs& args, float*, int part, int parts) {
  const Range range = piece(args.rows, part, parts);
  math::Losses::visit(
      args.loss, [&](auto loss) __attribute__((always_inline)) {
        for (int i = range.begin; i < range.end; ++i) {
          const float r = args.real == nullptr ? 0.0F : args.real[i];
          const float f = args.fake[i];
          const math::LossTerm term =
              args.discriminator ? loss.discriminator(r, f, args.smoothing) : loss.generator(r, f);
          args.value[i] = term.value;
          if (args.seed_real != nullptr) args.seed_real[i] = args.scale * term.d_real;
          args.seed_fake[i] = args.scale * term.d_fake;
        }
      });
}

void gradient_penalty(const PenaltyArgs& args, float*, int part, int parts) {
  const Range range = piece(args.rows, part, parts);
  math::Penalties::visit(
      args.penalty, [&](auto penalty) __attribute__((always_inline)) {
        for (int i = range.begin; i < range.end; ++i) {
          const float* g = args.g + static_cast<std::ptrdiff_t>(i) * args.columns;
          float* v = args.v + static_cast<std::ptrdiff_t>(i) * args.columns;
          args.squares[i] = dot(g, g, args.columns);
          const float factor = args.coefficient * penalty.factor(args.squares[i]);
          for (int j = 0; j < args.columns; ++j) v[j] = factor * g[j];
        }
      });
}

void combine_rows(const CombineRowsArgs& args, float*, int part, int parts) {
  const Range range = piece(args.rows, part, parts);
  for (int i = range.begin; i < range.end; ++i) {
    const float* t = args.t + static_cast<std::ptrdiff_t>(i) * args.columns;
    float* h = args.h + static_cast<std::ptrdiff_t>(i) * args.columns;
    const float scale = args.scale[i];
    for (int j = 0; j < args.columns; ++j) h[j] = scale * h[j] + t[j];
  }
}

}  // namespace
}  // namespace ganymede::cpu
