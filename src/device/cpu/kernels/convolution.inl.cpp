// Convolutions as matrix products: a pixel of the result is the product of a window of the source, which is copied
// to scratch memory, with the filters. Part of kernels.inl.cpp.
//
// A transposed convolution of stride s falls into s · s phases: fine pixels whose position has the same remainders
// are reached by the same taps, and from one to the next the window moves by one coarse pixel. So each element is one
// chain over its own taps, as in every product here, and nothing is multiplied by zeros that were only inserted. To few
// channels it goes the other way round: see convolve_to_few().
#pragma once

#include "device/cpu/kernels/gradients.inl.cpp"
#include "device/cpu/kernels/product.inl.cpp"
#include "math/activation/activations.hpp"

namespace ganymede::cpu {
namespace {

// The pixels of the result that the same taps reach.
struct Phase {
  int height, width;                       // of its part of the result
  int taps_y, taps_x;                      // the window
  int source_y, source_x;                  // where the first pixel's window begins in the source
  int source_step;                         // from one pixel's window to the next
  int target_y, target_x;                  // the first pixel in the result
  int target_step;                         // from one pixel to the next
  int first_tap_y, first_tap_x, tap_step;  // the kernel's taps that the window's pixels meet, in order
  std::ptrdiff_t taps_before;              // of the phases before it

  GANYMEDE_INLINE int taps() const { return taps_y * taps_x; }
};

struct Grid {
  int height, width, channels;
};
GANYMEDE_INLINE Grid fine_grid(const ConvolutionShape& s) { return {s.fine_height, s.fine_width, s.fine_channels}; }
GANYMEDE_INLINE Grid coarse_grid(const ConvolutionShape& s) {
  return {s.coarse_height, s.coarse_width, s.coarse_channels};
}
GANYMEDE_INLINE Grid source_grid(const ConvolutionArgs& args) {
  return args.transposed ? coarse_grid(args.shape) : fine_grid(args.shape);
}
GANYMEDE_INLINE Grid target_grid(const ConvolutionArgs& args) {
  return args.transposed ? fine_grid(args.shape) : coarse_grid(args.shape);
}

GANYMEDE_INLINE int phase_count(const ConvolutionArgs& args) {
  return args.transposed ? args.shape.stride * args.shape.stride : 1;
}

// Along one axis of a transposed convolution: fine pixels with this remainder of (position + padding) / stride.
struct PhaseAxis {
  int taps, first, count, source;
};
GANYMEDE_INLINE PhaseAxis phase_axis(const ConvolutionShape& s, int remainder, int size) {
  PhaseAxis axis{};
  axis.taps = remainder < s.kernel ? (s.kernel - remainder + s.stride - 1) / s.stride : 0;
  axis.first = ((remainder - s.padding) % s.stride + s.stride) % s.stride;
  axis.count = axis.first < size ? (size - axis.first + s.stride - 1) / s.stride : 0;
  // Tap remainder + stride · t meets the coarse pixel (first + padding - remainder) / stride - t: the window runs
  // backwards through the taps.
  axis.source = (axis.first + s.padding - remainder) / s.stride - (axis.taps - 1);
  return axis;
}

GANYMEDE_INLINE Phase phase_of(const ConvolutionArgs& args, int index) {
  const ConvolutionShape& s = args.shape;
  if (!args.transposed)
    return {s.coarse_height, s.coarse_width, s.kernel, s.kernel, -s.padding, -s.padding, s.stride, 0, 0, 1, 0, 0, 1, 0};
  std::ptrdiff_t before = 0;
  for (int i = 0; i < index; ++i)
    before += static_cast<std::ptrdiff_t>(phase_axis(s, i / s.stride, s.fine_height).taps) *
              phase_axis(s, i % s.stride, s.fine_width).taps;
  const int ry = index / s.stride;
  const int rx = index % s.stride;
  const PhaseAxis y = phase_axis(s, ry, s.fine_height);
  const PhaseAxis x = phase_axis(s, rx, s.fine_width);
  return {y.count,
          x.count,
          y.taps,
          x.taps,
          y.source,
          x.source,
          1,
          y.first,
          x.first,
          s.stride,
          ry + s.stride * (y.taps - 1),
          rx + s.stride * (x.taps - 1),
          -s.stride,
          before};
}

// Where a window's pixel (y, x) finds its filter: w[coarse][tap][fine].
GANYMEDE_INLINE std::ptrdiff_t tap_of(const ConvolutionShape& s, const Phase& phase, int y, int x) {
  return static_cast<std::ptrdiff_t>(phase.first_tap_y + y * phase.tap_step) * s.kernel + phase.first_tap_x +
         x * phase.tap_step;
}

// Columns of the panel that begins at one of `columns`, a multiple of 16.
GANYMEDE_INLINE int panel_columns(int columns, int column) { return smaller(tile_columns, columns - column); }
static_assert(16 % lanes == 0);
template <bool PackedLeft>
GANYMEDE_INLINE Tile tile_of_panel(int rows, int columns) {
  return columns == tile_columns ? tile_of<PackedLeft, Walk::packed>(rows) : tile_of<PackedLeft, Walk::packed, 1>(rows);
}
GANYMEDE_INLINE int multiple_of_16(int count) { return (count + 15) / 16 * 16; }

GANYMEDE_INLINE bool to_few(const ConvolutionArgs& args) {
  return args.transposed && args.shape.fine_channels <= few_channels;
}

// The filters of a phase as the right-hand matrix: panels of [window][tile_columns]; for a narrow result
// [channel][window]; for convolve_to_few() panels of [coarse channel][columns of the filters].
void pack_filters(const ConvolutionArgs& args, float*, int part, int parts) {
  const ConvolutionShape& s = args.shape;
  const Grid source = source_grid(args);
  const Grid target = target_grid(args);
  const int filter = s.kernel * s.kernel * s.fine_channels;
  if (to_few(args)) {
    const int columns = multiple_of_16(filter);
    const Range rows = piece(s.coarse_channels, part, parts);
    for (int column = 0; column < columns; column += tile_columns) {
      const int panel = panel_columns(columns, column);
      float* to = args.packed + static_cast<std::ptrdiff_t>(column) * s.coarse_channels;
      for (int o = rows.begin; o < rows.end; ++o)
        for (int j = 0; j < panel; ++j)
          to[o * panel + j] = column + j < filter ? args.w[static_cast<std::ptrdiff_t>(o) * filter + column + j] : 0.0F;
    }
    return;
  }
  const bool narrow = target.channels <= narrow_channels;
  const int panels = narrow ? 1 : (target.channels + tile_columns - 1) / tile_columns;
  const int columns = narrow ? target.channels : panels * tile_columns;
  const Range units = piece(phase_count(args) * panels, part, parts);
  for (int unit = units.begin; unit < units.end; ++unit) {
    const Phase phase = phase_of(args, unit / panels);
    const int column = unit % panels * tile_columns;
    const int depth = phase.taps() * source.channels;
    float* to =
        args.packed + phase.taps_before * source.channels * columns + static_cast<std::ptrdiff_t>(column) * depth;
    const int width = smaller(target.channels - column, tile_columns);
    if (!args.transposed) {
      const float* from = args.w + static_cast<std::ptrdiff_t>(column) * filter;
      if (narrow) {
        for (int i = 0; i < filter * width; ++i) to[i] = from[i];
      } else {
        pack_transposed(from, filter, width, {0, depth}, to);
      }
      continue;
    }
    for (int y = 0; y < phase.taps_y; ++y)
      for (int x = 0; x < phase.taps_x; ++x, to += static_cast<std::ptrdiff_t>(source.channels) * tile_columns)
        pack_edge(args.w + tap_of(s, phase, y, x) * s.fine_channels + column, filter, width, {0, source.channels}, to);
  }
}

// An array of images; `end` is behind its last element.
struct Images {
  const float* data;
  const float* end;
  int height, width, channels;

  GANYMEDE_INLINE Images(const float* images, int count, const Grid& grid)
      : data(images), height(grid.height), width(grid.width), channels(grid.channels) {
    end = at(count, 0, 0);
  }
  GANYMEDE_INLINE const float* at(int image, int y, int x) const {
    return data + ((static_cast<std::ptrdiff_t>(image) * height + y) * width + x) * channels;
  }
  // Whether all of a window lies inside.
  GANYMEDE_INLINE bool holds(int y, int x, int taps_y, int taps_x) const {
    return y >= 0 && y + taps_y <= height && x >= 0 && x + taps_x <= width;
  }
};

// Copies in whole vectors: up to lanes - 1 floats behind the copy are overwritten too, and as many read where they are
// in front of `end`.
GANYMEDE_INLINE void copy_floats(float* to, const float* from, int count, const float* end) {
  int i = 0;
  for (; i < count && from + i + lanes <= end; i += lanes) store(to + i, load(from + i));
  for (; i < count; ++i) to[i] = from[i];
}
// Clears in whole vectors, likewise.
GANYMEDE_INLINE void clear_floats(float* to, int count) {
  for (int i = 0; i < count; i += lanes) store(to + i, Vector{});
}

// Floats `columns` of the window row of `taps` pixels that begins at pixel (y, x) of an image; what lies outside is 0.
GANYMEDE_INLINE void copy_window_row(const Images& images, int image, int y, int x, int taps, Range columns,
                                     float* to) {
  const int count = columns.end - columns.begin;
  if (y < 0 || y >= images.height) {
    clear_floats(to, count);
    return;
  }
  const int inside_begin = (x < 0 ? -x : 0) * images.channels;
  const int inside_end = smaller(taps, images.width - x) * images.channels;
  const int begin = inside_begin <= columns.begin ? 0 : smaller(inside_begin - columns.begin, count);
  int end = inside_end >= columns.end ? count : inside_end - columns.begin;
  if (end < begin) end = begin;
  // In this order, as each overwrites what follows it.
  clear_floats(to, begin);
  copy_floats(to + begin, images.at(image, y, x) + columns.begin + begin, end - begin, images.end);
  clear_floats(to + end, count - end);
}

// Windows lie an odd number of cache lines apart, so that a tile's rows do not compete for one set of the cache.
GANYMEDE_INLINE int window_pitch(int depth) {
  const int lines = (depth + 15) / 16;
  return (lines + 1 - lines % 2) * 16;
}

// The next pixel of a phase.
struct PixelWalk {
  int row, y, x;
  GANYMEDE_INLINE PixelWalk(const Phase& phase, std::ptrdiff_t at) {
    const std::ptrdiff_t line = at / phase.width;
    x = static_cast<int>(at - line * phase.width);
    row = static_cast<int>(line / phase.height);
    y = static_cast<int>(line - static_cast<std::ptrdiff_t>(row) * phase.height);
  }
  GANYMEDE_INLINE void advance(const Phase& phase) {
    if (++x < phase.width) return;
    x = 0;
    if (++y < phase.height) return;
    y = 0;
    ++row;
  }
};

// Brings rows of sums, `pitch` apart, to the result: row i stands for the elements from places[i] + column on.
using FinishRows = void (*)(const ConvolutionArgs& args, const std::ptrdiff_t* places, int rows, int column, int width,
                            const float* sums, int pitch);

// What becomes of a sum.
template <class Sigma>
struct ForwardSum {
  static GANYMEDE_INLINE float of(const ConvolutionArgs& args, std::ptrdiff_t, int column, float sum) {
    return Sigma::value(sum + args.bias[column], args.parameter);
  }
};
template <class Sigma>
struct SlopeSum {
  static GANYMEDE_INLINE float of(const ConvolutionArgs& args, std::ptrdiff_t place, int, float sum) {
    return sum * Sigma::slope(args.slope_of[place], args.parameter);
  }
};
struct PlainSum {
  static GANYMEDE_INLINE float of(const ConvolutionArgs&, std::ptrdiff_t, int, float sum) { return sum; }
};

template <class Sum>
void finish_rows(const ConvolutionArgs& args, const std::ptrdiff_t* places, int rows, int column, int width,
                 const float* sums, int pitch) {
  for (int i = 0; i < rows; ++i, sums += pitch) {
    const std::ptrdiff_t place = places[i] + column;
    float* to = args.result + place;
    if (width == tile_columns) {
      // A copy, which cannot overlap anything, lets the loop become plain vectors.
      alignas(64) float row[tile_columns];
      for (int j = 0; j < tile_columns; ++j) row[j] = Sum::of(args, place + j, column + j, sums[j]);
      GANYMEDE_UNROLL
      for (int j = 0; j < tile_vectors; ++j) store(to + j * lanes, load(row + j * lanes));
    } else {
      for (int j = 0; j < width; ++j) to[j] = Sum::of(args, place + j, column + j, sums[j]);
    }
  }
}

GANYMEDE_INLINE FinishRows finish_of(const ConvolutionArgs& args) {
  FinishRows finish = finish_rows<PlainSum>;
  math::Activations::visit(args.activation, [&](auto sigma) {
    if (args.bias != nullptr)
      finish = finish_rows<ForwardSum<decltype(sigma)>>;
    else if (args.slope_of != nullptr)
      finish = finish_rows<SlopeSum<decltype(sigma)>>;
  });
  return finish;
}

// The dot product of dot() with a window that lies inside its image, taken from there. Rows of the window are multiples
// of sixteen floats, so that running sums meet what they meet in a copy.
GANYMEDE_INLINE float window_dot(const float* from, std::ptrdiff_t image_row, int window_rows, int window_row,
                                 const float* filter) {
  float sum[16] = {};
  for (int y = 0; y < window_rows; ++y, from += image_row, filter += window_row)
    for (int i = 0; i < window_row; i += 16)
      for (int j = 0; j < 16; ++j) sum[j] = from[i + j] * filter[i + j] + sum[j];
  return tree_sum(sum);
}

// The taps that reach a fine position along an axis: `count` of them from `tap` on, every stride-th, the first from the
// coarse position `coarse`, each other from the one before.
struct TapRange {
  int coarse, tap, count;
  GANYMEDE_INLINE TapRange(const ConvolutionShape& s, int fine, int size) {
    const int remainder = (fine + s.padding) % s.stride;
    const int last = (fine + s.padding) / s.stride;  // what tap `remainder` reaches it from
    const int beyond = last < size ? 0 : last - size + 1;
    coarse = last - beyond;
    tap = remainder + beyond * s.stride;
    const int taps = tap < s.kernel ? (s.kernel - tap + s.stride - 1) / s.stride : 0;
    count = smaller(taps, coarse + 1);
  }
};

// What every coarse pixel adds to the fine ones that its taps reach is its product with the filters as they lie; a fine
// pixel sums what reaches it, tap by tap.
GANYMEDE_INLINE void convolve_to_few(const ConvolutionArgs& args, FinishRows finish, float* left, int part, int parts) {
  const ConvolutionShape& s = args.shape;
  const int pixels = s.coarse_height * s.coarse_width;
  const int channels = s.fine_channels;
  const int pitch = multiple_of_16(s.kernel * s.kernel * channels);
  const std::ptrdiff_t fine_size = static_cast<std::ptrdiff_t>(s.fine_height) * s.fine_width * channels;
  float* sums = left + static_cast<std::ptrdiff_t>(pixels) * pitch;
  // From a tap to the next that reaches the same fine pixel: of the coarse pixel before.
  const std::ptrdiff_t step_x = s.stride * channels - pitch;
  const std::ptrdiff_t step_y = s.stride * s.kernel * channels - static_cast<std::ptrdiff_t>(s.coarse_width) * pitch;
  // Pixels follow each other as more channels would: their bias is the channels' again and again.
  float bias[tile_columns + few_channels];
  for (int j = 0; j < tile_columns + few_channels; ++j) bias[j] = args.bias == nullptr ? 0.0F : args.bias[j % channels];
  ConvolutionArgs line = args;
  const Range own = piece(args.rows, part, parts);
  const Tiles tiles(Range{0, pixels});
  for (int image = own.begin; image < own.end; ++image) {
    const float* source = args.source + static_cast<std::ptrdiff_t>(image) * pixels * s.coarse_channels;
    for (int t = 0; t < tiles.count; ++t) {
      const Range r = tiles[t];
      for (int column = 0; column < pitch; column += tile_columns) {
        const float* packed = args.packed + static_cast<std::ptrdiff_t>(column) * s.coarse_channels;
        tile_of_panel<false>(r.end - r.begin, panel_columns(pitch, column))(
            source + static_cast<std::ptrdiff_t>(r.begin) * s.coarse_channels, s.coarse_channels,
            {s.coarse_channels, packed, 0, nullptr, nullptr},
            left + static_cast<std::ptrdiff_t>(r.begin) * pitch + column, pitch, false);
      }
    }
    float* to = sums;
    for (int y = 0; y < s.fine_height; ++y) {
      const TapRange taps_y(s, y, s.coarse_height);
      for (int x = 0; x < s.fine_width; ++x) {
        const TapRange taps_x(s, x, s.coarse_width);
        const float* from = left +
                            (static_cast<std::ptrdiff_t>(taps_y.coarse) * s.coarse_width + taps_x.coarse) * pitch +
                            (static_cast<std::ptrdiff_t>(taps_y.tap) * s.kernel + taps_x.tap) * channels;
        if (channels == 1) {
          float sum = 0.0F;
          for (int i = 0; i < taps_y.count; ++i)
            for (int j = 0; j < taps_x.count; ++j) sum += from[i * step_y + j * step_x];
          *to++ = sum;
          continue;
        }
        // Of whole vectors the next pixel overwrites what is too much.
        for (int c = 0; c < channels; c += lanes) {
          Vector sum{};
          for (int i = 0; i < taps_y.count; ++i)
            for (int j = 0; j < taps_x.count; ++j) sum += load(from + i * step_y + j * step_x + c);
          store(to + c, sum);
        }
        to += channels;
      }
    }
    for (std::ptrdiff_t at = 0; at < fine_size; at += tile_columns) {
      const std::ptrdiff_t place = image * fine_size + at;
      line.bias = args.bias == nullptr ? nullptr : bias + at % channels;
      finish(line, &place, 1, 0, fine_size - at < tile_columns ? static_cast<int>(fine_size - at) : tile_columns,
             sums + at, 0);
    }
  }
}

void convolve(const ConvolutionArgs& args, float*, int part, int parts) {
  constexpr int most_block = 20 * tile_rows;
  const Grid target = target_grid(args);
  const Images images(args.source, args.rows, source_grid(args));
  const FinishRows finish = finish_of(args);
  if (to_few(args)) {
    convolve_to_few(args, finish, args.left + part * args.left_floats, part, parts);
    return;
  }
  const bool narrow = target.channels <= narrow_channels;
  const int panels = (target.channels + tile_columns - 1) / tile_columns;
  const int packed_columns = narrow ? target.channels : panels * tile_columns;
  float* left = args.left + part * args.left_floats;
  const auto block_of = [&](const Phase& phase) __attribute__((always_inline)) {
    const auto fitting = static_cast<int>((args.left_floats - lanes) / window_pitch(phase.taps() * images.channels));
    return smaller(fitting, most_block) / tile_rows * tile_rows;
  };
  const auto blocks_of = [&](const Phase& phase) __attribute__((always_inline)) {
    const int block = block_of(phase);
    const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(args.rows) * phase.height * phase.width;
    return static_cast<int>((pixels + block - 1) / block);
  };
  const int phases = phase_count(args);
  int all_blocks = 0;
  for (int p = 0; p < phases; ++p) all_blocks += blocks_of(phase_of(args, p));
  const Range own = piece(all_blocks, part, parts);
  std::ptrdiff_t places[most_block];
  alignas(64) float sums[tile_rows * tile_columns];
  float narrow_sums[most_block * narrow_channels];
  int first_block = 0;
  for (int p = 0; p < phases; ++p) {
    const Phase phase = phase_of(args, p);
    const int blocks = blocks_of(phase);
    const int block = block_of(phase);
    const int depth = phase.taps() * images.channels;
    const int pitch = window_pitch(depth);
    const int window_row = phase.taps_x * images.channels;
    const std::ptrdiff_t image_row = static_cast<std::ptrdiff_t>(images.width) * images.channels;
    const float* packed = args.packed + phase.taps_before * images.channels * packed_columns;
    const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(args.rows) * phase.height * phase.width;
    const int begin = own.begin > first_block ? own.begin - first_block : 0;
    const int end = smaller(own.end - first_block, blocks);
    first_block += blocks;
    for (int b = begin; b < end; ++b) {
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(b) * block;
      const int count = pixels - at < block ? static_cast<int>(pixels - at) : block;
      PixelWalk pixel(phase, at);
      for (int i = 0; i < count; ++i, pixel.advance(phase)) {
        places[i] =
            ((static_cast<std::ptrdiff_t>(pixel.row) * target.height + phase.target_y + pixel.y * phase.target_step) *
                 target.width +
             phase.target_x + pixel.x * phase.target_step) *
            target.channels;
        const int y = phase.source_y + pixel.y * phase.source_step;
        const int x = phase.source_x + pixel.x * phase.source_step;
        const bool inside = images.holds(y, x, phase.taps_y, phase.taps_x);
        float* to = narrow ? narrow_sums + static_cast<std::ptrdiff_t>(i) * target.channels : nullptr;
        if (narrow && inside && window_row % 16 == 0) {
          const float* from = images.at(pixel.row, y, x);
          for (int j = 0; j < target.channels; ++j)
            to[j] =
                window_dot(from, image_row, phase.taps_y, window_row, packed + static_cast<std::ptrdiff_t>(j) * depth);
          continue;
        }
        float* window = narrow ? left : left + static_cast<std::ptrdiff_t>(i) * pitch;
        if (inside) {
          const float* from = images.at(pixel.row, y, x);
          for (int tap = 0; tap < phase.taps_y; ++tap, from += image_row)
            copy_floats(window + static_cast<std::ptrdiff_t>(tap) * window_row, from, window_row, images.end);
        } else {
          for (int tap = 0; tap < phase.taps_y; ++tap)
            copy_window_row(images, pixel.row, y + tap, x, phase.taps_x, {0, window_row},
                            window + static_cast<std::ptrdiff_t>(tap) * window_row);
        }
        if (narrow)
          for (int j = 0; j < target.channels; ++j)
            to[j] = dot(window, packed + static_cast<std::ptrdiff_t>(j) * depth, depth);
      }
      if (narrow) {
        finish(args, places, count, 0, target.channels, narrow_sums, target.channels);
        continue;
      }
      const Tiles tiles(Range{0, count});
      for (int panel = 0; panel < panels; ++panel) {
        const int column = panel * tile_columns;
        const int width = smaller(target.channels - column, tile_columns);
        const Steps steps{depth, packed + static_cast<std::ptrdiff_t>(column) * depth, 0, nullptr, nullptr};
        for (int t = 0; t < tiles.count; ++t) {
          const Range r = tiles[t];
          tile_of<false, Walk::packed>(r.end - r.begin)(left + static_cast<std::ptrdiff_t>(r.begin) * pitch, pitch,
                                                        steps, sums, tile_columns, false);
          finish(args, places + r.begin, r.end - r.begin, column, width, sums, tile_columns);
        }
      }
    }
  }
}

// The windows of a convolution's coarse pixels, as the rows of a matrix.
struct WindowRows {
  static constexpr bool direct = false;
  static constexpr bool long_sums = true;  // over thousands of pixels: block by block, which rounds less
  Images images;
  ConvolutionShape shape;

  GANYMEDE_INLINE void pack(int column, int width, const int* row, Range k, float* to) const {
    const int pixels = shape.coarse_height * shape.coarse_width;
    const int window_row = shape.kernel * shape.fine_channels;
    // The columns are pieces of one or more of the window's rows.
    const int first_tap = column / window_row;
    const int last_tap = (column + width - 1) / window_row;
    int sample = 0;
    int y = 0;
    int x = 0;
    for (int i = k.begin; i < k.end; ++i, to += tile_columns) {
      if (i == k.begin || row[i] != row[i - 1] + 1) {
        sample = row[i] / pixels;
        y = (row[i] - sample * pixels) / shape.coarse_width;
        x = row[i] - sample * pixels - y * shape.coarse_width;
      } else if (++x == shape.coarse_width) {
        x = 0;
        if (++y == shape.coarse_height) {
          y = 0;
          ++sample;
        }
      }
      const int y0 = y * shape.stride - shape.padding;
      const int x0 = x * shape.stride - shape.padding;
      const bool inside = images.holds(y0, x0, shape.kernel, shape.kernel);
      int done = 0;
      for (int tap = first_tap; tap <= last_tap; ++tap) {
        const int first = tap == first_tap ? column - first_tap * window_row : 0;
        const int count = smaller(window_row - first, width - done);
        if (inside)
          copy_floats(to + done, images.at(sample, y0 + tap, x0) + first, count, images.end);
        else
          copy_window_row(images, sample, y0 + tap, x0, shape.kernel, {first, first + count}, to + done);
        done += count;
      }
      for (int j = width; j < tile_columns; ++j) to[j] = 0.0F;
    }
  }
};

void convolution_weights(const ConvolutionWeightsArgs& args, float* scratch, int part, int parts) {
  weight_gradient(args.weights, WindowRows{Images(args.weights.x, args.images, fine_grid(args.shape)), args.shape},
                  scratch, part, parts);
}

}  // namespace
}  // namespace ganymede::cpu
