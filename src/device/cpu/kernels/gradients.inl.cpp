// Sums over the batch: the gradients of weights and biases, in floats or in fixed point, shard by shard. Part of
// kernels.inl.cpp.
#pragma once

#include "device/cpu/kernels/product.inl.cpp"
#include "math/fixed_point.hpp"

namespace ganymede::cpu {
namespace {

// Adds the values that fit to fixed-point sums and returns how many did not.
GANYMEDE_INLINE std::int64_t add_fixed(const float* values, int count, std::int64_t* sums) {
  std::int64_t overflow = 0;
  for (int i = 0; i < count; ++i) {
    const bool fits = math::fits_fixed_point(values[i]);
    sums[i] += fits ? math::to_fixed_point(values[i]) : 0;
    overflow += fits ? 0 : 1;
  }
  return overflow;
}

using Magnitudes = std::uint32_t __attribute__((vector_size(lanes * sizeof(std::uint32_t))));
constexpr int half = lanes / 2;
using Doubles = double __attribute__((vector_size(half * sizeof(double))));
// Unsigned, as sums of magic bits wrap around until they are taken away again.
using Integers = std::uint64_t __attribute__((vector_size(half * sizeof(std::uint64_t)), may_alias));

#if defined(__AVX512F__)
GANYMEDE_INLINE Doubles widened(const float* from) { return _mm512_cvtps_pd(_mm256_loadu_ps(from)); }
#elif defined(__AVX2__)
GANYMEDE_INLINE Doubles widened(const float* from) { return _mm256_cvtps_pd(_mm_loadu_ps(from)); }
#else
GANYMEDE_INLINE Doubles widened(const float* from) {
  return _mm_cvtps_pd(_mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}
#endif

// The same in bulk, for values that all fit: `largest` collects what tells. The sums take in the bits of
// value · 2^40 + magic, and owe `magic_bits` for each value that was added. `sums` is aligned to 64 bytes.
constexpr double magic = 6755399441055744.0;  // 1.5 · 2^52, see math/fixed_point.hpp
constexpr std::uint64_t magic_bits = 0x4338000000000000;
GANYMEDE_INLINE void add_fixed_unchecked(const float* values, int count, std::int64_t* sums, Magnitudes& largest) {
  for (int i = 0; i < count; i += lanes) {
    // As integers, magnitudes are in the order of their values, with infinity and NaN above all.
    const Magnitudes magnitude = reinterpret_cast<Magnitudes>(load(values + i)) & 0x7FFFFFFFU;
    largest = magnitude > largest ? magnitude : largest;
    for (int j = 0; j < lanes; j += half) {
      const Doubles shifted = widened(values + i + j) * math::fixed_point_scale + magic;
      *reinterpret_cast<Integers*>(sums + i + j) += reinterpret_cast<Integers>(shifted);
    }
  }
}
GANYMEDE_INLINE bool all_fit(Magnitudes largest) {
  std::uint32_t most = 0;
  for (int i = 0; i < lanes; ++i) most = largest[i] > most ? largest[i] : most;
  return most < math::as_bits(math::fixed_point_limit);
}

GANYMEDE_INLINE void report_overflow(std::int64_t* overflow, std::int64_t count) {
  if (count != 0) __atomic_fetch_add(overflow, count, __ATOMIC_RELAXED);
}

// Packs columns of x[row, ldx] for the rows of a block, [k][tile_columns].
GANYMEDE_INLINE void pack_right(const float* x, std::ptrdiff_t ldx, int columns, const int* row, Range k, float* to) {
  for (int i = k.begin; i < k.end; ++i, to += tile_columns) {
    const float* from = x + row[i] * ldx;
    if (columns >= tile_columns) {
      GANYMEDE_UNROLL
      for (int j = 0; j < tile_vectors; ++j) store(to + j * lanes, load(from + j * lanes));
    } else {
      for (int j = 0; j < tile_columns; ++j) to[j] = j < columns ? from[j] : 0.0F;
    }
  }
}

// Packs delta's columns r.begin … r.end-1 as [k][r.end - r.begin].
GANYMEDE_INLINE void pack_left(const float* delta, std::ptrdiff_t ld, const int* row, Range k, Range r, float* to) {
  const int height = r.end - r.begin;
  constexpr int vectors = (tile_rows + lanes - 1) / lanes;
  static_assert(vectors * lanes <= scratch_slack + 1);
  if (r.begin + vectors * lanes <= ld) {
    // Whole vectors: what is too much in one is overwritten by the next.
    for (int i = k.begin; i < k.end; ++i, to += height) {
      const float* from = delta + row[i] * ld + r.begin;
      GANYMEDE_UNROLL
      for (int j = 0; j < vectors; ++j) store(to + j * lanes, load(from + j * lanes));
    }
    return;
  }
  for (int i = k.begin; i < k.end; ++i, to += height) {
    const float* from = delta + row[i] * ld + r.begin;
    for (int j = 0; j < height; ++j) to[j] = from[j];
  }
}

// The right matrix as it lies in memory.
struct MatrixRows {
  static constexpr bool direct = true;      // a row's columns lie one after another
  static constexpr bool long_sums = false;  // a sum is one chain
  const float* x;
  int columns;

  GANYMEDE_INLINE void pack(int column, int width, const int* row, Range k, float* to) const {
    pack_right(x + column, columns, width, row, k, to);
  }
};

// dW = deltaᵀ · x, where `rows` gives x. Rows are packed in blocks; within a tile the shards of a block follow each
// other, each summed in floats from zero, then converted, so that a shard's contribution is a function of its rows
// alone. A shard that a block boundary cuts waits in `carry`.
template <class Rows>
GANYMEDE_INLINE void weight_gradient(const WeightsArgs& args, const Rows& rows, float* scratch, int part, int parts) {
  constexpr int block = 256;
  constexpr int left_rows = static_cast<int>(scratch_left) / block;
  float* packed_right = scratch;
  float* packed_left = scratch + scratch_right;
  const bool exact = args.dw.fixed != nullptr;
  const int columns = args.in;
  const int panels = (columns + tile_columns - 1) / tile_columns;
  const Share share = share_of(args.out, panels, part, parts);
  const RowOrder& order = args.order;
  std::int64_t overflow = 0;
  int list[block];
  alignas(64) float values[tile_rows * tile_columns];
  alignas(64) std::int64_t sums[tile_rows * tile_columns];

  bool written = args.accumulate;  // is there something in the target to add to?
  int first_shard = 0;
  for (Range k{0, 0}; k.begin < order.count; k.begin = k.end) {
    k.end = smaller(order.count, k.begin + block);
    while (first_shard < order.shards && order.shard_end[first_shard] <= k.begin) ++first_shard;
    bool completes = false;
    if (exact && Rows::long_sums) {
      // Blocks are cut from their shard's beginning on, whatever lies before it.
      k.end = smaller(k.end, order.shard_end[first_shard]);
      completes = k.end == order.shard_end[first_shard];
    } else if (exact) {
      // End with a whole shard where one ends in reach.
      int end = 0;
      for (int s = first_shard; s < order.shards && order.shard_end[s] <= k.end; ++s) end = order.shard_end[s];
      completes = end > k.begin;
      if (completes) k.end = end;
    }
    for (int top = share.rows.begin; top < share.rows.end; top += left_rows) {
      const Tiles tiles(Range{top, smaller(top + left_rows, share.rows.end)});
      for (int t = 0; t < tiles.count; ++t)
        pack_left(args.delta, args.out, order.row, k, tiles[t],
                  packed_left + static_cast<std::ptrdiff_t>(tiles[t].begin - top) * (k.end - k.begin));
      Finite finite(packed_left, (smaller(top + left_rows, share.rows.end) - top) * (k.end - k.begin));
      for (int panel = share.panels.begin; panel < share.panels.end; ++panel) {
        const int column = panel * tile_columns;
        const int width = smaller(columns - column, tile_columns);
        // Sums that are not exact take the rows as they lie: a whole panel of them is packed by the first tile,
        // or walked through by a list.
        const bool whole = Rows::direct && !exact && width == tile_columns;
        const float* right = args.x + static_cast<std::ptrdiff_t>(k.begin) * columns + column;
        int listed = whole ? list_rows(right, columns, k.end - k.begin, list) : -1;
        if (listed >= 0 && !finite()) listed = -1;
        if (!whole || listed >= 0) rows.pack(column, width, order.row, k, packed_right);
        for (int t = 0; t < tiles.count; ++t) {
          const Range r = tiles[t];
          const int height = r.end - r.begin;
          const float* left = packed_left + static_cast<std::ptrdiff_t>(r.begin - top) * (k.end - k.begin);
          const std::ptrdiff_t place = static_cast<std::ptrdiff_t>(r.begin) * columns + column;
          const Tile run = tile_of<true, Walk::packed>(height);
          if (!exact) {
            float* c = args.dw.values + place;
            if (listed >= 0) {
              const Steps steps{listed, packed_right, 0, nullptr, list};
              tile_of<true, Walk::listed>(height)(left, 0, steps, c, columns, written);
            } else if (whole && t == 0) {
              const Steps steps{k.end - k.begin, right, columns, packed_right, nullptr};
              tile_of<true, Walk::packing>(height)(left, 0, steps, c, columns, written);
            } else if (whole) {
              run(left, 0, {k.end - k.begin, packed_right, 0, nullptr, nullptr}, c, columns, written);
            } else {
              if (!Rows::long_sums)
                for (int i = 0; i < height; ++i)
                  for (int j = 0; j < width; ++j) values[i * tile_columns + j] = written ? c[i * columns + j] : 0.0F;
              run(left, 0, {k.end - k.begin, packed_right, 0, nullptr, nullptr}, values, tile_columns,
                  !Rows::long_sums);
              const bool add = Rows::long_sums && written;
              for (int i = 0; i < height; ++i)
                for (int j = 0; j < width; ++j) {
                  const float value = values[i * tile_columns + j];
                  c[i * columns + j] = add ? c[i * columns + j] + value : value;
                }
            }
            continue;
          }
          // First as if everything fitted, which is quick; once more where something did not. (A block that
          // completes a shard cuts none, so no pass reads a carry that this block wrote.)
          for (int pass = 0; pass < 2; ++pass) {
            const bool careful = pass == 1;
            Magnitudes largest{};
            std::uint64_t debt = 0;
            for (int i = 0; i < height * tile_columns; ++i) sums[i] = 0;
            int begin = k.begin;
            for (int s = first_shard; s < order.shards && begin < k.end; ++s) {
              const int end = smaller(order.shard_end[s], k.end);
              if (end == begin) continue;
              const bool starts = begin == (s == 0 ? 0 : order.shard_end[s - 1]);
              const bool ends = end == order.shard_end[s];
              float* carry = args.carry + place;
              if (!starts && !Rows::long_sums) {
                for (int i = 0; i < height; ++i)
                  for (int j = 0; j < width; ++j) values[i * tile_columns + j] = carry[i * columns + j];
              }
              const float* from = packed_right + static_cast<std::ptrdiff_t>(begin - k.begin) * tile_columns;
              run(left + static_cast<std::ptrdiff_t>(begin - k.begin) * height, 0,
                  {end - begin, from, 0, nullptr, nullptr}, values, tile_columns, !starts && !Rows::long_sums);
              if (!starts && Rows::long_sums) {
                for (int i = 0; i < height; ++i)
                  for (int j = 0; j < width; ++j) values[i * tile_columns + j] += carry[i * columns + j];
              }
              if (!ends) {
                for (int i = 0; i < height; ++i)
                  for (int j = 0; j < width; ++j) carry[i * columns + j] = values[i * tile_columns + j];
              } else if (careful) {
                for (int i = 0; i < height; ++i)
                  overflow += add_fixed(values + i * tile_columns, width, sums + i * tile_columns);
              } else {
                add_fixed_unchecked(values, height * tile_columns, sums, largest);
                debt += magic_bits;
              }
              begin = end;
            }
            if (!careful && all_fit(largest)) {
              for (int i = 0; i < height * tile_columns; ++i)
                sums[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(sums[i]) - debt);
              break;
            }
          }
          if (!completes) continue;
          std::int64_t* target = args.dw.fixed + place;
          for (int i = 0; i < height; ++i)
            for (int j = 0; j < width; ++j)
              target[i * columns + j] = (written ? target[i * columns + j] : 0) + sums[i * tile_columns + j];
        }
      }
    }
    written = written || !exact || completes;
  }
  report_overflow(args.dw.overflow, overflow);
}

void affine_backward_weights(const WeightsArgs& args, float* scratch, int part, int parts) {
  weight_gradient(args, MatrixRows{args.x, args.in}, scratch, part, parts);
}

void bias_gradient(const BiasArgs& args, float*, int part, int parts) {
  constexpr int group = 64;
  const RowOrder& order = args.order;
  const LongRange range = long_piece(static_cast<std::size_t>(args.out), 16, part, parts);
  std::int64_t overflow = 0;
  for (std::size_t first = range.begin; first < range.end; first += group) {
    const int n = range.end - first < group ? static_cast<int>(range.end - first) : group;
    alignas(64) float values[group];
    alignas(64) std::int64_t sums[group] = {};
    for (int j = 0; j < n; ++j)
      values[j] =
          args.accumulate && args.db.values != nullptr ? args.db.values[first + static_cast<std::size_t>(j)] : 0.0F;
    int k = 0;
    for (int s = 0; s < order.shards; ++s) {
      if (args.db.fixed != nullptr)
        for (int j = 0; j < n; ++j) values[j] = 0.0F;
      for (; k < order.shard_end[s]; ++k) {
        const std::size_t row = static_cast<std::size_t>(order.row[k]) * static_cast<std::size_t>(args.pixels);
        const float* delta = args.delta + row * static_cast<std::size_t>(args.out) + first;
        const float scale = args.row_scale == nullptr ? 1.0F : args.row_scale[order.row[k]];
        alignas(64) float pixel_sum[group];
        for (int j = 0; j < n; ++j) pixel_sum[j] = delta[j];
        for (int p = 1; p < args.pixels; ++p) {
          delta += args.out;
          for (int j = 0; j < n; ++j) pixel_sum[j] += delta[j];
        }
        for (int j = 0; j < n; ++j) values[j] = scale * pixel_sum[j] + values[j];
      }
      if (args.db.fixed != nullptr) overflow += add_fixed(values, n, sums);
    }
    for (int j = 0; j < n; ++j) {
      const std::size_t at = first + static_cast<std::size_t>(j);
      if (args.db.fixed == nullptr) {
        args.db.values[at] = values[j];
      } else {
        args.db.fixed[at] = (args.accumulate ? args.db.fixed[at] : 0) + sums[j];
      }
    }
  }
  report_overflow(args.db.overflow, overflow);
}

}  // namespace
}  // namespace ganymede::cpu
