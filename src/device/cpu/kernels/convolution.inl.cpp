// Convolutions as matrix products: a pixel of the result is the product of a window of the source with the filters.
// Part of kernels.inl.cpp. Windows are read where they lie, in the image or in a copy of some of its lines with the
// padding around them: pixels that follow each other have windows at equal distances, so that they are the rows of a
// tile.
//
// A transposed convolution of stride s falls into s · s phases: fine pixels whose position has the same remainders
// are reached by the same taps, and from one to the next the window moves by one coarse pixel. So each element is one
// chain over its own taps, as in every product here, and nothing is multiplied by zeros that were only inserted. To few
// channels it goes the other way round: see convolve_to_few().
#pragma once

#include <type_traits>

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

// The channels of a result, one or two vectors at a time. The last panel ends with the last channel and repeats what it
// shares with the one before; fewer channels than a vector holds are a panel of their own.
struct Panel {
  int column, vectors;
  int packed;  // columns packed before it
};
struct Panels {
  int channels, whole, count;
  GANYMEDE_INLINE explicit Panels(int all) : channels(all), whole(all / tile_columns) {
    const int rest = all - whole * tile_columns;
    count = whole + (rest == 0 ? 0 : whole == 0 && rest > lanes ? 2 : 1);
  }
  GANYMEDE_INLINE Panel operator[](int i) const {
    if (i < whole) return {i * tile_columns, tile_vectors, i * tile_columns};
    const int rest = channels - whole * tile_columns;
    if (whole > 0 && rest > lanes) return {channels - tile_columns, tile_vectors, whole * tile_columns};
    const bool first = whole == 0 && i == 0;
    return {first ? 0 : channels - lanes, 1, first ? 0 : whole == 0 ? lanes : whole * tile_columns};
  }
};

// Of all panels: what the device makes room for.
GANYMEDE_INLINE int packed_columns(int channels) {
  return (channels + most_tile_columns - 1) / most_tile_columns * most_tile_columns;
}

GANYMEDE_INLINE bool to_few(const ConvolutionArgs& args) {
  return args.transposed && args.shape.fine_channels <= few_channels;
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
  Vector zero{};
  asm("" : "+x"(zero));  // GCC would call memset for a few vectors
  for (int i = 0; i < count; i += lanes) store(to + i, zero);
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

// What becomes of a sum: of an element at `place`, of channel `column`. Of piecewise-linear activations it is so little
// code that window_tile() can have it for each of its vectors.
template <class Sigma>
struct ForwardSum {
  static constexpr bool is_little = Sigma::piecewise_linear;
  const float* bias;
  float parameter;
  GANYMEDE_INLINE explicit ForwardSum(const ConvolutionArgs& args) : bias(args.bias), parameter(args.parameter) {}
  GANYMEDE_INLINE float operator()(std::ptrdiff_t, int column, float sum) const {
    return Sigma::value(sum + bias[column], parameter);
  }
};
template <class Sigma>
struct SlopeSum {
  static constexpr bool is_little = Sigma::piecewise_linear;
  const float* slope_of;
  float parameter;
  GANYMEDE_INLINE explicit SlopeSum(const ConvolutionArgs& args) : slope_of(args.slope_of), parameter(args.parameter) {}
  GANYMEDE_INLINE float operator()(std::ptrdiff_t place, int, float sum) const {
    return sum * Sigma::slope(slope_of[place], parameter);
  }
};
struct PlainSum {
  static constexpr bool is_little = true;
  GANYMEDE_INLINE explicit PlainSum(const ConvolutionArgs&) {}
  GANYMEDE_INLINE float operator()(std::ptrdiff_t, int, float sum) const { return sum; }
};

// A vector of them: of the elements from `place` on, whose first is of channel `column`.
template <class Sum>
GANYMEDE_INLINE Vector finished(const Sum& become, std::ptrdiff_t place, int column, Vector sum) {
  // Copies, which cannot overlap anything, let the loop become plain vectors.
  alignas(64) float values[lanes];
  store(values, sum);
  GANYMEDE_LOOP
  for (int j = 0; j < lanes; ++j) values[j] = become(place + j, column + j, values[j]);
  return load(values);
}

template <class Sum>
void finish_rows(const ConvolutionArgs& args, const std::ptrdiff_t* places, int rows, int column, int width,
                 const float* sums, int pitch) {
  const Sum become(args);
  for (int i = 0; i < rows; ++i, sums += pitch) {
    const std::ptrdiff_t place = places[i] + column;
    float* to = args.result + place;
    if (width == tile_columns) {
      GANYMEDE_UNROLL
      for (int j = 0; j < tile_columns; j += lanes)
        store(to + j, finished(become, place + j, column + j, load(sums + j)));
    } else {
      for (int j = 0; j < width; ++j) to[j] = become(place + j, column + j, sums[j]);
    }
  }
}

// A tile of a result: pixels at equal distances, whose windows lie at equal distances too, by one or two vectors of
// channels.
struct WindowTile {
  const float* source;   // the first pixel's window
  std::ptrdiff_t step;   // from one pixel's window to the next
  const float* filters;  // [depth][columns]
  const int* offset;     // of a window's floats
  int depth;             // of them
  std::ptrdiff_t place;  // of the first pixel in the result
  std::ptrdiff_t pixel;  // from one pixel to the next there
  int column;            // the first channel
  int channels;          // of the result
  FinishRows finish;     // what window_tile() does not finish itself
};

// Sums in registers, which are finished there; with a Sum that is void, or channels that do not fill a vector, from
// memory.
template <class Sum, int Rows, int Vectors>
__attribute__((noinline)) void window_tile(const ConvolutionArgs& args, const WindowTile& of) {
  constexpr int columns = Vectors * lanes;
  Vector sum[Rows][Vectors] = {};
  const float* filters = of.filters;
  const int* offset = of.offset;
  const std::ptrdiff_t step = of.step;
  constexpr int groups = (Rows + 2) / 3;  // see tile()
  const float* group[groups];
  GANYMEDE_UNROLL
  for (int g = 0; g < groups; ++g) {
    group[g] = of.source + 3 * g * step;
    asm("" : "+r"(group[g]));
  }
  const auto advance = [&](int ahead) __attribute__((always_inline)) {
    const std::ptrdiff_t at = offset[ahead];
    Vector right[Vectors];
    GANYMEDE_UNROLL
    for (int j = 0; j < Vectors; ++j) right[j] = load(filters + ahead * columns + j * lanes);
    GANYMEDE_UNROLL
    for (int i = 0; i < Rows; ++i) {
      const Vector left = broadcast(group[i / 3][i % 3 * step + at]);
      GANYMEDE_UNROLL
      for (int j = 0; j < Vectors; ++j) accumulate(left, right[j], sum[i][j]);
    }
  };
  int k = of.depth;
  constexpr int stride = 4;
  for (; k >= stride; k -= stride) {
    GANYMEDE_UNROLL
    for (int ahead = 0; ahead < stride; ++ahead) advance(ahead);
    offset += stride;
    filters += stride * columns;
  }
  for (; k > 0; --k) {
    advance(0);
    ++offset;
    filters += columns;
  }
  if constexpr (!std::is_void_v<Sum>) {
    if (of.channels >= lanes) {
      const Sum become(args);
      const int column = of.column;
      const std::ptrdiff_t pixel = of.pixel;
      std::ptrdiff_t place = of.place + column;
      float* to = args.result + place;
      GANYMEDE_UNROLL
      for (int i = 0; i < Rows; ++i, place += pixel, to += pixel) {
        GANYMEDE_UNROLL
        for (int j = 0; j < Vectors; ++j)
          store(to + j * lanes, finished(become, place + j * lanes, column + j * lanes, sum[i][j]));
      }
      return;
    }
  }
  alignas(64) float sums[Rows * columns];
  std::ptrdiff_t places[Rows];
  GANYMEDE_UNROLL
  for (int i = 0; i < Rows; ++i) {
    places[i] = of.place + i * of.pixel;
    GANYMEDE_UNROLL
    for (int j = 0; j < Vectors; ++j) store(sums + i * columns + j * lanes, sum[i][j]);
  }
  of.finish(args, places, Rows, of.column, smaller(columns, of.channels), sums, columns);
}

using RunWindowTile = void (*)(const ConvolutionArgs& args, const WindowTile& of);
#if defined(__AVX512F__)
constexpr int window_rows = 7;
#else
constexpr int window_rows = 6;
#endif
template <class Sum, int Vectors>
GANYMEDE_INLINE RunWindowTile window_tile_of(int rows) {
  switch (rows) {
    case 1:
      return window_tile<Sum, 1, Vectors>;
    case 2:
      return window_tile<Sum, 2, Vectors>;
    case 3:
      return window_tile<Sum, 3, Vectors>;
    case 4:
      return window_tile<Sum, 4, Vectors>;
    case 5:
      return window_tile<Sum, 5, Vectors>;
#if defined(__AVX512F__)
    case 6:
      return window_tile<Sum, 6, Vectors>;
#endif
    default:
      return window_tile<Sum, window_rows, Vectors>;
  }
}
template <class Sum>
RunWindowTile window_tile_of(int rows, int vectors) {
  static_assert(tile_vectors == 2);
  return vectors == 1 ? window_tile_of<Sum, 1>(rows) : window_tile_of<Sum, 2>(rows);
}

// What finishes sums as the arguments have it.
struct Finishes {
  FinishRows rows;
  RunWindowTile (*window_tile)(int rows, int vectors);
};
template <class Sum>
GANYMEDE_INLINE Finishes finishes() {
  return {finish_rows<Sum>, window_tile_of<std::conditional_t<Sum::is_little, Sum, void>>};
}
GANYMEDE_INLINE Finishes finishes_of(const ConvolutionArgs& args) {
  Finishes result = finishes<PlainSum>();
  math::Activations::visit(args.activation, [&](auto sigma) {
    using Sigma = decltype(sigma);
    if (args.bias != nullptr)
      result = finishes<ForwardSum<Sigma>>();
    else if (args.slope_of != nullptr)
      result = finishes<std::conditional_t<std::is_same_v<Sigma, math::Identity>, PlainSum, SlopeSum<Sigma>>>();
  });
  return result;
}

// The dot product of dot() with a window that lies inside its image, taken from there. Rows of the window are multiples
// of sixteen floats, so that running sums meet what they meet in a copy.
GANYMEDE_INLINE float window_dot(const float* from, std::ptrdiff_t image_row, int taps, int window_row,
                                 const float* filter) {
  float sum[16] = {};
  for (int y = 0; y < taps; ++y, from += image_row, filter += window_row)
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

// To so few channels that a tile would waste nearly all of its columns: dot products with copies of the windows.
GANYMEDE_INLINE void convolve_to_narrow(const ConvolutionArgs& args, FinishRows finish, float* window, int part,
                                        int parts) {
  constexpr int block = 64;
  const Grid target = target_grid(args);
  const Images images(args.source, args.rows, source_grid(args));
  const Phase phase = phase_of(args, 0);
  const int depth = phase.taps() * images.channels;
  const int window_row = phase.taps_x * images.channels;
  const std::ptrdiff_t image_row = static_cast<std::ptrdiff_t>(images.width) * images.channels;
  const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(args.rows) * phase.height * phase.width;
  const Range own = piece(static_cast<int>((pixels + block - 1) / block), part, parts);
  std::ptrdiff_t places[block];
  float sums[block * narrow_channels];
  for (int b = own.begin; b < own.end; ++b) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(b) * block;
    const int count = pixels - at < block ? static_cast<int>(pixels - at) : block;
    PixelWalk pixel(phase, at);
    for (int i = 0; i < count; ++i, pixel.advance(phase)) {
      places[i] = (at + i) * target.channels;
      const int y = phase.source_y + pixel.y * phase.source_step;
      const int x = phase.source_x + pixel.x * phase.source_step;
      const bool inside = images.holds(y, x, phase.taps_y, phase.taps_x);
      float* to = sums + static_cast<std::ptrdiff_t>(i) * target.channels;
      if (inside && window_row % 16 == 0) {
        const float* from = images.at(pixel.row, y, x);
        for (int j = 0; j < target.channels; ++j)
          to[j] =
              window_dot(from, image_row, phase.taps_y, window_row, args.w + static_cast<std::ptrdiff_t>(j) * depth);
        continue;
      }
      for (int tap = 0; tap < phase.taps_y; ++tap)
        copy_window_row(images, pixel.row, y + tap, x, phase.taps_x, {0, window_row},
                        window + static_cast<std::ptrdiff_t>(tap) * window_row);
      for (int j = 0; j < target.channels; ++j)
        to[j] = dot(window, args.w + static_cast<std::ptrdiff_t>(j) * depth, depth);
    }
    finish(args, places, count, 0, target.channels, sums, target.channels);
  }
}

// How a phase's part of the result is cut into pieces that a part does at a time: some lines of an image, whose tiles
// go along x; or, where lines are short, some images, whose tiles take the same pixel of each.
struct Bands {
  bool copied;           // with the padding around it, or read where it lies?
  int pitch;             // floats from a line of the source to the next
  std::ptrdiff_t image;  // and from an image to the next
  int images, lines;     // of a piece, at most
  int blocks, bands;     // pieces there are of images and lines

  GANYMEDE_INLINE Bands(const ConvolutionArgs& args, const Phase& phase, const Images& from) {
    constexpr int short_line = 4;
    constexpr int together = 4 * window_rows;
    const int height = (phase.height - 1) * phase.source_step + phase.taps_y;
    const int width = (phase.width - 1) * phase.source_step + phase.taps_x;
    copied = phase.taps() > 0 && !from.holds(phase.source_y, phase.source_x, height, width);
    pitch = (copied ? width : from.width) * from.channels;
    image = static_cast<std::ptrdiff_t>(copied ? height : from.height) * pitch;
    images = 1;
    lines = phase.height;
    const std::ptrdiff_t room = args.left_floats - lanes;
    if (phase.width < short_line && (!copied || image <= room))
      images = copied && together * image > room ? static_cast<int>(room / image) : together;
    else if (copied && image > room)
      lines = static_cast<int>((room / pitch - phase.taps_y) / phase.source_step) + 1;
    const bool empty = phase.height == 0 || phase.width == 0;
    blocks = (args.rows + images - 1) / images;
    bands = empty ? 0 : (phase.height + lines - 1) / lines;
  }
};

// The filters of a phase as the right-hand matrix: panels of [window][columns], and where a window's floats lie; for
// convolve_to_few() panels of [coarse channel][columns of the filters]; nothing for a narrow result.
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
  if (target.channels <= narrow_channels) return;
  const Panels panels(target.channels);
  const Range units = piece(phase_count(args) * panels.count, part, parts);
  for (int unit = units.begin; unit < units.end; ++unit) {
    const Phase phase = phase_of(args, unit / panels.count);
    const Panel panel = panels[unit % panels.count];
    const int depth = phase.taps() * source.channels;
    if (unit % panels.count == 0) {
      const Bands bands(args, phase, Images(args.source, args.rows, source));
      int* offset = args.offsets + phase.taps_before * source.channels;
      for (int y = 0; y < phase.taps_y; ++y)
        for (int x = 0; x < phase.taps_x * source.channels; ++x) *offset++ = y * bands.pitch + x;
    }
    const int columns = panel.vectors * lanes;
    const int width = smaller(columns, target.channels);
    float* to = args.packed + phase.taps_before * source.channels * packed_columns(target.channels) +
                static_cast<std::ptrdiff_t>(panel.packed) * depth;
    if (!args.transposed && columns == tile_columns) {
      pack_transposed(args.w + static_cast<std::ptrdiff_t>(panel.column) * filter, filter, columns, {0, depth}, to);
      continue;
    }
    if (!args.transposed) {
      for (int k = 0; k < depth; ++k)
        for (int j = 0; j < columns; ++j)
          *to++ = args.w[static_cast<std::ptrdiff_t>(panel.column + smaller(j, width - 1)) * filter + k];
      continue;
    }
    for (int y = 0; y < phase.taps_y; ++y)
      for (int x = 0; x < phase.taps_x; ++x, to += static_cast<std::ptrdiff_t>(source.channels) * columns)
        pack_edge(args.w + tap_of(s, phase, y, x) * s.fine_channels + panel.column, filter, width, {0, source.channels},
                  to, columns);
  }
}

void convolve(const ConvolutionArgs& args, float*, int part, int parts) {
  const Grid target = target_grid(args);
  const Images images(args.source, args.rows, source_grid(args));
  const Finishes finish = finishes_of(args);
  float* const copy = args.left + part * args.left_floats;
  if (to_few(args)) {
    convolve_to_few(args, finish.rows, copy, part, parts);
    return;
  }
  if (target.channels <= narrow_channels) {
    convolve_to_narrow(args, finish.rows, copy, part, parts);
    return;
  }
  const Panels panels(target.channels);
  const std::ptrdiff_t target_image = static_cast<std::ptrdiff_t>(target.height) * target.width * target.channels;
  const int phases = phase_count(args);
  int all = 0;
  for (int p = 0; p < phases; ++p) {
    const Bands bands(args, phase_of(args, p), images);
    all += bands.blocks * bands.bands;
  }
  const Range own = piece(all, part, parts);
  int before = 0;
  for (int p = 0; p < phases; ++p) {
    const Phase phase = phase_of(args, p);
    const Bands bands(args, phase, images);
    const int depth = phase.taps() * images.channels;
    const float* packed = args.packed + phase.taps_before * images.channels * packed_columns(target.channels);
    const int* offsets = args.offsets + phase.taps_before * images.channels;
    const std::ptrdiff_t source_pixel = static_cast<std::ptrdiff_t>(phase.source_step) * images.channels;
    const std::ptrdiff_t target_pixel = static_cast<std::ptrdiff_t>(phase.target_step) * target.channels;
    const int begin = own.begin > before ? own.begin - before : 0;
    const int end = smaller(own.end - before, bands.blocks * bands.bands);
    before += bands.blocks * bands.bands;
    for (int unit = begin; unit < end; ++unit) {
      const int image = unit / bands.bands * bands.images;
      const int count = smaller(bands.images, args.rows - image);
      const int line = unit % bands.bands * bands.lines;
      const int lines = smaller(bands.lines, phase.height - line);
      const int source_y = phase.source_y + line * phase.source_step;
      const float* source = bands.copied ? copy : images.at(image, source_y, phase.source_x);
      if (bands.copied) {
        const int height = (lines - 1) * phase.source_step + phase.taps_y;
        for (int i = 0; i < count; ++i)
          for (int y = 0; y < height; ++y)
            copy_window_row(images, image + i, source_y + y, phase.source_x, bands.pitch / images.channels,
                            {0, bands.pitch}, copy + i * bands.image + static_cast<std::ptrdiff_t>(y) * bands.pitch);
      }
      const bool along_x = bands.images == 1;
      const Tiles tiles(Range{0, along_x ? phase.width : count}, window_rows);
      for (int i = 0; i < panels.count; ++i) {
        const Panel panel = panels[i];
        const RunWindowTile low = finish.window_tile(tiles.low, panel.vectors);
        const RunWindowTile high = finish.window_tile(tiles.low + 1, panel.vectors);
        for (int y = 0; y < lines; ++y)
          for (int x = 0; x < (along_x ? 1 : phase.width); ++x) {
            WindowTile tile{
                source + static_cast<std::ptrdiff_t>(y) * phase.source_step * bands.pitch + x * source_pixel,
                along_x ? source_pixel : bands.image,
                packed + static_cast<std::ptrdiff_t>(panel.packed) * depth,
                offsets,
                depth,
                image * target_image +
                    (static_cast<std::ptrdiff_t>(phase.target_y + (line + y) * phase.target_step) * target.width +
                     phase.target_x + x * phase.target_step) *
                        target.channels,
                along_x ? target_pixel : target_image,
                panel.column,
                target.channels,
                finish.rows};
            for (int t = 0; t < tiles.count; ++t) {
              const int rows = tiles.low + (t < tiles.higher ? 1 : 0);
              (t < tiles.higher ? high : low)(args, tile);
              tile.source += rows * tile.step;
              tile.place += rows * tile.pixel;
            }
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
