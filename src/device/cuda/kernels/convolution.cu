// Convolutions, for --reproducible and where cuDNN has no engine, as products over gathered operands, with no copy of
// the windows in memory: a window of an image is a line of the left operand, k being (y, x, channel) in it. A
// transposed convolution falls into stride² phases: for fine pixels q with the same remainder of q + padding, the taps
// that reach them are those of that remainder, and they are windows of the coarse image, walked backwards. So each
// element is one sum, in an order that the geometry tells, and one launch makes all phases.
//
// In the gradients, dw = coarseᵀ · windows, k is the pixel in the batch, and a line of the right operand is a place in
// the window.
#include <algorithm>

#include "device/cuda/kernels/channels.hpp"
#include "device/cuda/kernels/product.hpp"

namespace ganymede::cuda {
namespace {

// A number in digits, the lowest first, which are advanced without a division: by less than a whole turn of each digit,
// and carries.
struct Digits {
  int low, middle, high;

  __host__ __device__ __forceinline__ static Digits of(int number, int lows, int middles) {
    return {number % lows, number / lows % middles, number / lows / middles};
  }
  __device__ __forceinline__ void add(const Digits& step, int lows, int middles) {
    low += step.low;
    const int low_carry = low >= lows ? 1 : 0;
    low -= low_carry * lows;
    middle += step.middle + low_carry;
    const int middle_carry = middle >= middles ? 1 : 0;
    middle -= middle_carry * middles;
    high += step.high + middle_carry;
  }
};

// A pixel's coordinates in one register; also such that are outside of every image.
__device__ __forceinline__ int packed(int y, int x) { return y * 65536 + (x + 32768); }
__device__ __forceinline__ int packed_y(int both) { return both >> 16; }
__device__ __forceinline__ int packed_x(int both) { return (both & 0xFFFF) - 32768; }
constexpr int outside = 16384;

struct Images {
  const float* data;
  int height, width, channels;

  __device__ __forceinline__ bool inside(int y, int x) const {
    return static_cast<unsigned>(y) < static_cast<unsigned>(height) &&
           static_cast<unsigned>(x) < static_cast<unsigned>(width);
  }
  // The number of a pixel, which may lie outside of its image.
  __device__ __forceinline__ int pixel(int row, int y, int x) const { return (row * height + y) * width + x; }
};

// The pixels that a product makes: m of a grid is pixel first + step · m of the result, its window begins at pixel
// corner + corner_step · m of the source.
struct Axis {
  int size, first, step, corner, corner_step;
};
struct Pixels {
  Axis y, x;
  int out_height, out_width;

  struct Place {
    int row, y, x;
  };
  __device__ __forceinline__ Place of(int line) const {
    const int in_row = line / x.size;
    return {in_row / y.size, in_row % y.size, line % x.size};
  }
  __device__ __forceinline__ std::ptrdiff_t out(int line) const {
    const Place at = of(line);
    return (static_cast<std::ptrdiff_t>(at.row) * out_height + y.first + y.step * at.y) * out_width + x.first +
           x.step * at.x;
  }
};

// Lines are windows, `taps` wide; k is (y, x, channel) in them. Direction -1: they go up and left from their corner.
// Vector: four channels from a multiple of four on are one load.
template <class Slice, bool Vector>
class Windows {
 public:
  __device__ __forceinline__ Windows(const Images& from, const Pixels& pixels, int lines, int first, int taps,
                                     int direction, const Digits& step)
      : from_(from), taps_(taps), direction_(direction), step_(step) {
    GANYMEDE_UNROLL
    for (int i = 0; i < Slice::loads; ++i) {
      const int line = first + Slice::row(i);
      const Pixels::Place at = pixels.of(line < lines ? line : 0);
      const int y = pixels.y.corner + pixels.y.corner_step * at.y;
      const int x = pixels.x.corner + pixels.x.corner_step * at.x;
      pixel_[i] = from.pixel(at.row, y, x);
      corner_[i] = line < lines ? packed(y, x) : packed(direction * outside, 0);
    }
  }
  __device__ __forceinline__ void start(int k) { at_ = Digits::of(k + Slice::column(0), from_.channels, taps_); }
  __device__ __forceinline__ void advance() { at_.add(step_, from_.channels, taps_); }
  __device__ __forceinline__ float4 four(int i, int k, int k_end) const {
    if constexpr (Vector) {
      return k < k_end && inside(i, at_) ? *reinterpret_cast<const float4*>(from_.data + place(i, at_))
                                         : float4{0.0F, 0.0F, 0.0F, 0.0F};
    } else {
      float value[4];
      Digits at = at_;
      const bool single = from_.channels == 1;
      const Digits one{single ? 0 : 1, single && taps_ > 1 ? 1 : 0, single && taps_ == 1 ? 1 : 0};
      GANYMEDE_UNROLL
      for (int ahead = 0; ahead < 4; ++ahead) {
        value[ahead] = k + ahead < k_end && inside(i, at) ? from_.data[place(i, at)] : 0.0F;
        at.add(one, from_.channels, taps_);
      }
      return {value[0], value[1], value[2], value[3]};
    }
  }

 private:
  __device__ __forceinline__ bool inside(int i, const Digits& at) const {
    return from_.inside(packed_y(corner_[i]) + direction_ * at.high, packed_x(corner_[i]) + direction_ * at.middle);
  }
  __device__ __forceinline__ std::ptrdiff_t place(int i, const Digits& at) const {
    const int pixel = pixel_[i] + direction_ * (at.high * from_.width + at.middle);
    return static_cast<std::ptrdiff_t>(pixel) * from_.channels + at.low;
  }

  const Images& from_;
  int taps_, direction_;
  const Digits& step_;
  Digits at_{};
  int pixel_[Slice::loads];
  int corner_[Slice::loads];
};

// Lines are fine channels; k is (y, x, coarse channel) in the windows of a phase, whose first tap is (y0, x0).
struct Filters {
  const float* w;
  int kernel, stride, fine_channels, coarse_channels;
  bool vector;
};
template <class Slice>
class PhaseFilters {
 public:
  __device__ __forceinline__ PhaseFilters(const Filters& from, int first, int y0, int x0, int taps, const Digits& step)
      : from_(from), first_(first), y0_(y0), x0_(x0), taps_(taps), step_(step) {}
  __device__ __forceinline__ void start(int k) {
    GANYMEDE_UNROLL
    for (int i = 0; i < Slice::loads; ++i) at_[i] = Digits::of(k + Slice::row(i), from_.coarse_channels, taps_);
  }
  __device__ __forceinline__ void advance() {
    GANYMEDE_UNROLL
    for (int i = 0; i < Slice::loads; ++i) at_[i].add(step_, from_.coarse_channels, taps_);
  }
  __device__ __forceinline__ float4 four(int i, int k, int k_end) const {
    const int line = first_ + Slice::column(i);
    const int y = y0_ + from_.stride * at_[i].high;
    const int x = x0_ + from_.stride * at_[i].middle;
    const std::ptrdiff_t row = (static_cast<std::ptrdiff_t>(at_[i].low) * from_.kernel + y) * from_.kernel + x;
    return load4(from_.w + row * from_.fine_channels + line, k < k_end ? from_.fine_channels - line : 0, from_.vector);
  }

 private:
  const Filters& from_;
  int first_, y0_, x0_, taps_;
  const Digits& step_;
  Digits at_[Slice::loads];
};

// What becomes of a sum.
struct Store {
  const float* bias;
  Sigma sigma;
  const float* slope_of;
  float* to;
  int columns;

  __device__ __forceinline__ void operator()(std::ptrdiff_t pixel, int column, float sum) const {
    const std::ptrdiff_t at = pixel * columns + column;
    if (bias != nullptr) {
      to[at] = sigma.value(sum + bias[column]);
    } else {
      to[at] = slope_of == nullptr ? sum : sum * sigma.slope(slope_of[at]);
    }
  }
};

template <class Tile, class Left, class Right, class Finish>
__device__ __forceinline__ void product_tile(const Left& left, const Right& right, int depth, int line, int lines,
                                             int column, int columns, Finish&& finish) {
  GANYMEDE_SHARED(float, shared, [product_warps][Tile::shared_floats]);
  const int warp = thread_warp();
  Tile tile;
  tile.add(shared[warp], left, right, depth, warp, product_warps);
  GANYMEDE_UNROLL
  for (int i = 0; i < Tile::rows_per_lane; ++i) {
    GANYMEDE_UNROLL
    for (int j = 0; j < 4; ++j) shared[warp][Tile::place(i, j)] = tile.sum[i][j];
  }
  finish_tile<Tile::tile_rows>(&shared[0][0], Tile::shared_floats, line, lines, column, columns, finish);
}

struct ConvolveWork {
  Images fine;
  Pixels pixels;
  int lines;
  Operand w;
  int depth, kernel;
  Digits step;
  Store store;
};

template <bool Vector, int R>
__global__ void __launch_bounds__(product_threads, 2) convolve_kernel(const __grid_constant__ ConvolveWork work) {
  using Tile = Product<true, true, R>;
  const int columns = work.w.lines;
  const int across = (columns + tile_columns - 1) / tile_columns;
  const int line = static_cast<int>(blockIdx.x) / across * Tile::tile_rows;
  const int column = static_cast<int>(blockIdx.x) % across * tile_columns;
  product_tile<Tile>(
      Windows<typename Tile::Left, Vector>(work.fine, work.pixels, work.lines, line, work.kernel, 1, work.step),
      MatrixLines<typename Tile::Right, AllRows>{work.w, column, {work.depth}}, work.depth, line, work.lines, column,
      columns, [&](int pixel, int channel, float sum) { work.store(pixel, channel, sum); });
}

struct TransposedWork {
  Images coarse;
  int rows;
  int fine_height, fine_width;
  Filters w;
  int padding;
  int tiles;  // of a phase
  Store store;
};

// The pixels of an axis with this remainder of pixel + padding, and how many taps have it.
struct Phase {
  Axis axis;
  int taps;
  __device__ __forceinline__ Phase(int remainder, int size, int kernel, int stride, int padding) : axis{}, taps(0) {
    const int first = (remainder + stride - padding % stride) % stride;
    axis = {first < size ? (size - 1 - first) / stride + 1 : 0, first, stride, (first + padding - remainder) / stride,
            1};
    taps = remainder < kernel ? (kernel - 1 - remainder) / stride + 1 : 0;
  }
};

template <bool Vector, int R>
__global__ void __launch_bounds__(product_threads, 2)
    convolve_transposed_kernel(const __grid_constant__ TransposedWork work) {
  using Tile = Product<true, false, R>;
  const int number = static_cast<int>(blockIdx.x) / work.tiles;
  const int block = static_cast<int>(blockIdx.x) % work.tiles;
  const int stride = work.w.stride;
  const Phase y(number / stride, work.fine_height, work.w.kernel, stride, work.padding);
  const Phase x(number % stride, work.fine_width, work.w.kernel, stride, work.padding);
  const Pixels pixels{y.axis, x.axis, work.fine_height, work.fine_width};
  const int columns = work.w.fine_channels;
  const int across = (columns + tile_columns - 1) / tile_columns;
  const int lines = work.rows * y.axis.size * x.axis.size;
  const int line = block / across * Tile::tile_rows;
  const int column = block % across * tile_columns;
  if (line >= lines) return;
  const int depth = y.taps * x.taps * work.coarse.channels;
  const int taps = x.taps > 0 ? x.taps : 1;
  const Digits step = Digits::of(product_warps * slice, work.coarse.channels, taps);
  product_tile<Tile>(Windows<typename Tile::Left, Vector>(work.coarse, pixels, lines, line, taps, -1, step),
                     PhaseFilters<typename Tile::Right>(work.w, column, number / stride, number % stride, taps, step),
                     depth, line, lines, column, columns,
                     [&](int pixel, int channel, float sum) { work.store(pixels.out(pixel), channel, sum); });
}

Store store_of(const Finishing& finish, float* to, int columns) {
  return {finish.bias, {finish.sigma, finish.parameter}, finish.slope_of, to, columns};
}

// --- gradients ------------------------------------------------------------------------------------------------------

struct GradientWork {
  ConvolutionShape shape;
  Images fine;
  Operand coarse;  // lines are channels, k's pixels
  int columns;     // of dw
  int tiles, splits;
  Digits step;
  Sum dw;
  bool accumulate;
  Scratch scratch;
};

// Lines are places (y, x, channel) in a window; k is the pixel of the coarse image, (row, y, x), where rows[row] is
// where the row lies.
template <class Slice, bool Vector, class Rows>
class WindowPlaces {
 public:
  __device__ __forceinline__ WindowPlaces(const GradientWork& work, int first, const Rows& rows)
      : work_(work), rows_(rows) {
    GANYMEDE_UNROLL
    for (int ahead = 0; ahead < together; ++ahead) {
      const int line = first + Slice::column(0) + ahead;
      const Digits tap = Digits::of(line, work.fine.channels, work.shape.kernel);
      const bool exists = line < work.columns;
      tap_[ahead] = exists ? packed(tap.high, tap.middle) : packed(outside, 0);
      offset_[ahead] = (tap.high * work.fine.width + tap.middle) * work.fine.channels + tap.low;
    }
  }
  __device__ __forceinline__ void start(int k) {
    GANYMEDE_UNROLL
    for (int i = 0; i < Slice::loads; ++i)
      at_[i] = Digits::of(k + Slice::row(i), work_.shape.coarse_width, work_.shape.coarse_height);
  }
  __device__ __forceinline__ void advance() {
    GANYMEDE_UNROLL
    for (int i = 0; i < Slice::loads; ++i) at_[i].add(work_.step, work_.shape.coarse_width, work_.shape.coarse_height);
  }
  __device__ __forceinline__ float4 four(int i, int k, int k_end) const {
    if (k >= k_end) return {0.0F, 0.0F, 0.0F, 0.0F};
    const int y = at_[i].middle * work_.shape.stride - work_.shape.padding;
    const int x = at_[i].low * work_.shape.stride - work_.shape.padding;
    const std::ptrdiff_t corner =
        static_cast<std::ptrdiff_t>(work_.fine.pixel(rows_[at_[i].high], y, x)) * work_.fine.channels;
    if constexpr (Vector) {
      return inside(0, y, x) ? *reinterpret_cast<const float4*>(work_.fine.data + corner + offset_[0])
                             : float4{0.0F, 0.0F, 0.0F, 0.0F};
    } else {
      float value[4];
      GANYMEDE_UNROLL
      for (int ahead = 0; ahead < 4; ++ahead)
        value[ahead] = inside(ahead, y, x) ? work_.fine.data[corner + offset_[ahead]] : 0.0F;
      return {value[0], value[1], value[2], value[3]};
    }
  }

 private:
  static constexpr int together = Vector ? 1 : 4;
  __device__ __forceinline__ bool inside(int ahead, int y, int x) const {
    return work_.fine.inside(y + packed_y(tap_[ahead]), x + packed_x(tap_[ahead]));
  }

  const GradientWork& work_;
  Rows rows_;
  int tap_[together];
  int offset_[together];
  Digits at_[Slice::loads];
};

// The sums of a tile's `splits` blocks, added in order by whichever of them is done last.
template <class T, class Store>
__device__ __forceinline__ void join_splits(const GradientWork& work, int tile, int tile_size, Store&& store) {
  if (!last_block(work.scratch.tickets + tile, static_cast<unsigned>(work.splits))) return;
  const T* from =
      reinterpret_cast<const T*>(work.scratch.partial) + static_cast<std::ptrdiff_t>(tile) * work.splits * tile_size;
  for (int place = static_cast<int>(threadIdx.x); place < tile_size; place += product_threads) {
    T total{};
    for (int split = 0; split < work.splits; ++split) total += from[split * tile_size + place];
    store(place, total);
  }
}

template <bool Exact, bool Vector, int R>
__global__ void __launch_bounds__(product_threads, 2)
    convolution_gradients_kernel(const __grid_constant__ Shards shards, const __grid_constant__ GradientWork work) {
  using Tile = Product<false, false, R>;
  using T = std::conditional_t<Exact, std::int64_t, float>;
  constexpr int tile_size = Tile::tile_rows * tile_columns;
  GANYMEDE_SHARED(float, shared, [product_warps][Tile::shared_floats]);
  const int pixels = work.shape.coarse_height * work.shape.coarse_width;
  const int out = work.coarse.lines;
  const int across = (work.columns + tile_columns - 1) / tile_columns;
  const int number = static_cast<int>(blockIdx.x) / work.splits;
  const int split = static_cast<int>(blockIdx.x) % work.splits;
  const int row = number / across * Tile::tile_rows;
  const int column = number % across * tile_columns;
  const int warp = thread_warp();
  auto* sums = reinterpret_cast<T*>(shared[warp]);
  if constexpr (Exact) {
    std::int64_t total[R][4] = {};
    unsigned overflow = 0;
    for (int s = split * product_warps + warp; s < shards.count; s += work.splits * product_warps) {
      const ShardRows rows(shards, s);
      const ShardRows positions(shards, s, pixels);
      Tile tile;
      tile.add(shared[warp], MatrixLines<typename Tile::Left, ShardRows>{work.coarse, row, positions},
               WindowPlaces<typename Tile::Right, Vector, ShardRows>(work, column, rows), positions.count, 0, 1);
      GANYMEDE_UNROLL
      for (int i = 0; i < R; ++i) {
        GANYMEDE_UNROLL
        for (int j = 0; j < 4; ++j) {
          // What is beyond the edge is not counted: there a NaN of the other operand meets a padding zero.
          const int place = Tile::place(i, j);
          if (row + place / tile_columns < out && column + place % tile_columns < work.columns)
            add_fixed(tile.sum[i][j], total[i][j], overflow);
        }
      }
    }
    report_overflow(work.dw, overflow);
    GANYMEDE_UNROLL
    for (int i = 0; i < R; ++i) {
      GANYMEDE_UNROLL
      for (int j = 0; j < 4; ++j) sums[Tile::place(i, j)] = total[i][j];
    }
  } else {
    Tile tile;
    const int rows = shards.parts * shards.rows;
    tile.add(shared[warp], MatrixLines<typename Tile::Left, AllRows>{work.coarse, row, {rows * pixels}},
             WindowPlaces<typename Tile::Right, Vector, AllRows>(work, column, {rows}), rows * pixels,
             split * product_warps + warp, work.splits * product_warps);
    GANYMEDE_UNROLL
    for (int i = 0; i < R; ++i) {
      GANYMEDE_UNROLL
      for (int j = 0; j < 4; ++j) sums[Tile::place(i, j)] = tile.sum[i][j];
    }
  }
  const auto store = [&](int r, int c, T sum) {
    T* to = nullptr;
    if constexpr (Exact) {
      to = work.dw.fixed;
    } else {
      to = work.dw.values;
    }
    to += static_cast<std::ptrdiff_t>(r) * work.columns + c;
    *to = work.accumulate ? *to + sum : sum;
  };
  const auto* all = reinterpret_cast<const T*>(shared[0]);
  constexpr int pitch = Tile::shared_floats / static_cast<int>(sizeof(T) / sizeof(float));
  if (work.splits == 1) {
    finish_tile<Tile::tile_rows>(all, pitch, row, out, column, work.columns, store);
    return;
  }
  T* partial = reinterpret_cast<T*>(work.scratch.partial) + static_cast<std::ptrdiff_t>(blockIdx.x) * tile_size;
  finish_tile<Tile::tile_rows>(all, pitch, 0, Tile::tile_rows, 0, tile_columns,
                               [&](int r, int c, T sum) { partial[r * tile_columns + c] = sum; });
  join_splits<T>(work, number, tile_size, [&](int place, T sum) {
    const int r = row + place / tile_columns;
    const int c = column + place % tile_columns;
    if (r < out && c < work.columns) store(r, c, sum);
  });
}

// How many blocks share the sums of a tile, where there are few tiles: so many that all together fill a large GPU, as
// long as each has `least` of `parts` things to add.
int splits_for(int tiles, int parts, int least) {
  static_assert(enough_tiles / 2 <= Scratch::ticket_count);  // the most tiles that are shared
  const int wanted = enough_tiles / tiles;
  const int possible = parts / least;
  return wanted < 1 || possible < 1 ? 1 : wanted < possible ? wanted : possible;
}

template <bool Exact, int R>
void gradients(cudaStream_t stream, const Shards& shards, const GradientWork& work, bool vector) {
  const auto blocks = static_cast<unsigned>(work.tiles * work.splits);
  if (vector) {
    launch<convolution_gradients_kernel<Exact, true, R>>("convolution_gradients", blocks, product_threads, stream,
                                                         shards, work);
  } else {
    launch<convolution_gradients_kernel<Exact, false, R>>("convolution_gradients", blocks, product_threads, stream,
                                                          shards, work);
  }
}

// --- a channel's sums
// -------------------------------------------------------------------------------------------------

struct ChannelSums {
  int pixels, channels;
  const float* delta;
  const float* weight;  // of rows; null: 1
  Sum to;
  bool accumulate;

  // Σ of the thread's positions begin … end-1 after the row `first`.
  __device__ __forceinline__ void add(const ChannelThread& thread, int first, int begin, int end,
                                      double (&sum)[1]) const {
    const float* from = delta + static_cast<std::ptrdiff_t>(first) * pixels * channels + thread.channel;
    sum_positions(thread, begin, end, sum, [&](int position, float(&chain)[1]) {
      const float value = from[static_cast<std::ptrdiff_t>(position) * channels];
      chain[0] = weight == nullptr ? chain[0] + value : fmaf(weight[first + position / pixels], value, chain[0]);
    });
  }
};

__global__ void __launch_bounds__(channel_threads)
    fixed_channels_kernel(const __grid_constant__ Shards shards, ChannelBlocks blocks, ChannelSums sums) {
  const ChannelBlock block(blocks, shards.parts);
  const ChannelThread thread(block.group, blocks.lanes);
  const Piece piece((shards.begin[block.shard + 1] - shards.begin[block.shard]) * sums.pixels, block.piece);
  if (piece.begin == piece.end) return;
  double sum[1] = {};
  if (thread.channel < sums.channels)
    sums.add(thread, block.part * shards.rows + shards.begin[block.shard], piece.begin, piece.end, sum);
  sum_over_block(blocks.lanes, sum);
  if (static_cast<int>(threadIdx.x) < blocks.lanes && thread.channel < sums.channels)
    add_fixed_at(sums.to.fixed + thread.channel, sum[0], sums.to.overflow);
}

// In floats: pieces of all positions, which the block that is done last adds in order.
struct FloatPieces {
  int positions, count, length, groups, lanes;
  Scratch scratch;
};
__global__ void __launch_bounds__(channel_threads) float_channels_kernel(FloatPieces pieces, ChannelSums sums) {
  const int group = static_cast<int>(blockIdx.x) % pieces.groups;
  const int piece = static_cast<int>(blockIdx.x) / pieces.groups;
  const ChannelThread thread(group, pieces.lanes);
  const int begin = piece * pieces.length;
  const int end = pieces.positions - begin < pieces.length ? pieces.positions : begin + pieces.length;
  double sum[1] = {};
  if (thread.channel < sums.channels) sums.add(thread, 0, begin, end, sum);
  sum_over_block(pieces.lanes, sum);
  const auto store = [&](int channel, double total) {
    float* to = sums.to.values + channel;
    *to = sums.accumulate ? *to + static_cast<float>(total) : static_cast<float>(total);
  };
  const bool mine = static_cast<int>(threadIdx.x) < pieces.lanes && thread.channel < sums.channels;
  if (pieces.count == 1) {
    if (mine) store(thread.channel, sum[0]);
    return;
  }
  double* partial = pieces.scratch.partial;
  if (mine) partial[piece * sums.channels + thread.channel] = sum[0];
  if (!last_block(pieces.scratch.tickets, gridDim.x)) return;
  for (int channel = static_cast<int>(threadIdx.x); channel < sums.channels; channel += channel_threads) {
    double total = 0;
    for (int i = 0; i < pieces.count; ++i) total += partial[i * sums.channels + channel];
    store(channel, total);
  }
}

}  // namespace

void channel_gradients(cudaStream_t stream, const Shards& shards, int pixels, int channels, const float* delta,
                       const float* row_scale, bool accumulate, Sum db, Scratch scratch) {
  const ChannelSums sums{pixels, channels, delta, row_scale, db, accumulate};
  if (db.fixed != nullptr) {
    const ChannelBlocks blocks(shards, pixels, channels);
    if (blocks.blocks == 0) return;
    launch<fixed_channels_kernel>("channel_gradients", blocks.blocks, channel_threads, stream, shards, blocks, sums);
  } else if (db.values != nullptr) {
    FloatPieces pieces{};
    pieces.positions = shards.total_rows() * pixels;
    pieces.lanes = lanes_along(channels);
    pieces.groups = ceiling(channels, pieces.lanes);
    pieces.scratch = scratch;
    const int room = static_cast<int>(Scratch::partial_count) / channels;
    const int wanted = ceiling(pieces.positions, 2 * least_positions);
    pieces.length = ceiling(pieces.positions, std::max(1, std::min({2 * most_pieces, room, wanted})));
    pieces.length = std::max(1, pieces.length);
    pieces.count = std::max(1, ceiling(pieces.positions, pieces.length));
    launch<float_channels_kernel>("channel_gradients", static_cast<unsigned>(pieces.count * pieces.groups),
                                  channel_threads, stream, pieces, sums);
  }
}

void convolve(cudaStream_t stream, const ConvolutionShape& shape, int rows, const float* fine, const float* w,
              const Finishing& finish, float* coarse) {
  ConvolveWork work{};
  work.fine = {fine, shape.fine_height, shape.fine_width, shape.fine_channels};
  work.pixels = {{shape.coarse_height, 0, 1, -shape.padding, shape.stride},
                 {shape.coarse_width, 0, 1, -shape.padding, shape.stride},
                 shape.coarse_height,
                 shape.coarse_width};
  work.lines = rows * shape.coarse_height * shape.coarse_width;
  work.kernel = shape.kernel;
  work.depth = shape.kernel * shape.kernel * shape.fine_channels;
  work.w = {w, work.depth, shape.coarse_channels, aligned_rows(w, work.depth)};
  work.step = Digits::of(product_warps * slice, shape.fine_channels, shape.kernel);
  work.store = store_of(finish, coarse, shape.coarse_channels);
  if (work.lines == 0) return;
  const bool vector = aligned_rows(fine, shape.fine_channels);
  const int across = ceiling(shape.coarse_channels, tile_columns);
  const bool large = ceiling(work.lines, 32) * across >= enough_tiles;
  const auto blocks = static_cast<unsigned>(ceiling(work.lines, large ? 32 : 16) * across);
  if (large && vector) {
    launch<convolve_kernel<true, 4>>("convolve", blocks, product_threads, stream, work);
  } else if (large) {
    launch<convolve_kernel<false, 4>>("convolve", blocks, product_threads, stream, work);
  } else if (vector) {
    launch<convolve_kernel<true, 2>>("convolve", blocks, product_threads, stream, work);
  } else {
    launch<convolve_kernel<false, 2>>("convolve", blocks, product_threads, stream, work);
  }
}

void convolve_transposed(cudaStream_t stream, const ConvolutionShape& shape, int rows, const float* coarse,
                         const float* w, const Finishing& finish, float* fine) {
  TransposedWork work{};
  work.coarse = {coarse, shape.coarse_height, shape.coarse_width, shape.coarse_channels};
  work.rows = rows;
  work.fine_height = shape.fine_height;
  work.fine_width = shape.fine_width;
  work.w = {
      w, shape.kernel, shape.stride, shape.fine_channels, shape.coarse_channels, aligned_rows(w, shape.fine_channels)};
  work.padding = shape.padding;
  work.store = store_of(finish, fine, shape.fine_channels);
  // Of the phase that has the most pixels.
  const int lines = rows * ceiling(shape.fine_height, shape.stride) * ceiling(shape.fine_width, shape.stride);
  if (lines == 0) return;
  const int phases = shape.stride * shape.stride;
  const int across = ceiling(shape.fine_channels, tile_columns);
  const bool vector = aligned_rows(coarse, shape.coarse_channels);
  const bool large = phases * ceiling(lines, 32) * across >= enough_tiles;
  work.tiles = ceiling(lines, large ? 32 : 16) * across;
  const auto blocks = static_cast<unsigned>(phases * work.tiles);
  if (large && vector) {
    launch<convolve_transposed_kernel<true, 4>>("convolve_transposed", blocks, product_threads, stream, work);
  } else if (large) {
    launch<convolve_transposed_kernel<false, 4>>("convolve_transposed", blocks, product_threads, stream, work);
  } else if (vector) {
    launch<convolve_transposed_kernel<true, 2>>("convolve_transposed", blocks, product_threads, stream, work);
  } else {
    launch<convolve_transposed_kernel<false, 2>>("convolve_transposed", blocks, product_threads, stream, work);
  }
}

void convolution_gradients(cudaStream_t stream, const Shards& shards, const ConvolutionShape& shape, const float* fine,
                           const float* coarse, bool accumulate, Sum dw, Scratch scratch) {
  if (dw.values == nullptr && dw.fixed == nullptr) return;
  const bool exact = dw.fixed != nullptr;
  GradientWork work{};
  work.shape = shape;
  work.fine = {fine, shape.fine_height, shape.fine_width, shape.fine_channels};
  work.coarse = {coarse, shape.coarse_channels, shape.coarse_channels, aligned_rows(coarse, shape.coarse_channels)};
  work.columns = shape.kernel * shape.kernel * shape.fine_channels;
  work.dw = dw;
  work.accumulate = accumulate;
  work.scratch = scratch;
  const int across = ceiling(work.columns, tile_columns);
  const int large = ceiling(shape.coarse_channels, 32) * across;
  // In fixed point a lane's sums are 64 bits: the small tile alone has the registers.
  const bool small_tiles = exact || large < enough_tiles;
  work.tiles = small_tiles ? ceiling(shape.coarse_channels, 16) * across : large;
  const int depth = shards.total_rows() * shape.coarse_height * shape.coarse_width;
  work.splits = !small_tiles ? 1
                : exact      ? splits_for(work.tiles, shards.count, product_warps)
                             : splits_for(work.tiles, depth, 4 * product_warps * slice);
  const int stride = exact ? 1 : product_warps * work.splits;
  work.step = Digits::of(stride * slice, shape.coarse_width, shape.coarse_height);
  const bool vector = aligned_rows(fine, shape.fine_channels);
  if (exact) {
    gradients<true, 2>(stream, shards, work, vector);
  } else if (small_tiles) {
    gradients<false, 2>(stream, shards, work, vector);
  } else {
    gradients<false, 4>(stream, shards, work, vector);
  }
}

}  // namespace ganymede::cuda
