// The fully connected layers' passes from one layer to the next: forward and its tangent, y = σ(x·Wᵀ + b), and
// backward to the input, delta·W. A layer with one output (D's last) has kernels of its own: a tile would be wasted
// on its single column.
#include "device/cuda/kernels/product.hpp"

namespace ganymede::cuda {
namespace {

constexpr int rows_per_block = 4;  // of a layer with one output: a warp to a row, few warps to a block

// What becomes of a sum: the layer's output, or its tangent, or the gradient at the layer below.
struct Forward {
  const float* b;  // null: none
  Sigma sigma;
  float* y;
  int columns;
  __device__ __forceinline__ void operator()(int row, int column, float sum) const {
    y[static_cast<std::ptrdiff_t>(row) * columns + column] = sigma.value(b == nullptr ? sum : sum + b[column]);
  }
};
struct TimesSlope {
  const float* h;  // null: slope 1
  Sigma sigma;
  float* to;
  int columns;
  __device__ __forceinline__ void operator()(int row, int column, float sum) const {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * columns + column;
    to[at] = h == nullptr ? sum : sum * sigma.slope(h[at]);
  }
};

template <bool RightKContiguous, int R, class Finish>
__global__ void __launch_bounds__(product_threads, 2)
    product_kernel(int rows, int columns, int depth, Operand left, Operand right, Finish finish) {
  using Tile = Product<true, RightKContiguous, R>;
  GANYMEDE_SHARED(float, shared, [product_warps][Tile::shared_floats]);
  const int tiles_across = (columns + tile_columns - 1) / tile_columns;
  const int row = static_cast<int>(blockIdx.x) / tiles_across * Tile::tile_rows;
  const int column = static_cast<int>(blockIdx.x) % tiles_across * tile_columns;
  const int warp = thread_warp();
  Tile tile;
  tile.add(shared[warp], left, row, right, column, depth, warp, product_warps, AllRows{depth});
  GANYMEDE_UNROLL
  for (int i = 0; i < R; ++i) {
    GANYMEDE_UNROLL
    for (int j = 0; j < 4; ++j) shared[warp][Tile::place(i, j)] = tile.sum[i][j];
  }
  finish_tile<Tile::tile_rows>(&shared[0][0], Tile::shared_floats, row, rows, column, columns, finish);
}

template <bool RightKContiguous, class Finish>
void product(const char* name, cudaStream_t stream, int rows, int columns, int depth, const Operand& left,
             const Operand& right, const Finish& finish) {
  if (rows == 0) return;
  const int across = ceiling(columns, tile_columns);
  const int large = ceiling(rows, 32) * across;
  if (large >= enough_tiles) {
    launch<product_kernel<RightKContiguous, 4, Finish>>(name, static_cast<unsigned>(large), product_threads, stream,
                                                        rows, columns, depth, left, right, finish);
  } else {
    launch<product_kernel<RightKContiguous, 2, Finish>>(name, static_cast<unsigned>(ceiling(rows, 16) * across),
                                                        product_threads, stream, rows, columns, depth, left, right,
                                                        finish);
  }
}

// One output: a warp to a row.
template <class Finish>
__global__ void __launch_bounds__(rows_per_block* warp_lanes)
    dot_kernel(int rows, int in, const float* x, const float* w, bool vector, Finish finish) {
  const int row = static_cast<int>(blockIdx.x) * rows_per_block + thread_warp();
  if (row >= rows) return;
  const float* from = x + static_cast<std::ptrdiff_t>(row) * in;
  float sum = 0.0F;
  for (int k = 4 * thread_lane(); k < in; k += 4 * warp_lanes) {
    const float4 a = load4(from + k, in - k, vector);
    const float4 b = load4(w + k, in - k, vector);
    sum = fmaf(a.x, b.x, sum);
    sum = fmaf(a.y, b.y, sum);
    sum = fmaf(a.z, b.z, sum);
    sum = fmaf(a.w, b.w, sum);
  }
  sum = warp_sum(sum);
  if (thread_lane() == 0) finish(row, 0, sum);
}

template <class Finish>
void dot(const char* name, cudaStream_t stream, int rows, int in, const float* x, const float* w,
         const Finish& finish) {
  if (rows == 0) return;
  launch<dot_kernel<Finish>>(name, static_cast<unsigned>(ceiling(rows, rows_per_block)), rows_per_block * warp_lanes,
                             stream, rows, in, x, w, aligned_rows(x, in) && aligned(w), finish);
}

// One output, backwards: an outer product, four elements of a row to a thread.
__global__ void __launch_bounds__(256) outer_kernel(int rows, int in, const float* delta, const float* w, Sigma below,
                                                    const float* x, float* delta_in, bool vector) {
  const int per_row = (in + 3) / 4;
  const std::ptrdiff_t index = static_cast<std::ptrdiff_t>(blockIdx.x) * 256 + threadIdx.x;
  const std::ptrdiff_t row = index / per_row;
  const int column = static_cast<int>(index % per_row) * 4;
  if (row >= rows) return;
  const float d = delta[row];
  const std::ptrdiff_t at = row * in + column;
  float4 result = load4(w + column, in - column, vector);
  result = {d * result.x, d * result.y, d * result.z, d * result.w};
  if (x != nullptr) {
    const float4 h = load4(x + at, in - column, vector);
    result = {result.x * below.slope(h.x), result.y * below.slope(h.y), result.z * below.slope(h.z),
              result.w * below.slope(h.w)};
  }
  store4(delta_in + at, in - column, vector, result);
}

}  // namespace

void affine_forward(cudaStream_t stream, int rows, int in, int out, const float* x, const float* w, const float* b,
                    int sigma, float parameter, float* y) {
  const Forward finish{b, {sigma, parameter}, y, out};
  if (out == 1) {
    dot("affine_forward", stream, rows, in, x, w, finish);
  } else {
    product<true>("affine_forward", stream, rows, out, in, {x, in, rows, aligned_rows(x, in)},
                  {w, in, out, aligned_rows(w, in)}, finish);
  }
}

void affine_tangent(cudaStream_t stream, int rows, int in, int out, const float* tx, const float* w, int sigma,
                    float parameter, const float* y, float* ty) {
  const TimesSlope finish{y, {sigma, parameter}, ty, out};
  if (out == 1) {
    dot("affine_tangent", stream, rows, in, tx, w, finish);
  } else {
    product<true>("affine_tangent", stream, rows, out, in, {tx, in, rows, aligned_rows(tx, in)},
                  {w, in, out, aligned_rows(w, in)}, finish);
  }
}

void affine_backward_data(cudaStream_t stream, int rows, int in, int out, const float* delta, const float* w, int below,
                          float parameter, const float* x, float* delta_in) {
  if (out == 1) {
    if (rows == 0) return;
    const bool vector = aligned_rows(w, in) && aligned(delta_in) && aligned(x);
    const std::size_t vectors = static_cast<std::size_t>(rows) * static_cast<std::size_t>(ceiling(in, 4));
    launch<outer_kernel>("affine_backward_data", blocks_for(vectors, 256), 256, stream, rows, in, delta, w,
                         Sigma{below, parameter}, x, delta_in, vector);
  } else {
    product<false>("affine_backward_data", stream, rows, in, out, {delta, out, rows, aligned_rows(delta, out)},
                   {w, in, in, aligned_rows(w, in)}, TimesSlope{x, {below, parameter}, delta_in, in});
  }
}

}  // namespace ganymede::cuda
