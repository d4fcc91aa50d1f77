// The CPU's inner loops, compiled once per instruction set by kernels_v2.cpp, kernels_v3.cpp and
// kernels_v4.cpp, which name the table: GANYMEDE_KERNELS.
//
// Matrix products: every element of a result is one chain of fused multiply-adds over k = 0, 1, 2, …,
// starting from zero, whatever the number of rows, the row's place, the tile sizes and the threads.
// Forward, tangent and backward-data passes therefore give a row the same bits in any batch. (An
// instruction set without fused multiply-add rounds each product; its chain is as fixed.) Steps whose factor
// is zero may be left out: a multiply-add by zero changes nothing but the sign of a sum that underflowed to -0.
//
// Everything here but the table has internal linkage, and of other headers only always-inlined functions
// and intrinsics are used: see kernels.hpp for why.
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the "undefined" vectors inside its own AVX-512 intrinsics for our mistake.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "device/cpu/kernels.hpp"

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "math/activation/activations.hpp"
#include "math/fixed_point.hpp"
#include "math/functions.hpp"
#include "math/loss/losses.hpp"
#include "math/optimizer/optimizers.hpp"
#include "math/penalty/penalties.hpp"
#include "math/permutation.hpp"
#include "math/philox.hpp"

#define GANYMEDE_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define GANYMEDE_UNROLL _Pragma("unroll")
#else
#define GANYMEDE_UNROLL _Pragma("GCC unroll 64")
#endif

namespace ganymede::cpu {
namespace {

// --- vectors ----------------------------------------------------------------------------------------

#if defined(__AVX512F__)
constexpr int lanes = 16;
constexpr int tile_rows = 12;
#elif defined(__AVX2__)
constexpr int lanes = 8;
constexpr int tile_rows = 6;
#else
constexpr int lanes = 4;
constexpr int tile_rows = 6;
#endif
constexpr int tile_vectors = 2;
constexpr int tile_columns = tile_vectors * lanes;

using Vector = float __attribute__((vector_size(lanes * sizeof(float))));

#if defined(__AVX512F__)
GANYMEDE_INLINE Vector load(const float* from) { return _mm512_loadu_ps(from); }
GANYMEDE_INLINE void store(float* to, Vector value) { _mm512_storeu_ps(to, value); }
GANYMEDE_INLINE bool any_nonzero(Vector v) { return _mm512_cmp_ps_mask(v, Vector{}, _CMP_NEQ_UQ) != 0; }
#elif defined(__AVX2__)
GANYMEDE_INLINE Vector load(const float* from) { return _mm256_loadu_ps(from); }
GANYMEDE_INLINE void store(float* to, Vector value) { _mm256_storeu_ps(to, value); }
GANYMEDE_INLINE bool any_nonzero(Vector v) { return _mm256_movemask_ps(_mm256_cmp_ps(v, Vector{}, _CMP_NEQ_UQ)) != 0; }
#else
GANYMEDE_INLINE Vector load(const float* from) { return _mm_loadu_ps(from); }
GANYMEDE_INLINE void store(float* to, Vector value) { _mm_storeu_ps(to, value); }
GANYMEDE_INLINE bool any_nonzero(Vector v) { return _mm_movemask_ps(_mm_cmpneq_ps(v, Vector{})) != 0; }
#endif

// sum += a · b. By its instruction where there is one: the matrix products fill all registers, and a
// compiler that picks another form of it, which does not leave the sum in its place, spills.
#if defined(__AVX512F__)
GANYMEDE_INLINE Vector broadcast(float value) { return _mm512_set1_ps(value); }
GANYMEDE_INLINE void accumulate(Vector a, Vector b, Vector& sum) {
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
#elif defined(__AVX2__)
GANYMEDE_INLINE Vector broadcast(float value) { return _mm256_set1_ps(value); }
GANYMEDE_INLINE void accumulate(Vector a, Vector b, Vector& sum) {
  asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
}
#else
GANYMEDE_INLINE Vector broadcast(float value) { return _mm_set1_ps(value); }
GANYMEDE_INLINE void accumulate(Vector a, Vector b, Vector& sum) { sum += a * b; }
#endif

GANYMEDE_INLINE int smaller(int a, int b) { return a < b ? a : b; }

struct Range {
  int begin, end;
};

// The `part`-th of `parts` nearly equal pieces of 0 … count-1.
GANYMEDE_INLINE Range piece(int count, int part, int parts) {
  return {static_cast<int>(static_cast<std::int64_t>(count) * part / parts),
          static_cast<int>(static_cast<std::int64_t>(count) * (part + 1) / parts)};
}

// The same for long arrays, cut at multiples of `grain` elements so that no two parts share a cache line.
struct LongRange {
  std::size_t begin, end;
};
GANYMEDE_INLINE LongRange long_piece(std::size_t count, std::size_t grain, int part, int parts) {
  const std::size_t grains = (count + grain - 1) / grain;
  const std::size_t begin = grains * static_cast<std::size_t>(part) / static_cast<std::size_t>(parts) * grain;
  const std::size_t end = grains * (static_cast<std::size_t>(part) + 1) / static_cast<std::size_t>(parts) * grain;
  return {begin < count ? begin : count, end < count ? end : count};
}

// --- matrix products ----------------------------------------------------------------------------------

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

// c[Rows, tile_columns] (+)= a[Rows, k] · b[k, tile_columns]. The left matrix either lies in rows `lda`
// apart, or (lda = 0) is packed as [k][Rows].
template <int Rows, bool PackedLeft, Walk walk>
__attribute__((noinline)) void tile(const float* a, std::ptrdiff_t lda, const Steps& steps, float* c,
                                    std::ptrdiff_t ldc, bool add) {
  int k = steps.count;
  const float* b = steps.b;
  float* packed = steps.packed;
  const int* list = steps.list;
  Vector sum[Rows][tile_vectors];
  GANYMEDE_UNROLL
  for (int i = 0; i < Rows; ++i) {
    GANYMEDE_UNROLL
    for (int j = 0; j < tile_vectors; ++j) sum[i][j] = add ? load(c + i * ldc + j * lanes) : Vector{};
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
    Vector right[tile_vectors];
    GANYMEDE_UNROLL
    for (int j = 0; j < tile_vectors; ++j) {
      if (walk == Walk::packing) {
        right[j] = load(b + j * lanes);
        store(packed + at * tile_columns + j * lanes, right[j]);
      } else {
        right[j] = load(b + at * tile_columns + j * lanes);
      }
    }
    if (walk == Walk::packing) b += steps.ldb;
    GANYMEDE_UNROLL
    for (int i = 0; i < Rows; ++i) {
      const Vector left = broadcast(PackedLeft ? group[0][at * Rows + i] : group[i / 3][i % 3 * lda + at]);
      GANYMEDE_UNROLL
      for (int j = 0; j < tile_vectors; ++j) accumulate(left, right[j], sum[i][j]);
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
      b += by * tile_columns;
    } else {
      packed += by * tile_columns;
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
    for (int j = 0; j < tile_vectors; ++j) store(c + i * ldc + j * lanes, sum[i][j]);
  }
}

using Tile = void (*)(const float* a, std::ptrdiff_t lda, const Steps& steps, float* c, std::ptrdiff_t ldc, bool add);

template <bool PackedLeft, Walk walk>
GANYMEDE_INLINE Tile tile_of(int rows) {
  switch (rows) {
    case 1:
      return tile<1, PackedLeft, walk>;
    case 2:
      return tile<2, PackedLeft, walk>;
    case 3:
      return tile<3, PackedLeft, walk>;
    case 4:
      return tile<4, PackedLeft, walk>;
    case 5:
      return tile<5, PackedLeft, walk>;
#if defined(__AVX512F__)
    case 6:
      return tile<6, PackedLeft, walk>;
    case 7:
      return tile<7, PackedLeft, walk>;
    case 8:
      return tile<8, PackedLeft, walk>;
    case 9:
      return tile<9, PackedLeft, walk>;
    case 10:
      return tile<10, PackedLeft, walk>;
    case 11:
      return tile<11, PackedLeft, walk>;
#endif
    default:
      return tile<tile_rows, PackedLeft, walk>;
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
  GANYMEDE_INLINE explicit Tiles(Range range)
      : first(range.begin), count((range.end - range.begin + tile_rows - 1) / tile_rows) {
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

// The last columns, fewer than tile_columns, of rows k.begin … k.end-1 of b[k, columns], rows `ldb` apart;
// what is beyond the edge becomes zero.
GANYMEDE_INLINE void pack_edge(const float* b, std::ptrdiff_t ldb, int columns, Range k, float* to) {
  const float* from = b + k.begin * ldb;
  for (int i = k.begin; i < k.end; ++i, from += ldb, to += tile_columns)
    for (int j = 0; j < tile_columns; ++j) to[j] = j < columns ? from[j] : 0.0F;
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

// Sixteen running sums and a tree: a dot product whose order depends on `count` alone, on any vector width.
GANYMEDE_INLINE float dot(const float* a, const float* b, int count) {
  float sum[16] = {};
  int i = 0;
  for (; i + 16 <= count; i += 16)
    for (int j = 0; j < 16; ++j) sum[j] = a[i + j] * b[i + j] + sum[j];
  for (int j = 0; i + j < count; ++j) sum[j] = a[i + j] * b[i + j] + sum[j];
  for (int width = 8; width > 0; width /= 2)
    for (int j = 0; j < width; ++j) sum[j] += sum[j + width];
  return sum[0];
}

void affine_forward(const AffineArgs& args, float* scratch, int part, int parts) {
  const float parameter = args.parameter;
  const float* bias = args.bias;
  math::Activations::visit(
      args.activation, [&](auto sigma) __attribute__((always_inline)) {
        if (args.out == 1) {
          const Range range = piece(args.rows, part, parts);
          for (int i = range.begin; i < range.end; ++i)
            args.result[i] = sigma.value(
                dot(args.x + static_cast<std::ptrdiff_t>(i) * args.in, args.w, args.in) + bias[0], parameter);
          return;
        }
        product<true>(
            args.rows, args.out, args.in, args.x, args.w, args.result, nullptr, scratch, part,
            parts, [&](int, int column, int n, float* c) __attribute__((always_inline)) {
              for (int j = 0; j < n; ++j) c[j] = sigma.value(c[j] + bias[column + j], parameter);
            });
      });
}

void affine_tangent(const AffineArgs& args, float* scratch, int part, int parts) {
  const float parameter = args.parameter;
  math::Activations::visit(
      args.activation, [&](auto sigma) __attribute__((always_inline)) {
        const float* y = args.slope_of;
        if (args.out == 1) {
          const Range range = piece(args.rows, part, parts);
          for (int i = range.begin; i < range.end; ++i)
            args.result[i] =
                dot(args.x + static_cast<std::ptrdiff_t>(i) * args.in, args.w, args.in) * sigma.slope(y[i], parameter);
          return;
        }
        product<true>(
            args.rows, args.out, args.in, args.x, args.w, args.result, y, scratch, part,
            parts, [&](int row, int column, int n, float* c) __attribute__((always_inline)) {
              const float* h = y + static_cast<std::ptrdiff_t>(row) * args.out + column;
              for (int j = 0; j < n; ++j) c[j] *= sigma.slope(h[j], parameter);
            });
      });
}

void affine_backward_data(const AffineArgs& args, float* scratch, int part, int parts) {
  const float parameter = args.parameter;
  const float* x = args.slope_of;
  if (x == nullptr) {
    product<false>(args.rows, args.in, args.out, args.x, args.w, args.result, nullptr, scratch, part, parts,
                   [](int, int, int, float*) __attribute__((always_inline)){});
    return;
  }
  math::Activations::visit(
      args.activation, [&](auto below) __attribute__((always_inline)) {
        product<false>(
            args.rows, args.in, args.out, args.x, args.w, args.result, x, scratch, part,
            parts, [&](int row, int column, int n, float* c) __attribute__((always_inline)) {
              const float* h = x + static_cast<std::ptrdiff_t>(row) * args.in + column;
              for (int j = 0; j < n; ++j) c[j] *= below.slope(h[j], parameter);
            });
      });
}

// --- sums over the batch ------------------------------------------------------------------------------

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

// A run of rows that are packed together: positions k of the row order, and the shards that it touches.
struct RowBlock {
  Range k;
  int shard;  // the shard that position k.begin belongs to
};

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

// dW = deltaᵀ · x. Rows are packed in blocks; within a tile the shards of a block follow each other, each
// summed in floats from zero, then converted, so that a shard's contribution is a function of its rows
// alone. A shard that a block boundary cuts waits in `carry`.
void affine_backward_weights(const WeightsArgs& args, float* scratch, int part, int parts) {
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
    if (exact) {
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
        const bool whole = !exact && width == tile_columns;
        const float* right = args.x + static_cast<std::ptrdiff_t>(k.begin) * columns + column;
        int listed = whole ? list_rows(right, columns, k.end - k.begin, list) : -1;
        if (listed >= 0 && !finite()) listed = -1;
        if (!whole || listed >= 0) pack_right(args.x + column, columns, width, order.row, k, packed_right);
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
              for (int i = 0; i < height; ++i)
                for (int j = 0; j < width; ++j) values[i * tile_columns + j] = written ? c[i * columns + j] : 0.0F;
              run(left, 0, {k.end - k.begin, packed_right, 0, nullptr, nullptr}, values, tile_columns, true);
              for (int i = 0; i < height; ++i)
                for (int j = 0; j < width; ++j) c[i * columns + j] = values[i * tile_columns + j];
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
              if (!starts) {
                for (int i = 0; i < height; ++i)
                  for (int j = 0; j < width; ++j) values[i * tile_columns + j] = carry[i * columns + j];
              }
              const float* from = packed_right + static_cast<std::ptrdiff_t>(begin - k.begin) * tile_columns;
              run(left + static_cast<std::ptrdiff_t>(begin - k.begin) * height, 0,
                  {end - begin, from, 0, nullptr, nullptr}, values, tile_columns, !starts);
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
        const float* delta =
            args.delta + static_cast<std::size_t>(order.row[k]) * static_cast<std::size_t>(args.out) + first;
        const float scale = args.row_scale == nullptr ? 1.0F : args.row_scale[order.row[k]];
        for (int j = 0; j < n; ++j) values[j] = scale * delta[j] + values[j];
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

// --- losses and penalties -------------------------------------------------------------------------------

void loss(const LossArgs& args, float*, int part, int parts) {
  const Range range = piece(args.rows, part, parts);
  math::Losses::visit(
      args.loss, [&](auto loss) __attribute__((always_inline)) {
        for (int i = range.begin; i < range.end; ++i) {
          const float r = args.real == nullptr ? 0.0F : args.real[i];
          const float f = args.fake[i];
          const math::LossTerm term =
              args.discriminator ? loss.discriminator(r, f, args.smoothing) : loss.generator(r, f);
          args.value[i] = term.value;
          if (args.seed_real != nullptr) args.seed_real[i] = args.scale * term.d_real;
          args.seed_fake[i] = args.scale * term.d_fake;
        }
      });
}

void gradient_penalty(const PenaltyArgs& args, float*, int part, int parts) {
  const Range range = piece(args.rows, part, parts);
  math::Penalties::visit(
      args.penalty, [&](auto penalty) __attribute__((always_inline)) {
        for (int i = range.begin; i < range.end; ++i) {
          const float* g = args.g + static_cast<std::ptrdiff_t>(i) * args.columns;
          float* v = args.v + static_cast<std::ptrdiff_t>(i) * args.columns;
          args.squares[i] = dot(g, g, args.columns);
          const float factor = args.coefficient * penalty.factor(args.squares[i]);
          for (int j = 0; j < args.columns; ++j) v[j] = factor * g[j];
        }
      });
}

void combine_rows(const CombineRowsArgs& args, float*, int part, int parts) {
  const Range range = piece(args.rows, part, parts);
  for (int i = range.begin; i < range.end; ++i) {
    const float* t = args.t + static_cast<std::ptrdiff_t>(i) * args.columns;
    float* h = args.h + static_cast<std::ptrdiff_t>(i) * args.columns;
    const float scale = args.scale[i];
    for (int j = 0; j < args.columns; ++j) h[j] = scale * h[j] + t[j];
  }
}

// --- flat buffers -----------------------------------------------------------------------------------------

void from_fixed_point(const FromFixedArgs& args, float*, int part, int parts) {
  const LongRange range = long_piece(args.count, 64, part, parts);
  for (std::size_t i = range.begin; i < range.end; ++i)
    args.to[i] = static_cast<float>(math::from_fixed_point(args.from[i]));
}

void add_to(const AddArgs& args, float*, int part, int parts) {
  const LongRange range = long_piece(args.count, 64, part, parts);
  for (std::size_t i = range.begin; i < range.end; ++i) args.to[i] += static_cast<double>(args.from[i]);
}

void sum_of_squares(const SquaresArgs& args, float*, int part, int parts) {
  const LongRange range = long_piece(args.count, squares_block, part, parts);
  for (std::size_t block = range.begin; block < range.end; block += squares_block) {
    const std::size_t end = range.end - block < squares_block ? range.end : block + squares_block;
    alignas(64) double sum[16] = {};
    Doubles sums[16 / half] = {};
    std::size_t i = block;
    for (; i + 16 <= end; i += 16) {
      GANYMEDE_UNROLL
      for (std::size_t j = 0; j < 16 / half; ++j) {
        const Doubles x = widened(args.x + i + j * half);
        sums[j] += x * x;
      }
    }
    __builtin_memcpy(sum, sums, sizeof sum);
    for (std::size_t j = 0; i + j < end; ++j) {
      const auto x = static_cast<double>(args.x[i + j]);
      sum[j] = x * x + sum[j];
    }
    for (int width = 8; width > 0; width /= 2)
      for (int j = 0; j < width; ++j) sum[j] += sum[j + width];
    args.partial[block / squares_block] = sum[0];
  }
}

template <class Rule, bool Plain>
GANYMEDE_INLINE void update_range(const OptimizerArgs& args, const LongRange& range) {
  constexpr int states = math::state_count<Rule>;
  const OptimizerConstants constants = args.constants;
  float factors[math::most_factors];
  __builtin_memcpy(factors, args.factors, sizeof factors);
  const float* __restrict gradient = args.gradient;
  float* __restrict parameters = args.parameters;
  float* __restrict state[states];
  for (int s = 0; s < states; ++s) state[s] = args.state[s];
  for (std::size_t i = range.begin; i < range.end; ++i) {
    float values[states];
    GANYMEDE_UNROLL
    for (int s = 0; s < states; ++s) values[s] = state[s][i];
    float parameter = parameters[i];
    math::update_element<Rule, Plain>(constants, factors, gradient[i], parameter, values);
    GANYMEDE_UNROLL
    for (int s = 0; s < states; ++s) state[s][i] = values[s];
    parameters[i] = parameter;
  }
}

void optimizer_update(const OptimizerArgs& args, float*, int part, int parts) {
  const LongRange range = long_piece(args.count, 64, part, parts);
  math::Optimizers::visit(
      args.optimizer, [&](auto rule) __attribute__((always_inline)) {
        if (math::plain_update(args.constants)) {
          update_range<decltype(rule), true>(args, range);
        } else {
          update_range<decltype(rule), false>(args, range);
        }
      });
}

void exponential_average(const AverageArgs& args, float*, int part, int parts) {
  const LongRange range = long_piece(args.count, 64, part, parts);
  const float decay = args.decay;
  const float rest = 1.0F - decay;
  const float* __restrict value = args.value;
  float* __restrict average = args.average;
  for (std::size_t i = range.begin; i < range.end; ++i) average[i] = decay * average[i] + rest * value[i];
}

// --- draws ------------------------------------------------------------------------------------------------

// Blocks of four normal numbers, counted through all rows, sixteen at a time.
void draw_normal(const NormalArgs& args, float*, int part, int parts) {
  constexpr int group = 16;
  const int per_row = (args.columns + 3) / 4;
  const LongRange range =
      long_piece(static_cast<std::size_t>(args.rows) * static_cast<std::size_t>(per_row), group, part, parts);
  for (std::size_t first = range.begin; first < range.end; first += group) {
    std::size_t row = first / static_cast<std::size_t>(per_row);
    auto block = static_cast<std::uint32_t>(first % static_cast<std::size_t>(per_row));
    std::uint32_t counter[4][group];
    float* place[group];
    for (int l = 0; l < group; ++l) {
      const std::uint64_t sample = args.first_sample + row;
      counter[0][l] = block;
      counter[1][l] = args.stream;
      counter[2][l] = static_cast<std::uint32_t>(sample);
      counter[3][l] = static_cast<std::uint32_t>(sample >> 32);
      place[l] = args.out + row * static_cast<std::size_t>(args.columns) + 4 * block;
      if (++block == static_cast<std::uint32_t>(per_row)) {
        block = 0;
        ++row;
      }
    }
    float normal[group][4];
    for (int l = 0; l < group; ++l) {
      const math::Philox4 bits =
          math::philox4x32({{counter[0][l], counter[1][l], counter[2][l], counter[3][l]}},
                           static_cast<std::uint32_t>(args.seed), static_cast<std::uint32_t>(args.seed >> 32));
      for (int pair = 0; pair < 2; ++pair) {
        const float radius = __builtin_sqrtf(-2.0F * math::logarithm(math::unit_interval(bits.v[2 * pair])));
        const math::SinCos angle = math::sincos_turn(math::unit_interval(bits.v[2 * pair + 1]));
        normal[l][2 * pair] = radius * angle.cos;
        normal[l][2 * pair + 1] = radius * angle.sin;
      }
    }
    const int count = range.end - first < group ? static_cast<int>(range.end - first) : group;
    for (int l = 0; l < count; ++l) {
      const int n = smaller(4, args.columns - static_cast<int>(counter[0][l]) * 4);
      for (int j = 0; j < n; ++j) place[l][j] = normal[l][j];
    }
  }
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

void gather_images(const ImagesArgs& args, float*, int part, int parts) {
  // The images stand anywhere in a set that no cache holds: each is asked for this many before it is read.
  constexpr int ahead = 8;
  const Range range = piece(args.rows, part, parts);
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

// --- the machine's peak -------------------------------------------------------------------------------------

double multiply_adds(std::int64_t rounds, float* sink) {
  constexpr int chains = 12;
  Vector sum[chains];
  GANYMEDE_UNROLL
  for (int i = 0; i < chains; ++i) sum[i] = broadcast(static_cast<float>(i));
  const Vector factor = broadcast(0.999F);
  const Vector term = broadcast(0.001F);
  for (std::int64_t round = 0; round < rounds; ++round) {
    GANYMEDE_UNROLL
    for (int i = 0; i < chains; ++i) accumulate(factor, term, sum[i]);
  }
  Vector total = sum[0];
  GANYMEDE_UNROLL
  for (int i = 1; i < chains; ++i) total += sum[i];
  *sink = total[0];
  return 2.0 * lanes * chains * static_cast<double>(rounds);
}

}  // namespace

extern const Kernels GANYMEDE_KERNELS = {
    affine_forward,      affine_tangent, affine_backward_data, affine_backward_weights,
    bias_gradient,       loss,           gradient_penalty,     combine_rows,
    from_fixed_point,    add_to,         sum_of_squares,       optimizer_update,
    exponential_average, draw_normal,    interpolate,          gather_images,
    multiply_adds,
};

}  // namespace ganymede::cpu
