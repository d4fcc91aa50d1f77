// Matrix products: tiles of fused multiply-adds, packing, and the loop around them. Part of kernels.inl.cpp.
#pragma once

#include "device/cpu/kernels/vectors.inl.cpp"

namespace ganymede::cpu {
namespace {

// How a tile goes through k.
enum class Walk {
  packed,   // step by step, the right matrix packed
  packing,  // the right matrix in rows `ldb` apart, leaving a packed copy for the tiles that follow: copying
            // under the multiply-adds costs next to nothing
  listed    // packed, through the listed steps alone: at all others one factor is zero and the other finite, so
            // that a multiply-add leaves the sum as it is
};
struct Steps {
  int count;
  const float* b;  // [k, tile_columns]
  std::ptrdiff_t ldb;
  float* packed;
  const int* list;
};

// c[Rows, columns] (+)= a[Rows, k] · b[k, columns], where columns = Vectors · lanes. The left matrix either lies in
// rows `lda` apart, or (lda = 0) is packed as [k][Rows].
template <int Rows, bool PackedLeft, Walk walk, int Vectors>
__attribute__((noinline)) void tile(const float* a, std::ptrdiff_t lda, const Steps& steps, float* c,
                                    std::ptrdiff_t ldc, bool add) {
  constexpr int columns = Vectors * lanes;
  int k = steps.count;
  const float* b = steps.b;
  float* packed = steps.packed;
  const int* list = steps.list;
  Vector sum[Rows][Vectors];
  GANYMEDE_UNROLL
  for (int i = 0; i < Rows; ++i) {
    GANYMEDE_UNROLL
    for (int j = 0; j < Vectors; ++j) sum[i][j] = add ? load(c + i * ldc + j * lanes) : Vector{};
  }
  // Every third row has a pointer: its neighbours are one and two `lda` away, which addresses can hold.
  constexpr int groups = PackedLeft ? 1 : (Rows + 2) / 3;
  const float* group[groups];
  GANYMEDE_UNROLL
  for (int g = 0; g < groups; ++g) {
    group[g] = a + 3 * g * lda;
    // Hides where the pointer comes from: GCC would go back to one pointer and spill twenty offsets.
    asm("" : "+r"(group[g]));
  }
  const auto advance = [&](int ahead) __attribute__((always_inline)) {
    const std::ptrdiff_t at = walk == Walk::listed ? list[ahead] : ahead;
    Vector right[Vectors];
    GANYMEDE_UNROLL
    for (int j = 0; j < Vectors; ++j) {
      if (walk == Walk::packing) {
        right[j] = load(b + j * lanes);
        store(packed + at * columns + j * lanes, right[j]);
      } else {
        right[j] = load(b + at * columns + j * lanes);
      }
    }
    if (walk == Walk::packing) b += steps.ldb;
    GANYMEDE_UNROLL
    for (int i = 0; i < Rows; ++i) {
      const Vector left = broadcast(PackedLeft ? group[0][at * Rows + i] : group[i / 3][i % 3 * lda + at]);
      GANYMEDE_UNROLL
      for (int j = 0; j < Vectors; ++j) accumulate(left, right[j], sum[i][j]);
    }
  };
  const auto move = [&](int by) __attribute__((always_inline)) {
    if (walk == Walk::listed) {
      list += by;
      return;
    }
    GANYMEDE_UNROLL
    for (int g = 0; g < groups; ++g) group[g] += by * (PackedLeft ? Rows : 1);
    if (walk == Walk::packed) {
      b += by * columns;
    } else {
      packed += by * columns;
    }
  };
  // Long strides through k make the loop's end predictable.
  constexpr int stride = 4;
  for (; k >= stride; k -= stride) {
    GANYMEDE_UNROLL
    for (int ahead = 0; ahead < stride; ++ahead) advance(ahead);
    move(stride);
  }
  for (; k > 0; --k) {
    advance(0);
    move(1);
  }
  GANYMEDE_UNROLL
  for (int i = 0; i < Rows; ++i) {
    GANYMEDE_UNROLL
    for (int j = 0; j < Vectors; ++j) store(c + i * ldc + j * lanes, sum[i][j]);
  }
}

using Tile = void (*)(const float* a, std::ptrdiff_t lda, const Steps& steps, float* c, std::ptrdiff_t ldc, bool add);

template <bool PackedLeft, Walk walk, int Vectors = tile_vectors>
GANYMEDE_INLINE Tile tile_of(int rows) {
  switch (rows) {
    case 1:
      return tile<1, PackedLeft, walk, Vectors>;
    case 2:
      return tile<2, PackedLeft, walk, Vectors>;
    case 3:
      return tile<3, PackedLeft, walk, Vectors>;
    case 4:
      return tile<4, PackedLeft, walk, Vectors>;
    case 5:
      return tile<5, PackedLeft, walk, Vectors>;
#if defined(__AVX512F__)
    case 6:
      return tile<6, PackedLeft, walk, Vectors>;
    case 7:
      return tile<7, PackedLeft, walk, Vectors>;
    case 8:
      return tile<8, PackedLeft, walk, Vectors>;
    case 9:
      return tile<9, PackedLeft, walk, Vectors>;
    case 10:
      return tile<10, PackedLeft, walk, Vectors>;
    case 11:
      return tile<11, PackedLeft, walk, Vectors>;
#endif
    default:
      return tile<tile_rows, PackedLeft, walk, Vectors>;
  }
}

template <bool PackedLeft>
GANYMEDE_INLINE Tile tile_of(int rows, Walk walk) {
  return walk == Walk::packed    ? tile_of<PackedLeft, Walk::packed>(rows)
         : walk == Walk::packing ? tile_of<PackedLeft, Walk::packing>(rows)
                                 : tile_of<PackedLeft, Walk::listed>(rows);
}

// Are all of some packed values finite? Looked at when first asked. (A step with a zero may be left out only
// then: zero times infinity or NaN is NaN, and a sum has to show it.)
class Finite {
 public:
  GANYMEDE_INLINE Finite(const float* values, int count) : values_(values), count_(count) {}
  GANYMEDE_INLINE bool operator()() {
    if (!known_) {
      Vector zeros{};
      float rest = 0.0F;
      int i = 0;
      for (; i + lanes <= count_; i += lanes) zeros += load(values_ + i) * 0.0F;
      for (; i < count_; ++i) rest += values_[i] * 0.0F;
      finite_ = !any_nonzero(zeros) && rest == 0.0F;
      known_ = true;
    }
    return finite_;
  }

 private:
  const float* values_;
  int count_;
  bool known_ = false;
  bool finite_ = false;
};

// Zeros are worth a list where they leave out a quarter of the steps.
GANYMEDE_INLINE bool worth_listing(int listed, int steps) { return 4 * listed <= 3 * steps; }

constexpr int depth_block = 400;  // steps of a product that are packed at a time

// Lists the k < steps at which one of the rows of a, `lda` apart, is not zero; returns their number, or -1
// where a list is not worth it, which the first row or two of dense data tell.
GANYMEDE_INLINE int list_columns(const float* a, std::ptrdiff_t lda, int rows, int steps, int* list) {
  alignas(64) std::uint32_t used[depth_block] = {};
  for (int i = 0; i < rows; ++i) {
    std::uint32_t count = 0;
    for (int k = 0; k < steps; ++k) {
      used[k] |= a[i * lda + k] == 0.0F ? 0U : 1U;
      count += used[k];
    }
    if (!worth_listing(static_cast<int>(count), steps)) return -1;
  }
  int count = 0;
  for (int k = 0; k < steps; ++k) {
    list[count] = k;
    count += static_cast<int>(used[k]);
  }
  return count;
}

// The same of k < steps at which the first tile_columns of a row of b are not all zero. Where hardly any of
// the first rows is, the others are not looked at.
GANYMEDE_INLINE int list_rows(const float* b, std::ptrdiff_t ldb, int steps, int* list) {
  constexpr int sample = 16;
  int count = 0;
  for (int k = 0; k < steps; ++k) {
    if (k == sample && !worth_listing(count, sample)) return -1;
    list[count] = k;
    bool used = false;
    GANYMEDE_UNROLL
    for (int j = 0; j < tile_vectors; ++j) used |= any_nonzero(load(b + k * ldb + j * lanes));
    count += used ? 1 : 0;
  }
  return worth_listing(count, steps) ? count : -1;
}

// Rows cut into tiles of nearly equal height.
struct Tiles {
  int first, count, low, higher;  // the first `higher` tiles have low + 1 rows, the others low
  GANYMEDE_INLINE explicit Tiles(Range range, int most = tile_rows)
      : first(range.begin), count((range.end - range.begin + most - 1) / most) {
    const int rows = range.end - range.begin;
    low = count == 0 ? 0 : rows / count;
    higher = rows - low * count;
  }
  GANYMEDE_INLINE Range operator[](int i) const {
    const int begin = first + low * i + smaller(i, higher);
    return {begin, begin + low + (i < higher ? 1 : 0)};
  }
};

// A part's share of a result with `rows` rows and `panels` column panels.
struct Share {
  Range rows, panels;
};
GANYMEDE_INLINE Share share_of(int rows, int panels, int part, int parts) {
  // Few cuts between rows: each one packs the right-hand matrix once more.
  int best_rows = 1;
  std::int64_t best_cost = INT64_MAX;
  for (int by_rows = 1; by_rows <= parts; ++by_rows) {
    if (parts % by_rows != 0) continue;
    const int by_panels = parts / by_rows;
    const std::int64_t height = (rows + by_rows - 1) / by_rows;
    const std::int64_t cost = (height + 8) * ((panels + by_panels - 1) / by_panels);
    if (cost < best_cost) {
      best_cost = cost;
      best_rows = by_rows;
    }
  }
  return {piece(rows, part % best_rows, best_rows), piece(panels, part / best_rows, parts / best_rows)};
}

// The last columns, fewer than `panel`, of rows k.begin … k.end-1 of b[k, columns], rows `ldb` apart; what is beyond
// the edge becomes zero.
GANYMEDE_INLINE void pack_edge(const float* b, std::ptrdiff_t ldb, int columns, Range k, float* to,
                               int panel = tile_columns) {
  const float* from = b + k.begin * ldb;
  for (int i = k.begin; i < k.end; ++i, from += ldb, to += panel)
    for (int j = 0; j < panel; ++j) to[j] = j < columns ? from[j] : 0.0F;
}

#if defined(__AVX512F__)
GANYMEDE_INLINE Vector low_pairs(Vector a, Vector b) { return _mm512_unpacklo_ps(a, b); }
GANYMEDE_INLINE Vector high_pairs(Vector a, Vector b) { return _mm512_unpackhi_ps(a, b); }
GANYMEDE_INLINE Vector low_halves(Vector a, Vector b) { return _mm512_shuffle_ps(a, b, 0x44); }
GANYMEDE_INLINE Vector high_halves(Vector a, Vector b) { return _mm512_shuffle_ps(a, b, 0xEE); }
// Four floats each from `at` places behind several pointers.
GANYMEDE_INLINE Vector quads(const float* const (&from)[4], std::ptrdiff_t at) {
  Vector v = _mm512_castps128_ps512(_mm_loadu_ps(from[0] + at));
  v = _mm512_insertf32x4(v, _mm_loadu_ps(from[1] + at), 1);
  v = _mm512_insertf32x4(v, _mm_loadu_ps(from[2] + at), 2);
  return _mm512_insertf32x4(v, _mm_loadu_ps(from[3] + at), 3);
}
#elif defined(__AVX2__)
GANYMEDE_INLINE Vector low_pairs(Vector a, Vector b) { return _mm256_unpacklo_ps(a, b); }
GANYMEDE_INLINE Vector high_pairs(Vector a, Vector b) { return _mm256_unpackhi_ps(a, b); }
GANYMEDE_INLINE Vector low_halves(Vector a, Vector b) { return _mm256_shuffle_ps(a, b, 0x44); }
GANYMEDE_INLINE Vector high_halves(Vector a, Vector b) { return _mm256_shuffle_ps(a, b, 0xEE); }
GANYMEDE_INLINE Vector quads(const float* const (&from)[2], std::ptrdiff_t at) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from[0] + at)), _mm_loadu_ps(from[1] + at), 1);
}
#else
GANYMEDE_INLINE Vector low_pairs(Vector a, Vector b) { return _mm_unpacklo_ps(a, b); }
GANYMEDE_INLINE Vector high_pairs(Vector a, Vector b) { return _mm_unpackhi_ps(a, b); }
GANYMEDE_INLINE Vector low_halves(Vector a, Vector b) { return _mm_shuffle_ps(a, b, 0x44); }
GANYMEDE_INLINE Vector high_halves(Vector a, Vector b) { return _mm_shuffle_ps(a, b, 0xEE); }
GANYMEDE_INLINE Vector quads(const float* const (&from)[1], std::ptrdiff_t at) { return _mm_loadu_ps(from[0] + at); }
#endif

// The same of bᵀ: b[columns, k]. What is beyond the edge repeats the last column: the caller drops it.
GANYMEDE_INLINE void pack_transposed(const float* b, std::ptrdiff_t ldb, int columns, Range k, float* to) {
  int i = k.begin;
  if (columns >= tile_columns) {
    const int whole = (k.end - k.begin) / 4;
    GANYMEDE_UNROLL
    for (int j = 0; j < tile_columns; j += lanes) {
      // Pointers to every fourth row and two strides: all that the loop needs stays in registers.
      const float* from[lanes / 4];
      for (int g = 0; g < lanes / 4; ++g) from[g] = b + (j + 4 * g) * ldb + k.begin;
      float* out = to + j;
      for (int n = 0; n < whole; ++n, out += 4 * tile_columns) {
        const Vector a0 = quads(from, 0);
        const Vector a1 = quads(from, ldb);
        const Vector a2 = quads(from, 2 * ldb);
        const Vector a3 = quads(from, 3 * ldb);
        const Vector low01 = low_pairs(a0, a1);
        const Vector low23 = low_pairs(a2, a3);
        const Vector high01 = high_pairs(a0, a1);
        const Vector high23 = high_pairs(a2, a3);
        store(out, low_halves(low01, low23));
        store(out + tile_columns, high_halves(low01, low23));
        store(out + 2 * tile_columns, low_halves(high01, high23));
        store(out + 3 * tile_columns, high_halves(high01, high23));
        for (int g = 0; g < lanes / 4; ++g) from[g] += 4;
      }
    }
    i += 4 * whole;
    to += static_cast<std::ptrdiff_t>(4 * whole) * tile_columns;
  }
  for (; i < k.end; ++i, to += tile_columns)
    for (int j = 0; j < tile_columns; ++j) to[j] = b[smaller(j, columns - 1) * ldb + i];
}

// Asks for the tile at `c`, so that it is there when the sums are ready.
GANYMEDE_INLINE void prefetch_tile(const float* c, std::ptrdiff_t ldc, int rows) {
  for (int i = 0; i < rows; ++i, c += ldc) {
    __builtin_prefetch(c);
    __builtin_prefetch(c + tile_columns - 1);
  }
}

// result[rows, columns] = a[rows, depth] · right, where right is bᵀ of b[columns, depth] if Transposed,
// else b[depth, columns]. finish(row, column, n, c) is called on copies of pieces of finished rows; it
// reads `beside`, if not null, at the same place.
template <bool Transposed, class Finish>
GANYMEDE_INLINE void product(int rows, int columns, int depth, const float* a, const float* b, float* result,
                             const float* beside, float* scratch, int part, int parts, Finish finish) {
  const int panels = (columns + tile_columns - 1) / tile_columns;
  const Share share = share_of(rows, panels, part, parts);
  const Tiles tiles(share.rows);
  const int blocks = depth < 1 ? 1 : (depth + depth_block - 1) / depth_block;
  // Behind the packed panel: for each of the first tiles the number of its listed steps, and the list.
  constexpr int most_lists = static_cast<int>(scratch_left) / (depth_block + 1);
  int* lists = reinterpret_cast<int*>(scratch + scratch_right);
  alignas(64) float edge[tile_rows * tile_columns];
  for (int k_block = 0; k_block < blocks; ++k_block) {
    const Range k = piece(depth, k_block, blocks);
    const bool last = k_block + 1 == blocks;
    for (int panel = share.panels.begin; panel < share.panels.end; ++panel) {
      const int column = panel * tile_columns;
      const int width = smaller(columns - column, tile_columns);
      // A whole panel's rows are packed by the first tile.
      const bool by_tile = !Transposed && width == tile_columns;
      if (Transposed) {
        pack_transposed(b + static_cast<std::ptrdiff_t>(column) * depth, depth, width, k, scratch);
      } else if (!by_tile) {
        pack_edge(b + column, columns, width, k, scratch);
      }
      Finite finite(scratch, (k.end - k.begin) * tile_columns);
      for (int t = 0; t < tiles.count; ++t) {
        const Range r = tiles[t];
        const int height = r.end - r.begin;
        const float* left = a + static_cast<std::ptrdiff_t>(r.begin) * depth + k.begin;
        const std::ptrdiff_t place = static_cast<std::ptrdiff_t>(r.begin) * columns + column;
        float* c = result + place;
        Walk walk = Walk::packed;
        Steps steps{k.end - k.begin, scratch, 0, nullptr, nullptr};
        if (by_tile && t == 0) {
          walk = Walk::packing;
          steps = {k.end - k.begin, b + static_cast<std::ptrdiff_t>(k.begin) * columns + column, columns, scratch,
                   nullptr};
        } else if (Transposed && t < most_lists) {
          int* list = lists + static_cast<std::ptrdiff_t>(t) * (depth_block + 1);
          if (panel == share.panels.begin) list[0] = list_columns(left, depth, height, steps.count, list + 1);
          if (list[0] >= 0 && finite()) {
            walk = Walk::listed;
            steps.count = list[0];
            steps.list = list + 1;
          }
        }
        const Tile run = tile_of<false>(height, walk);
        if (width == tile_columns) {
          if (k_block == 0) prefetch_tile(c, columns, height);
          if (last && beside != nullptr) prefetch_tile(beside + place, columns, height);
          run(left, depth, steps, c, columns, k_block > 0);
          if (!last) continue;
          for (int i = 0; i < height; ++i) {
            // A copy, which cannot overlap anything, lets the loops inside `finish` become plain vectors.
            alignas(64) float row[tile_columns];
            GANYMEDE_UNROLL
            for (int j = 0; j < tile_vectors; ++j) store(row + j * lanes, load(c + i * columns + j * lanes));
            finish(r.begin + i, column, tile_columns, row);
            GANYMEDE_UNROLL
            for (int j = 0; j < tile_vectors; ++j) store(c + i * columns + j * lanes, load(row + j * lanes));
          }
          continue;
        }
        // At the right edge a whole tile would write into the next row: it goes through a buffer.
        for (int i = 0; i < height; ++i)
          for (int j = 0; j < width; ++j) edge[i * tile_columns + j] = k_block > 0 ? c[i * columns + j] : 0.0F;
        run(left, depth, steps, edge, tile_columns, true);
        for (int i = 0; i < height; ++i) {
          if (last) finish(r.begin + i, column, width, edge + i * tile_columns);
          for (int j = 0; j < width; ++j) c[i * columns + j] = edge[i * tile_columns + j];
        }
      }
    }
  }
}

GANYMEDE_INLINE float tree_sum(float (&sum)[16]) {
  for (int width = 8; width > 0; width /= 2)
    for (int j = 0; j < width; ++j) sum[j] += sum[j + width];
  return sum[0];
}

// Sixteen running sums and a tree: a dot product whose order depends on `count` alone, on any vector width.
GANYMEDE_INLINE float dot(const float* a, const float* b, int count) {
  float sum[16] = {};
  int i = 0;
  for (; i + 16 <= count; i += 16)
    for (int j = 0; j < 16; ++j) sum[j] = a[i + j] * b[i + j] + sum[j];
  for (int j = 0; i + j < count; ++j) sum[j] = a[i + j] * b[i + j] + sum[j];
  return tree_sum(sum);
}

}  // namespace
}  // namespace ganymede::cpu
