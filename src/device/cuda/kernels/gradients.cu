// The gradients of a fully connected layer, dW = deltaᵀ·x and db = Σ delta, summed over the rows of the batch in one
// launch: the first blocks make tiles of dW, the others sum columns. (A dW with one row, of D's last layer, is itself
// a weighted sum of x's rows.) In fixed point each warp takes whole shards, so that a shard's contribution does not
// depend on what else is summed.
#include "device/cuda/kernels/product.hpp"

namespace ganymede::cuda {
namespace {

constexpr int columns_per_block = warp_lanes;

// to[column] (+)= Σ_row weight[row] · from[row, column].
struct ColumnSums {
  const float* from;
  int columns;
  const float* weight;  // null: 1
  Sum to;
  __device__ __forceinline__ float weight_of(int row) const { return weight == nullptr ? 1.0F : weight[row]; }
};

// Σ over i = first, first + stride, …; eight rows are under way at once, since latency is all there is to it.
template <class Rows>
__device__ __forceinline__ float sum_column(const ColumnSums& sums, int column, const Rows& rows, int first,
                                            int stride) {
  constexpr int together = 8;
  float sum = 0.0F;
  for (int i = first; i < rows.count; i += together * stride) {
    float value[together];
    float weight[together];
    GANYMEDE_UNROLL
    for (int j = 0; j < together; ++j) {
      const bool inside = i + j * stride < rows.count;
      const int row = inside ? rows[i + j * stride] : 0;
      value[j] = inside ? sums.from[static_cast<std::ptrdiff_t>(row) * sums.columns + column] : 0.0F;
      weight[j] = inside ? sums.weight_of(row) : 0.0F;
    }
    GANYMEDE_UNROLL
    for (int j = 0; j < together; ++j) sum = fmaf(weight[j], value[j], sum);
  }
  return sum;
}

// One block: columns first … first + 31.
template <bool Exact>
__device__ __forceinline__ void column_block(const ColumnSums& sums, const Shards& shards, int first, bool accumulate) {
  using T = std::conditional_t<Exact, std::int64_t, float>;
  GANYMEDE_SHARED(T, by_warp, [product_warps][columns_per_block]);
  const int lane = thread_lane();
  const int warp = thread_warp();
  const int column = first + lane;
  T sum{};
  if (column < sums.columns) {
    if constexpr (Exact) {
      unsigned overflow = 0;
      for (int s = warp; s < shards.count; s += product_warps)
        add_fixed(sum_column(sums, column, ShardRows(shards, s), 0, 1), sum, overflow);
      report_overflow(sums.to, overflow);
    } else {
      sum = sum_column(sums, column, AllRows{shards.parts * shards.rows}, warp, product_warps);
    }
  }
  by_warp[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || column >= sums.columns) return;
  T total = by_warp[0][lane];
  GANYMEDE_UNROLL
  for (int w = 1; w < product_warps; ++w) total += by_warp[w][lane];
  T* to = nullptr;
  if constexpr (Exact) {
    to = sums.to.fixed + column;
  } else {
    to = sums.to.values + column;
  }
  *to = accumulate ? *to + total : total;
}

// Blocks 0 … tiles-1 make dW's tiles, then come those of `columns`' and then those of `more`.
struct Work {
  Operand delta, x;
  int tiles;
  Sum dw;
  ColumnSums columns, more;
  bool accumulate;
};

template <bool Exact, int R>
__device__ __forceinline__ void weight_tile(const Work& work, const Shards& shards) {
  using Tile = Product<false, false, R>;
  GANYMEDE_SHARED(float, shared, [product_warps][Tile::shared_floats]);
  const int out = work.delta.lines;
  const int in = work.x.lines;
  const int tiles_across = (in + tile_columns - 1) / tile_columns;
  const int row = static_cast<int>(blockIdx.x) / tiles_across * Tile::tile_rows;
  const int column = static_cast<int>(blockIdx.x) % tiles_across * tile_columns;
  const int warp = thread_warp();
  if constexpr (Exact) {
    std::int64_t total[R][4] = {};
    unsigned overflow = 0;
    for (int s = warp; s < shards.count; s += product_warps) {
      const ShardRows rows(shards, s);
      Tile tile;
      tile.add(shared[warp], work.delta, row, work.x, column, rows.count, 0, 1, rows);
      GANYMEDE_UNROLL
      for (int i = 0; i < R; ++i) {
        GANYMEDE_UNROLL
        for (int j = 0; j < 4; ++j) {
          // What is beyond the edge is not counted: there a NaN of the other operand meets a padding zero.
          const int place = Tile::place(i, j);
          if (row + place / tile_columns < out && column + place % tile_columns < in)
            add_fixed(tile.sum[i][j], total[i][j], overflow);
        }
      }
    }
    report_overflow(work.dw, overflow);
    auto* sums = reinterpret_cast<std::int64_t*>(shared[warp]);
    GANYMEDE_UNROLL
    for (int i = 0; i < R; ++i) {
      GANYMEDE_UNROLL
      for (int j = 0; j < 4; ++j) sums[Tile::place(i, j)] = total[i][j];
    }
    finish_tile<Tile::tile_rows>(reinterpret_cast<const std::int64_t*>(shared[0]), Tile::shared_floats / 2, row, out,
                                 column, in, [&](int r, int c, std::int64_t sum) {
                                   std::int64_t* to = work.dw.fixed + static_cast<std::ptrdiff_t>(r) * in + c;
                                   *to = work.accumulate ? *to + sum : sum;
                                 });
  } else {
    Tile tile;
    const AllRows rows{shards.parts * shards.rows};
    tile.add(shared[warp], work.delta, row, work.x, column, rows.count, warp, product_warps, rows);
    GANYMEDE_UNROLL
    for (int i = 0; i < R; ++i) {
      GANYMEDE_UNROLL
      for (int j = 0; j < 4; ++j) shared[warp][Tile::place(i, j)] = tile.sum[i][j];
    }
    finish_tile<Tile::tile_rows>(&shared[0][0], Tile::shared_floats, row, out, column, in,
                                 [&](int r, int c, float sum) {
                                   float* to = work.dw.values + static_cast<std::ptrdiff_t>(r) * in + c;
                                   *to = work.accumulate ? *to + sum : sum;
                                 });
  }
}

template <bool Exact, int R>
__global__ void __launch_bounds__(product_threads, 2)
    gradients_kernel(const __grid_constant__ Shards shards, const __grid_constant__ Work work) {
  int block = static_cast<int>(blockIdx.x);
  if (block < work.tiles) {
    weight_tile<Exact, R>(work, shards);
    return;
  }
  block -= work.tiles;
  const int first_blocks = (work.columns.columns + columns_per_block - 1) / columns_per_block;
  if (block < first_blocks) {
    column_block<Exact>(work.columns, shards, block * columns_per_block, work.accumulate);
  } else {
    column_block<Exact>(work.more, shards, (block - first_blocks) * columns_per_block, work.accumulate);
  }
}

bool wanted(const Sum& target) { return target.values != nullptr || target.fixed != nullptr; }

}  // namespace

void affine_gradients(cudaStream_t stream, const Shards& shards, int in, int out, const float* x, const float* delta,
                      const float* row_scale, bool accumulate, Sum dw, Sum db) {
  Work work{};
  work.delta = {delta, out, out, aligned_rows(delta, out)};
  work.x = {x, in, in, aligned_rows(x, in)};
  work.dw = dw;
  work.accumulate = accumulate;
  const bool exact = dw.fixed != nullptr || db.fixed != nullptr;
  // In fixed point a lane's sums are 64 bits: the small tile alone has the registers.
  const int large = ceiling(out, 32) * ceiling(in, tile_columns);
  const bool small_tiles = exact || large < enough_tiles;
  if (wanted(dw)) {
    if (out == 1) {
      work.columns = {x, in, delta, dw};
    } else {
      work.tiles = small_tiles ? ceiling(out, 16) * ceiling(in, tile_columns) : large;
    }
  }
  if (wanted(db)) work.more = {delta, out, row_scale, db};
  const auto blocks = static_cast<unsigned>(work.tiles + ceiling(work.columns.columns, columns_per_block) +
                                            ceiling(work.more.columns, columns_per_block));
  if (blocks == 0) return;
  if (exact) {
    launch<gradients_kernel<true, 2>>("affine_gradients", blocks, product_threads, stream, shards, work);
  } else if (small_tiles) {
    launch<gradients_kernel<false, 2>>("affine_gradients", blocks, product_threads, stream, shards, work);
  } else {
    launch<gradients_kernel<false, 4>>("affine_gradients", blocks, product_threads, stream, shards, work);
  }
}

}  // namespace ganymede::cuda
