// Gradients of a convolution's weights without a transform: a tap's share is the product of what the tap meets with the
// adjoints of the coarse pixels. Part of kernels.inl.cpp.
//
// A tile is some taps that follow each other in a window, by some vectors of coarse channels, and stays in registers
// for a strip of lines of one image: the fine image's floats are broadcast from where they lie, the adjoints loaded.
// Sums of strips are added up for a block of images, sums of blocks for a shard. Strips and blocks are cut by the
// geometry alone, and blocks from their shard's beginning on.
#pragma once

#include "device/cpu/kernels/convolution.inl.cpp"
#include "device/cpu/kernels/gradients.inl.cpp"

namespace ganymede::cpu {
namespace {

#if defined(__AVX512F__)
constexpr int product_vectors = 4;
#else
constexpr int product_vectors = 2;
#endif
constexpr int product_taps = 6;

struct WindowProduct {
  const float* source;   // what the first tap meets at the first pixel
  std::ptrdiff_t line;   // from a line of pixels to the next there,
  std::ptrdiff_t pixel;  // and from a pixel to the next
  const float* adjoint;  // the first channel's at the first pixel
  int channels;          // from a pixel to the next there
  int last;              // where the last vector of channels begins, behind the first channel
  int lines, pixels;
  float* sums;  // [taps][ld]
  int ld;
  const float* ahead;  // what to ask memory for, a cache line for each pixel,
  int ahead_step;      // or the same one
};

template <int Taps, int Vectors>
__attribute__((noinline)) void window_product(const WindowProduct& of) {
  Vector sum[Taps][Vectors] = {};
  const float* adjoint = of.adjoint;
  const float* ahead = of.ahead;
  for (int y = 0; y < of.lines; ++y) {
    const float* source = of.source + y * of.line;
    for (int x = 0; x < of.pixels; ++x, source += of.pixel, adjoint += of.channels, ahead += of.ahead_step) {
      __builtin_prefetch(ahead, 0, 2);  // into the second cache: the first is full of this strip
      Vector right[Vectors];
      GANYMEDE_UNROLL
      for (int j = 0; j < Vectors; ++j) right[j] = load(adjoint + (j + 1 < Vectors ? j * lanes : of.last));
      GANYMEDE_UNROLL
      for (int i = 0; i < Taps; ++i) {
        const Vector left = broadcast(source[i]);
        GANYMEDE_UNROLL
        for (int j = 0; j < Vectors; ++j) accumulate(left, right[j], sum[i][j]);
      }
    }
  }
  float* to = of.sums;
  GANYMEDE_UNROLL
  for (int i = 0; i < Taps; ++i, to += of.ld) {
    GANYMEDE_UNROLL
    for (int j = 0; j < Vectors; ++j) store(to + j * lanes, load(to + j * lanes) + sum[i][j]);
  }
}

using RunWindowProduct = void (*)(const WindowProduct& of);
template <int Vectors>
GANYMEDE_INLINE RunWindowProduct window_product_of(int taps) {
  switch (taps) {
    case 1:
      return window_product<1, Vectors>;
    case 2:
      return window_product<2, Vectors>;
    case 3:
      return window_product<3, Vectors>;
    case 4:
      return window_product<4, Vectors>;
    case 5:
      return window_product<5, Vectors>;
    default:
      return window_product<product_taps, Vectors>;
  }
}
GANYMEDE_INLINE RunWindowProduct window_product_of(int taps, int vectors) {
  switch (vectors) {
    case 1:
      return window_product_of<1>(taps);
#if defined(__AVX512F__)
    case 2:
      return window_product_of<2>(taps);
    case 3:
      return window_product_of<3>(taps);
#endif
    default:
      return window_product_of<product_vectors>(taps);
  }
}

// The coarse channels as vectors, of which the last ends with the last channel.
struct ChannelVectors {
  int channels, count;
  GANYMEDE_INLINE explicit ChannelVectors(int all) : channels(all), count((all + lanes - 1) / lanes) {}
  GANYMEDE_INLINE int channel(int vector) const { return smaller(vector * lanes, channels - lanes); }
};

// The sums of blocks: a part those of its own.
void window_products(const WindowWeightsArgs& args, float* scratch, int part, int parts) {
  constexpr int strip_floats = 7168;  // of adjoints, which all taps' tiles find in the first cache
  constexpr int cache_line = 16;
  const ConvolutionShape& s = args.shape;
  const Images fine(args.fine, args.images, fine_grid(s));
  const ChannelVectors vectors(s.coarse_channels);
  const int ld = vectors.count * lanes;
  const int window_row = s.kernel * s.fine_channels;
  const std::ptrdiff_t sums_floats = static_cast<std::ptrdiff_t>(s.kernel) * window_row * ld;
  const int width = (s.coarse_width - 1) * s.stride + s.kernel;
  const bool copied = !fine.holds(-s.padding, -s.padding, (s.coarse_height - 1) * s.stride + s.kernel, width);
  const int pitch = (copied ? width : s.fine_width) * s.fine_channels;
  const int line_floats = s.coarse_width * s.coarse_channels;
  int most_lines = line_floats < strip_floats ? strip_floats / line_floats : 1;
  most_lines =
      smaller(most_lines, (static_cast<int>(scratch_floats - scratch_slack) / pitch - s.kernel) / s.stride + 1);
  const Tiles strips(Range{0, s.coarse_height}, most_lines);
  const Tiles panels(Range{0, vectors.count}, product_vectors);
  const Tiles taps(Range{0, window_row}, product_taps);
  const Range own = piece(args.blocks, part, parts);
  for (int block = own.begin; block < own.end; ++block) {
    float* const sums = args.sums + block * sums_floats;
    clear_floats(sums, static_cast<int>(sums_floats));
    for (int at = block == 0 ? 0 : args.block_end[block - 1]; at < args.block_end[block]; ++at) {
      const int image = args.order.row[at];
      for (int strip = 0; strip < strips.count; ++strip) {
        const Range lines = strips[strip];
        const int height = lines.end - lines.begin;
        const int source_y = lines.begin * s.stride - s.padding;
        const float* source = copied ? scratch : fine.at(image, source_y, -s.padding);
        if (copied)
          for (int y = 0; y < (height - 1) * s.stride + s.kernel; ++y)
            copy_window_row(fine, image, source_y + y, -s.padding, width, {0, pitch},
                            scratch + static_cast<std::ptrdiff_t>(y) * pitch);
        const float* adjoint =
            args.coarse + (static_cast<std::ptrdiff_t>(image) * s.coarse_height + lines.begin) * line_floats;
        // The first tiles ask for the strip that follows.
        const float* ahead = adjoint + height * line_floats;
        const float* const next_end = ahead + height * line_floats;
        for (int panel = 0; panel < panels.count; ++panel) {
          const Range r = panels[panel];
          const int channel = vectors.channel(r.begin);
          for (int y = 0; y < s.kernel; ++y)
            for (int t = 0; t < taps.count; ++t) {
              const Range x = taps[t];
              const int ahead_step = ahead < next_end ? cache_line : 0;
              window_product_of(x.end - x.begin, r.end - r.begin)(
                  {source + static_cast<std::ptrdiff_t>(y) * pitch + x.begin,
                   static_cast<std::ptrdiff_t>(s.stride) * pitch, s.stride * s.fine_channels, adjoint + channel,
                   s.coarse_channels, vectors.channel(r.end - 1) - channel, height, s.coarse_width,
                   sums + static_cast<std::ptrdiff_t>(y * window_row + x.begin) * ld + r.begin * lanes, ld, ahead,
                   ahead_step});
              ahead += height * s.coarse_width * ahead_step;
            }
        }
      }
    }
  }
}

// From the sums of blocks to those of shards, and to the gradient: a part those of its own taps.
void window_gradients(const WindowWeightsArgs& args, float*, int part, int parts) {
  const ConvolutionShape& s = args.shape;
  const ChannelVectors vectors(s.coarse_channels);
  const int ld = vectors.count * lanes;
  const int filter = s.kernel * s.kernel * s.fine_channels;
  const Range own = piece(filter, part, parts);
  std::int64_t overflow = 0;
  alignas(64) float values[lanes];
  for (int tap = own.begin; tap < own.end; ++tap)
    for (int v = 0; v < vectors.count; ++v) {
      const int channel = vectors.channel(v);
      int block = 0;
      for (int shard = 0; shard < args.order.shards; ++shard) {
        Vector sum{};
        for (; block < args.blocks && args.block_end[block] <= args.order.shard_end[shard]; ++block)
          sum += load(args.sums + (static_cast<std::ptrdiff_t>(block) * filter + tap) * ld + v * lanes);
        store(values, sum);
        for (int j = v * lanes - channel; j < lanes; ++j) {
          const std::ptrdiff_t place = static_cast<std::ptrdiff_t>(channel + j) * filter + tap;
          if (args.dw.fixed != nullptr)
            overflow += add_fixed(values + j, 1, args.dw.fixed + place);
          else
            args.dw.values[place] = args.accumulate ? args.dw.values[place] + values[j] : values[j];
        }
      }
    }
  report_overflow(args.dw.overflow, overflow);
}

}  // namespace
}  // namespace ganymede::cpu
