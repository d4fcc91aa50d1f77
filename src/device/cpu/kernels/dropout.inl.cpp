// Dropout: masks, and what they leave of a layer. Part of kernels.inl.cpp.
#pragma once

#include "math/dropout.hpp"

#include "device/cpu/kernels/vectors.inl.cpp"
#include "math/activation/activations.hpp"

namespace ganymede::cpu {
namespace {

// Sixteen Philox blocks at a time, for vectors; the last ones of a row may be too many.
void draw_mask(const MaskArgs& args, float*, int part, int parts) {
  constexpr int group = 16;
  const Range range = piece(args.rows, part, parts);
  const std::uint32_t threshold = args.threshold;
  const auto key0 = static_cast<std::uint32_t>(args.seed);
  const auto key1 = static_cast<std::uint32_t>(args.seed >> 32);
  for (int row = range.begin; row < range.end; ++row) {
    const std::uint64_t sample = args.first_sample + static_cast<std::uint64_t>(row);
    const auto sample0 = static_cast<std::uint32_t>(sample);
    const auto sample1 = static_cast<std::uint32_t>(sample >> 32);
    std::uint8_t* mask = args.mask + static_cast<std::ptrdiff_t>(row) * args.columns;
    for (int first = 0; first < args.columns; first += 4 * group) {
      const std::uint32_t block = math::dropout_block(args.layer, static_cast<std::uint32_t>(first / 4));
      std::uint8_t kept[4][group];
      for (int l = 0; l < group; ++l) {
        const math::Philox4 bits =
            math::philox4x32({{block + static_cast<std::uint32_t>(l), args.stream, sample0, sample1}}, key0, key1);
        for (int j = 0; j < 4; ++j) kept[j][l] = bits.v[j] < threshold ? 0 : 1;
      }
      const int count = smaller(4 * group, args.columns - first);
      for (int i = 0; i < count; ++i) mask[first + i] = kept[i % 4][i / 4];
    }
  }
}

void apply_mask(const ApplyMaskArgs& args, float*, int part, int parts) {
  const LongRange range = long_piece(args.count, 64, part, parts);
  const float factor = args.factor;
  const float parameter = args.parameter;
  const std::uint8_t* mask = args.mask;
  const float* from = args.from;
  const float* h = args.slope_of;
  float* to = args.to;
  math::Activations::visit(
      args.activation, [&](auto below) __attribute__((always_inline)) {
        for (std::size_t i = range.begin; i < range.end; ++i)
          to[i] = mask[i] != 0 ? factor * from[i] * below.slope(h[i], parameter) : 0.0F;
      });
}

}  // namespace
}  // namespace ganymede::cpu
