// The matrix product inside the layers' kernels: one block makes one small tile of the result.
//
// A GAN of this size is bound by latency: its results have a few thousand elements, its depths (k) a few hundred.
// So tiles are small, to give every multiprocessor one, and the eight warps of a block share k, not the tile:
// slices of 16 go to warps 0 … 7 in turn, each warp copies its slices of both operands to shared memory that is its
// own (it waits for nobody but itself; the next slice travels while this one is multiplied), and at the end the
// warps' sums are added in the order 0 … 7. An element is therefore summed in an order that only its k tells.
//
// Lanes are 8 × 4; a lane holds R × 4 elements, so that a tile has 8·R rows and 16 columns:
//   R = 4, 32 × 16: 16 multiply-adds for 8 numbers from shared memory. Where there are tiles enough to fill a GPU.
//   R = 2, 16 × 16: 8 for 6, but twice as many blocks. (R = 1 would halve the work of a block but not its loads.)
// Registers, R = 4: 16 sums, 24 of the slice under way, 32 of operands, which leaves room for two blocks.
#pragma once

#include "device/cuda/kernels/device.hpp"

namespace ganymede::cuda {

inline constexpr int product_warps = 8;
inline constexpr int product_threads = product_warps * warp_lanes;
inline constexpr int slice = 16;
inline constexpr int tile_columns = 16;
/// Fewer tiles of 32 rows than this, about the multiprocessors of a large GPU, and tiles of 16 are quicker.
inline constexpr int enough_tiles = 128;

/// An operand: `lines` rows (of the left one) or columns (of the right one), each with an element for every k. Lines
/// lie `pitch` apart with k contiguous, or k's lie `pitch` apart with lines contiguous.
struct Operand {
  const float* data;
  int pitch, lines;
  bool vector;
};

/// A warp's copy of a slice of an operand: Lines of its lines. Padded by four so that vectors stay aligned and the
/// lanes' reads meet different banks.
///
/// A Source says where the operand's numbers come from, to one lane: start(k) goes to the slice that begins with k,
/// advance() to the warp's next; four(i, k, k_end) are the numbers of the lane's i-th group of four, which lies at `k`,
/// and zeros from k_end on: four k's of the line row(i), or four lines from column(i) on.
template <bool KContiguous, int Lines>
struct Slice {
  static constexpr bool k_contiguous = KContiguous;
  static constexpr int pitch = (KContiguous ? slice : Lines) + 4;
  static constexpr int floats = (KContiguous ? Lines : slice) * pitch;
  static constexpr int loads = Lines * slice / (4 * warp_lanes);  // vectors per lane
  static constexpr int per_row = (KContiguous ? slice : Lines) / 4;

  /// Of a lane's i-th group of four: its row in the copy, and its first column there.
  __device__ __forceinline__ static int row(int i) { return (i * warp_lanes + thread_lane()) / per_row; }
  __device__ __forceinline__ static int column(int i) { return (i * warp_lanes + thread_lane()) % per_row * 4; }

  /// Fetches k's `k` … `k` + 15, zeros from k_end on.
  template <class Source>
  __device__ __forceinline__ static void fetch(float4 (&to)[loads], const Source& from, int k, int k_end) {
    GANYMEDE_UNROLL
    for (int i = 0; i < loads; ++i) to[i] = from.four(i, k + (KContiguous ? column(i) : row(i)), k_end);
  }
  __device__ __forceinline__ static void keep(float* shared, const float4 (&values)[loads]) {
    GANYMEDE_UNROLL
    for (int i = 0; i < loads; ++i) *reinterpret_cast<float4*>(shared + row(i) * pitch + column(i)) = values[i];
  }
  /// Which line is a lane's i-th, where `Groups` lanes share the lines and this one is the `group`-th.
  template <int Groups>
  __device__ __forceinline__ static int line(int group, int i) {
    return KContiguous ? group + Groups * i : group * (Lines / Groups) + i;
  }
  /// The lane's lines at four k's.
  template <int Groups>
  __device__ __forceinline__ static void read(float (&to)[Lines / Groups][4], const float* shared, int group, int k) {
    constexpr int count = Lines / Groups;
    static_assert(count == 2 || count == 4);
    GANYMEDE_UNROLL
    for (int i = 0; i < (KContiguous ? count : 4); ++i) {
      if (KContiguous) {
        const float4 four = *reinterpret_cast<const float4*>(shared + line<Groups>(group, i) * pitch + k);
        to[i][0] = four.x;
        to[i][1] = four.y;
        to[i][2] = four.z;
        to[i][3] = four.w;
      } else if constexpr (count == 4) {
        const float4 four = *reinterpret_cast<const float4*>(shared + (k + i) * pitch + group * 4);
        to[0][i] = four.x;
        to[1][i] = four.y;
        to[2][i] = four.z;
        to[3][i] = four.w;
      } else {
        const float2 two = *reinterpret_cast<const float2*>(shared + (k + i) * pitch + group * 2);
        to[0][i] = two.x;
        to[1][i] = two.y;
      }
    }
  }
};

/// The lines of a matrix from `first` on; rows[k] is where k lies, unless k is contiguous.
template <class Slice, class Rows>
struct MatrixLines {
  Operand from;
  int first;
  Rows rows;

  __device__ __forceinline__ void start(int /*k*/) {}
  __device__ __forceinline__ void advance() {}
  __device__ __forceinline__ float4 four(int i, int k, int k_end) const {
    if (Slice::k_contiguous) {
      const int line = first + Slice::row(i);
      return load4(from.data + static_cast<std::ptrdiff_t>(line) * from.pitch + k, line < from.lines ? k_end - k : 0,
                   from.vector);
    }
    const int line = first + Slice::column(i);
    const bool inside = k < k_end;
    return load4(from.data + static_cast<std::ptrdiff_t>(inside ? rows[k] : 0) * from.pitch + line,
                 inside ? from.lines - line : 0, from.vector);
  }
};

/// A block's product: a tile of left · right.
template <bool LeftKContiguous, bool RightKContiguous, int R>
struct Product {
  static constexpr int tile_rows = 8 * R;
  using Left = Slice<LeftKContiguous, tile_rows>;
  using Right = Slice<RightKContiguous, tile_columns>;
  /// Per warp. After the loop over k it holds the warp's sums: as many floats, or (R = 2) int64s, as the tile has.
  static constexpr int shared_floats = Left::floats + Right::floats;
  static_assert(shared_floats >= tile_rows * tile_columns * (R == 2 ? 2 : 1));

  static constexpr int rows_per_lane = R;
  float sum[R][4] = {};

  /// sum += the products over the slices first_slice, first_slice + stride, … of k < k_end.
  template <class LeftSource, class RightSource>
  __device__ __forceinline__ void add(float* shared, LeftSource left, RightSource right, int k_end, int first_slice,
                                      int stride) {
    float4 next_left[Left::loads];
    float4 next_right[Right::loads];
    int k = first_slice * slice;
    if (k >= k_end) return;
    left.start(k);
    right.start(k);
    Left::fetch(next_left, left, k, k_end);
    Right::fetch(next_right, right, k, k_end);
    for (; k < k_end; k += stride * slice) {
      Left::keep(shared, next_left);
      Right::keep(shared + Left::floats, next_right);
      __syncwarp();
      if (k + stride * slice < k_end) {
        left.advance();
        right.advance();
        Left::fetch(next_left, left, k + stride * slice, k_end);
        Right::fetch(next_right, right, k + stride * slice, k_end);
      }
      GANYMEDE_UNROLL
      for (int four = 0; four < slice; four += 4) {
        float a[R][4];
        float b[4][4];
        Left::template read<8>(a, shared, thread_lane() / 4, four);
        Right::template read<4>(b, shared + Left::floats, thread_lane() % 4, four);
        GANYMEDE_UNROLL
        for (int ahead = 0; ahead < 4; ++ahead) {
          GANYMEDE_UNROLL
          for (int i = 0; i < R; ++i) {
            GANYMEDE_UNROLL
            for (int j = 0; j < 4; ++j) sum[i][j] = fmaf(a[i][ahead], b[j][ahead], sum[i][j]);
          }
        }
      }
      __syncwarp();
    }
  }

  /// The same of matrices, from lines `row` and `column` on.
  template <class Rows>
  __device__ __forceinline__ void add(float* shared, const Operand& left, int row, const Operand& right, int column,
                                      int k_end, int first_slice, int stride, const Rows& rows) {
    add(shared, MatrixLines<Left, Rows>{left, row, rows}, MatrixLines<Right, Rows>{right, column, rows}, k_end,
        first_slice, stride);
  }

  /// The place in the tile, row · tile_columns + column, of the lane's element (i, j).
  __device__ __forceinline__ static int place(int i, int j) {
    return Left::template line<8>(thread_lane() / 4, i) * tile_columns + Right::template line<4>(thread_lane() % 4, j);
  }
};

/// Adds the warps' tiles and gives each element to finish(row, column, sum). `shared` is [warps][pitch] of T, its own
/// tile written by each warp.
template <int TileRows, class T, class Finish>
__device__ __forceinline__ void finish_tile(const T* shared, int pitch, int row, int rows, int column, int columns,
                                            Finish&& finish) {
  __syncthreads();
  GANYMEDE_UNROLL
  for (int i = 0; i < TileRows * tile_columns / product_threads; ++i) {
    const int place = i * product_threads + static_cast<int>(threadIdx.x);
    const int r = row + place / tile_columns;
    const int c = column + place % tile_columns;
    T total = shared[place];
    GANYMEDE_UNROLL
    for (int w = 1; w < product_warps; ++w) total += shared[w * pitch + place];
    if (r < rows && c < columns) finish(r, c, total);
  }
}

}  // namespace ganymede::cuda
