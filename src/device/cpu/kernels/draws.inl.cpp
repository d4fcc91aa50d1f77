// Draws and what is gathered from the data set. Part of kernels.inl.cpp.
#pragma once

#include "device/cpu/kernels/vectors.inl.cpp"
#include "math/functions.hpp"
#include "math/normal.hpp"
#include "math/permutation.hpp"
#include "math/philox.hpp"

namespace ganymede::cpu {
namespace {

// What becomes of the four numbers of a Philox block.
struct NormalNoise {
  GANYMEDE_INLINE static void draw(const math::Philox4& bits, float* to) {
    for (int pair = 0; pair < 2; ++pair) {
      const math::NormalPair two = math::normal_pair(bits.v[2 * pair], bits.v[2 * pair + 1]);
      to[2 * pair] = two.first;
      to[2 * pair + 1] = two.second;
    }
  }
};
struct UniformNoise {
  GANYMEDE_INLINE static void draw(const math::Philox4& bits, float* to) {
    for (int i = 0; i < 4; ++i) to[i] = math::symmetric_unit(bits.v[i]);
  }
};

// Blocks of four numbers, counted through all rows, sixteen at a time. write(place in out, number)
template <class Noise, class Write>
GANYMEDE_INLINE void draw_blocks(const NoiseArgs& args, int part, int parts, Write&& write) {
  constexpr int group = 16;
  const int per_row = (args.columns + 3) / 4;
  const LongRange range =
      long_piece(static_cast<std::size_t>(args.rows) * static_cast<std::size_t>(per_row), group, part, parts);
  for (std::size_t first = range.begin; first < range.end; first += group) {
    std::size_t row = first / static_cast<std::size_t>(per_row);
    auto block = static_cast<std::uint32_t>(first % static_cast<std::size_t>(per_row));
    std::uint32_t counter[4][group];
    std::size_t place[group];
    for (int l = 0; l < group; ++l) {
      const std::uint64_t sample = args.first_sample + row;
      counter[0][l] = block;
      counter[1][l] = args.stream;
      counter[2][l] = static_cast<std::uint32_t>(sample);
      counter[3][l] = static_cast<std::uint32_t>(sample >> 32);
      place[l] = row * static_cast<std::size_t>(args.columns) + 4 * block;
      if (++block == static_cast<std::uint32_t>(per_row)) {
        block = 0;
        ++row;
      }
    }
    float noise[group][4];
    for (int l = 0; l < group; ++l) {
      const math::Philox4 bits =
          math::philox4x32({{counter[0][l], counter[1][l], counter[2][l], counter[3][l]}},
                           static_cast<std::uint32_t>(args.seed), static_cast<std::uint32_t>(args.seed >> 32));
      Noise::draw(bits, noise[l]);
    }
    const int count = range.end - first < group ? static_cast<int>(range.end - first) : group;
    for (int l = 0; l < count; ++l) {
      const int n = smaller(4, args.columns - static_cast<int>(counter[0][l]) * 4);
      for (int j = 0; j < n; ++j) write(place[l] + static_cast<std::size_t>(j), noise[l][j]);
    }
  }
}

template <class Noise>
void draw_noise(const NoiseArgs& args, float*, int part, int parts) {
  draw_blocks<Noise>(
      args, part,
      parts, [out = args.out](std::size_t place, float noise) __attribute__((always_inline)) { out[place] = noise; });
}

void add_noise(const AddNoiseArgs& args, float*, int part, int parts) {
  draw_blocks<NormalNoise>(
      args.noise, part, parts,
      [ x = args.x, out = args.noise.out, deviation = args.deviation ](std::size_t place, float noise)
          __attribute__((always_inline)) { out[place] = x[place] + deviation * noise; });
}

void interpolate(const InterpolateArgs& args, float*, int part, int parts) {
  const Range range = piece(args.rows, part, parts);
  for (int i = range.begin; i < range.end; ++i) {
    const math::Philox4 bits = math::philox_draw(args.seed, static_cast<math::Stream>(args.stream),
                                                 args.first_sample + static_cast<std::uint64_t>(i), 0);
    const float alpha = math::unit_interval(bits.v[0]);
    const float* a = args.a + static_cast<std::ptrdiff_t>(i) * args.columns;
    const float* b = args.b + static_cast<std::ptrdiff_t>(i) * args.columns;
    float* out = args.out + static_cast<std::ptrdiff_t>(i) * args.columns;
    for (int j = 0; j < args.columns; ++j) out[j] = alpha * a[j] + (1.0F - alpha) * b[j];
  }
}

// Several images to a row, each in its channel.
GANYMEDE_INLINE void stack_images(const ImagesArgs& args, const Range& range) {
  for (int i = range.begin; i < range.end; ++i) {
    const std::uint64_t sample = args.first_sample + static_cast<std::uint64_t>(i);
    for (int c = 0; c < args.channels; ++c) {
      const std::size_t place =
          math::image_of_sample(args.seed, sample, args.image_count, static_cast<std::uint32_t>(c));
      const std::uint8_t* pixels = args.images + place * static_cast<std::size_t>(args.pixels);
      float* out = args.out + static_cast<std::ptrdiff_t>(i) * args.pixels * args.channels + c;
      for (int j = 0; j < args.pixels; ++j)
        out[static_cast<std::ptrdiff_t>(j) * args.channels] = math::unit_scaled(pixels[j]);
    }
  }
}

void gather_images(const ImagesArgs& args, float*, int part, int parts) {
  // The images stand anywhere in a set that no cache holds: each is asked for this many before it is read.
  constexpr int ahead = 8;
  const Range range = piece(args.rows, part, parts);
  if (args.channels > 1) {
    stack_images(args, range);
    return;
  }
  std::uint64_t epoch = (args.first_sample + static_cast<std::uint64_t>(range.begin)) / args.image_count;
  math::Permutation permutation(args.seed, epoch, args.image_count);
  const std::uint8_t* image[ahead];
  for (int next = range.begin; next < range.end + ahead; ++next) {
    if (const int i = next - ahead; i >= range.begin) {
      const std::uint8_t* pixels = image[i % ahead];
      float* out = args.out + static_cast<std::ptrdiff_t>(i) * args.pixels;
      for (int j = 0; j < args.pixels; ++j) out[j] = math::unit_scaled(pixels[j]);
    }
    if (next < range.end) {
      const std::uint64_t sample = args.first_sample + static_cast<std::uint64_t>(next);
      if (sample / args.image_count != epoch) {
        epoch = sample / args.image_count;
        permutation = math::Permutation(args.seed, epoch, args.image_count);
      }
      const std::size_t place = permutation(static_cast<std::uint32_t>(sample % args.image_count));
      const std::uint8_t* pixels = args.images + place * static_cast<std::size_t>(args.pixels);
      // Into the second-level cache, which takes more requests at a time than the first.
      for (int j = 0; j < args.pixels; j += 64) __builtin_prefetch(pixels + j, 0, 2);
      __builtin_prefetch(pixels + args.pixels - 1, 0, 2);
      image[next % ahead] = pixels;
    }
  }
}

}  // namespace
}  // namespace ganymede::cpu
