// Convolutions with fewer multiplications (Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray, Fast
// Algorithms for Convolutional Neural Networks, CVPR 2016). Part of kernels.inl.cpp.
//
// Along one axis, m outputs of a convolution of stride 1 with r taps are an inverse transform of m + r - 1 products: of
// the filter, a polynomial, evaluated at as many points (0, 1, -1, 2, infinity), with as many combinations of the
// source's m + r - 1 pixels. In two dimensions each axis is transformed by itself. At a pair of points all tiles of all
// images make one matrix, whose product with the transformed filters sums over the channels.
//
// A convolution of stride 2 is the sum of those of stride 1 that join the source's even or odd pixels with every other
// tap; they are summed in the transform's domain, as more channels. A transposed one of stride 2 is as many apart, one
// for each phase (kernels/convolution.inl.cpp). Gradients of the weights are the same sum read in a third way: at a
// pair of points, the product of the transformed source and the transformed adjoint, summed over tiles and images.
//
// Tiles of several sizes cover the grid; as outputs and filters are evaluated at the points as they are, and all other
// factors are the source's, tiles of any size meet the same filters. winograd_plan.cpp chooses the tiles, and leaves
// out what is zero because of padding. Every sum is in an order that depends on the geometry alone.
#pragma once

#include "device/cpu/winograd.hpp"

#include "device/cpu/kernels/convolution.inl.cpp"
#include "device/cpu/kernels/gradients.inl.cpp"
#include "device/cpu/kernels/product.inl.cpp"

namespace ganymede::cpu {
namespace {

// to = Σ factor · from at position · stride, `count` floats of it. With Padded, whole vectors may be read and written
// behind them.
template <int Inputs, bool Padded>
GANYMEDE_INLINE void combine_inputs(const WinogradInput& input, const float* from, std::ptrdiff_t stride, int count,
                                    float* to) {
  const float* at[Inputs];
  Vector factor[Inputs];
  GANYMEDE_UNROLL
  for (int i = 0; i < Inputs; ++i) {
    at[i] = from + input.position[i] * stride;
    factor[i] = broadcast(input.factor[i]);
  }
  const auto vector_at = [&](int k) __attribute__((always_inline)) {
    Vector sum = load(at[0] + k) * factor[0];
    GANYMEDE_UNROLL
    for (int i = 1; i < Inputs; ++i) accumulate(factor[i], load(at[i] + k), sum);
    store(to + k, sum);
  };
  int k = 0;
  for (; k + lanes <= count; k += lanes) vector_at(k);
  if (k == count) return;
  if (count >= lanes) {
    vector_at(count - lanes);
  } else if (Padded) {
    vector_at(k);
  } else {
    for (; k < count; ++k) {
      Vector sum = broadcast(at[0][k]) * factor[0];
      GANYMEDE_UNROLL
      for (int i = 1; i < Inputs; ++i) accumulate(factor[i], broadcast(at[i][k]), sum);
      to[k] = sum[0];
    }
  }
}

template <bool Padded>
GANYMEDE_INLINE void combine(const WinogradInput& input, const float* from, std::ptrdiff_t stride, int count,
                             float* to) {
  static_assert(winograd_points == 5);
  switch (input.count) {
    case 1:
      return combine_inputs<1, Padded>(input, from, stride, count, to);
    case 2:
      return combine_inputs<2, Padded>(input, from, stride, count, to);
    case 3:
      return combine_inputs<3, Padded>(input, from, stride, count, to);
    case 4:
      return combine_inputs<4, Padded>(input, from, stride, count, to);
    default:
      return combine_inputs<5, Padded>(input, from, stride, count, to);
  }
}

// Where the transforms of a block of `count` images lie.
struct WinogradBlock {
  const WinogradPiece& piece;
  std::ptrdiff_t count;

  GANYMEDE_INLINE int rows(int gy, int gx) const {
    return static_cast<int>(count) * piece.y.group[gy].slots * piece.x.group[gx].slots;
  }
  GANYMEDE_INLINE std::ptrdiff_t row(int image, const WinogradSlot& y, const WinogradSlot& x) const {
    return (static_cast<std::ptrdiff_t>(image) * piece.y.group[y.group].slots + y.index) *
               piece.x.group[x.group].slots +
           x.index;
  }
  GANYMEDE_INLINE std::ptrdiff_t source(int gy, int gx) const { return piece.place[gy][gx].source * count; }
  GANYMEDE_INLINE std::ptrdiff_t sums(int gy, int gx) const { return piece.place[gy][gx].sums * count; }
  GANYMEDE_INLINE std::ptrdiff_t adjoint(int gy, int gx) const { return sums(gy, gx) - sums(gy, 0); }
};

// An image's source, or adjoint, at the point of group `gy` along y and at all points along x: along y into a line of
// scratch memory, then along x.
template <bool Adjoint>
__attribute__((noinline)) void transform(const WinogradBlock& block, int sums_columns, const Images& images, int image,
                                         int index, int gy, float* to, float* scratch) {
  const WinogradAxis& y = block.piece.y;
  const WinogradAxis& x = block.piece.x;
  const WinogradGroup& group_y = y.group[gy];
  const int channels = images.channels;
  const int line_floats = images.width * channels;
  const float* from = images.at(image, 0, 0);
  for (int ty = 0; ty < (Adjoint ? 1 : y.terms); ++ty) {
    if (!Adjoint && group_y.rank[ty] < 0) continue;
    for (int sy = 0; sy < y.slots; ++sy) {
      const WinogradSlot& slot_y = y.slot[sy];
      if (slot_y.group != gy) continue;
      const WinogradInput& input = Adjoint ? slot_y.output : slot_y.input[ty];
      const float* line = scratch;
      if (input.count == 1 && input.factor[0] == 1.0F &&
          images.at(image, input.position[0] + 1, 0) + lanes <= images.end) {
        line = images.at(image, input.position[0], 0);
      } else {
        combine<false>(input, from, line_floats, line_floats, scratch);
      }
      for (int sx = 0; sx < x.slots; ++sx) {
        const WinogradSlot& slot_x = x.slot[sx];
        const std::ptrdiff_t at = block.row(index, slot_y, slot_x);
        if (Adjoint) {
          combine<true>(slot_x.output, line, channels, channels,
                        to + block.adjoint(gy, slot_x.group) + at * sums_columns);
          continue;
        }
        float* row = to + block.source(gy, slot_x.group) + at * block.piece.place[gy][slot_x.group].source_pitch +
                     static_cast<std::ptrdiff_t>(group_y.rank[ty]) * x.group[slot_x.group].terms * channels;
        for (int tx = 0; tx < x.terms; ++tx) {
          if (slot_x.input[tx].count == 0) continue;
          combine<true>(slot_x.input[tx], line, channels, channels, row);
          row += channels;
        }
      }
    }
  }
}

// Steps of a product that are the same run of terms and channels on both sides.
struct WinogradRun {
  int source;  // where it begins in a row of the transformed source
  int all;     // and among all terms' channels
  int floats;
};
struct WinogradRuns {
  int count = 0;
  WinogradRun run[winograd_terms * winograd_terms];

  GANYMEDE_INLINE WinogradRuns(const WinogradAxis& y, const WinogradAxis& x, int gy, int gx, int channels) {
    int source = 0;
    for (int ty = 0; ty < y.terms; ++ty)
      for (int tx = 0; tx < x.terms; ++tx) {
        if (y.group[gy].rank[ty] < 0 || x.group[gx].rank[tx] < 0) continue;
        const int all = (ty * x.terms + tx) * channels;
        if (count > 0 && run[count - 1].all + run[count - 1].floats == all) {
          run[count - 1].floats += channels;
        } else {
          run[count++] = {source, all, channels};
        }
        source += channels;
      }
  }
};

// The filters at all pairs of points, see WinogradPiece.
void winograd_filters(const ConvolutionArgs& args, float* scratch, int part, int parts) {
  constexpr int chunk = 32;
  const ConvolutionShape& s = args.shape;
  const WinogradPlan& plan = *args.winograd;
  const int channels = source_grid(args).channels;
  const int target_channels = target_grid(args).channels;
  const std::ptrdiff_t filter = static_cast<std::ptrdiff_t>(s.kernel) * s.kernel * s.fine_channels;
  const int panels = (plan.sums_columns + tile_columns - 1) / tile_columns;
  const int chunks = (channels + chunk - 1) / chunk;
  const Range units = piece(plan.pieces * panels * chunks, part, parts);
  for (int unit = units.begin; unit < units.end; ++unit) {
    const WinogradPiece& of = plan.piece[unit / (panels * chunks)];
    const int column = unit / chunks % panels * tile_columns;
    const Range own{unit % chunks * chunk, smaller(channels, (unit % chunks + 1) * chunk)};
    const int width = smaller(target_channels - column, tile_columns);
    const int columns = panel_columns(plan.sums_columns, column);
    const int depth = of.y.terms * of.x.terms * channels;
    for (int ty = 0; ty < of.y.terms; ++ty)
      for (int tx = 0; tx < of.x.terms; ++tx) {
        const WinogradTerm& y = of.y.term[ty];
        const WinogradTerm& x = of.x.term[tx];
        float* packed = scratch;
        for (int i = 0; i < y.taps; ++i)
          for (int j = 0; j < x.taps; ++j, packed += chunk * tile_columns) {
            const float* from =
                args.w + (static_cast<std::ptrdiff_t>(y.tap[i]) * s.kernel + x.tap[j]) * s.fine_channels;
            if (args.transposed) {
              pack_edge(from + column, filter, width, own, packed);
            } else {
              pack_transposed(from + column * filter, filter, width, own, packed);
            }
          }
        float* to = args.packed + of.filters + static_cast<std::ptrdiff_t>(column) * depth +
                    static_cast<std::ptrdiff_t>((ty * of.x.terms + tx) * channels + own.begin) * columns;
        for (int k = 0; k < own.end - own.begin; ++k, to += columns)
          for (int v = 0; v < columns; v += lanes) {
            Vector along_x[winograd_taps][winograd_points];
            for (int i = 0; i < y.taps; ++i)
              for (int b = 0; b < winograd_points; ++b) {
                if (!x.used[b]) continue;
                Vector sum{};
                for (int j = 0; j < x.taps; ++j)
                  accumulate(broadcast(x.factor[b][j]),
                             load(scratch + ((i * x.taps + j) * chunk + k) * tile_columns + v), sum);
                along_x[i][b] = sum;
              }
            for (int a = 0; a < winograd_points; ++a) {
              if (!y.used[a]) continue;
              for (int b = 0; b < winograd_points; ++b) {
                if (!x.used[b]) continue;
                Vector sum{};
                for (int i = 0; i < y.taps; ++i) accumulate(broadcast(y.factor[a][i]), along_x[i][b], sum);
                store(to + (a * winograd_points + b) * of.plane + v, sum);
              }
            }
          }
      }
  }
}

// The products at the point of group `gy` along y and at all points along x.
GANYMEDE_INLINE void multiply_filters(const WinogradBlock& block, const WinogradPlan& plan, int channels, int gy,
                                      const float* filters, const float* source, float* sums) {
  const WinogradPiece& of = block.piece;
  const std::ptrdiff_t depth = static_cast<std::ptrdiff_t>(of.y.terms) * of.x.terms * channels;
  for (int gx = 0; gx < of.x.groups; ++gx) {
    const WinogradRuns runs(of.y, of.x, gy, gx, channels);
    const float* left = source + block.source(gy, gx);
    const float* right = filters + (of.y.group[gy].point * winograd_points + of.x.group[gx].point) * of.plane;
    float* c = sums + block.sums(gy, gx);
    const std::ptrdiff_t pitch = of.place[gy][gx].source_pitch;
    const Tiles tiles(Range{0, block.rows(gy, gx)});
    for (int column = 0; column < plan.sums_columns; column += tile_columns) {
      const int columns = panel_columns(plan.sums_columns, column);
      for (int t = 0; t < tiles.count; ++t) {
        const Range r = tiles[t];
        const Tile run = tile_of_panel<false>(r.end - r.begin, columns);
        for (int i = 0; i < runs.count; ++i) {
          const WinogradRun& of_terms = runs.run[i];
          const Steps steps{of_terms.floats,
                            right + column * depth + static_cast<std::ptrdiff_t>(of_terms.all) * columns, 0, nullptr,
                            nullptr};
          run(left + r.begin * pitch + of_terms.source, pitch, steps,
              c + static_cast<std::ptrdiff_t>(r.begin) * plan.sums_columns + column, plan.sums_columns, i > 0);
        }
      }
    }
  }
}

// to[j] = Σ factor[j] · from over the slots of a tile, tile_columns floats each, for its outputs j.
template <int Outputs>
GANYMEDE_INLINE void sum_slots(const WinogradSlot* slot, int slots, const float* const* from, float* to,
                               std::ptrdiff_t pitch) {
  GANYMEDE_UNROLL
  for (int v = 0; v < tile_columns; v += lanes) {
    Vector sum[Outputs] = {};
    for (int s = 0; s < slots; ++s) {
      const Vector value = load(from[s] + v);
      GANYMEDE_UNROLL
      for (int j = 0; j < Outputs; ++j) accumulate(broadcast(slot[s].factor[j]), value, sum[j]);
    }
    GANYMEDE_UNROLL
    for (int j = 0; j < Outputs; ++j) store(to + j * pitch + v, sum[j]);
  }
}
GANYMEDE_INLINE void outputs_of(const WinogradTile& tile, const WinogradSlot* slot, const float* const* from, float* to,
                                std::ptrdiff_t pitch) {
  static_assert(winograd_outputs == 4);
  switch (tile.outputs) {
    case 1:
      return sum_slots<1>(slot, tile.slots, from, to, pitch);
    case 2:
      return sum_slots<2>(slot, tile.slots, from, to, pitch);
    case 3:
      return sum_slots<3>(slot, tile.slots, from, to, pitch);
    default:
      return sum_slots<4>(slot, tile.slots, from, to, pitch);
  }
}

// Asks for what `finish` will read and write.
GANYMEDE_INLINE void prefetch_results(const ConvolutionArgs& args, const std::ptrdiff_t* places, int rows,
                                      int channels) {
  for (int i = 0; i < rows; ++i)
    for (int c = 0; c < channels; c += 16) {
      __builtin_prefetch(args.result + places[i] + c, 1);
      if (args.slope_of != nullptr) __builtin_prefetch(args.slope_of + places[i] + c);
    }
}

// From the products of a block, whose first image is `first`, to its results.
__attribute__((noinline)) void bring_back(const ConvolutionArgs& args, const WinogradBlock& block, int first,
                                          const FinishRows& finish, const float* products) {
  const WinogradPlan& plan = *args.winograd;
  const WinogradAxis& y = block.piece.y;
  const WinogradAxis& x = block.piece.x;
  const Grid target = target_grid(args);
  alignas(64) float along_x[winograd_points * winograd_outputs * tile_columns];
  alignas(64) float sums[winograd_outputs * winograd_outputs * tile_columns];
  std::ptrdiff_t places[winograd_outputs * winograd_outputs];
  for (int image = 0; image < block.count; ++image)
    for (int ty = 0; ty < y.tiles; ++ty)
      for (int tx = 0; tx < x.tiles; ++tx) {
        const WinogradTile& tile_y = y.tile[ty];
        const WinogradTile& tile_x = x.tile[tx];
        const WinogradSlot* slot_y = y.slot + tile_y.first_slot;
        const WinogradSlot* slot_x = x.slot + tile_x.first_slot;
        for (int i = 0; i < tile_y.outputs; ++i)
          for (int j = 0; j < tile_x.outputs; ++j)
            places[i * tile_x.outputs + j] = ((static_cast<std::ptrdiff_t>(first + image) * target.height + y.target +
                                               (tile_y.first + i) * y.target_step) *
                                                  target.width +
                                              x.target + (tile_x.first + j) * x.target_step) *
                                             target.channels;
        prefetch_results(args, places, tile_y.outputs * tile_x.outputs, target.channels);
        const float* from[winograd_points][winograd_points];
        for (int sy = 0; sy < tile_y.slots; ++sy)
          for (int sx = 0; sx < tile_x.slots; ++sx)
            from[sy][sx] = products + block.sums(slot_y[sy].group, slot_x[sx].group) +
                           block.row(image, slot_y[sy], slot_x[sx]) * plan.sums_columns;
        for (int column = 0; column < target.channels; column += tile_columns) {
          for (int sy = 0; sy < tile_y.slots; ++sy) {
            outputs_of(tile_x, slot_x, from[sy], along_x + sy * winograd_outputs * tile_columns, tile_columns);
            for (int sx = 0; sx < tile_x.slots; ++sx) from[sy][sx] += tile_columns;
          }
          for (int j = 0; j < tile_x.outputs; ++j) {
            const float* lines[winograd_points];
            for (int sy = 0; sy < tile_y.slots; ++sy) lines[sy] = along_x + (sy * winograd_outputs + j) * tile_columns;
            outputs_of(tile_y, slot_y, lines, sums + j * tile_columns, tile_x.outputs * tile_columns);
          }
          finish(args, places, tile_y.outputs * tile_x.outputs, column, smaller(target.channels - column, tile_columns),
                 sums, tile_columns);
        }
      }
}

void winograd_convolve(const ConvolutionArgs& args, float* scratch, int part, int parts) {
  const WinogradPlan& plan = *args.winograd;
  const Images images(args.source, args.rows, source_grid(args));
  const FinishRows finish = finishes_of(args).rows;
  float* left = args.left + part * args.left_floats;
  const Range own = piece(args.rows, part, parts);
  for (int first = own.begin; first < own.end; first += args.block)
    for (int p = 0; p < plan.pieces; ++p) {
      const WinogradPiece& of = plan.piece[p];
      const WinogradBlock block{of, smaller(args.block, own.end - first)};
      float* sums = left;
      float* source = left + block.count * of.sums_floats + window_slack;
      for (int gy = 0; gy < of.y.groups; ++gy) {
        for (int i = 0; i < block.count; ++i) transform<false>(block, 0, images, first + i, i, gy, source, scratch);
        multiply_filters(block, plan, images.channels, gy, args.packed + of.filters, source, sums);
      }
      bring_back(args, block, first, finish, sums);
    }
}

void winograd_transform(const WinogradWeightsArgs& args, float* scratch, int part, int parts) {
  const WinogradBlock block{args.plan->piece[0], args.count};
  const Images fine(args.fine, args.images, fine_grid(args.shape));
  const Images coarse(args.coarse, args.images, coarse_grid(args.shape));
  const Range own = piece(args.count, part, parts);
  for (int i = own.begin; i < own.end; ++i) {
    transform<false>(block, 0, fine, args.image[i], i, args.group, args.source, scratch);
    transform<true>(block, args.plan->sums_columns, coarse, args.image[i], i, args.group, args.adjoint, scratch);
  }
}

// Columns r.begin … r.end-1 of `steps` rows `ld` apart, as [step][r.end - r.begin]: in whole vectors, of which the next
// step overwrites what is too much.
GANYMEDE_INLINE void pack_columns(const float* from, std::ptrdiff_t ld, int steps, Range r, float* to) {
  from += r.begin;
  for (int i = 0; i < steps; ++i, from += ld, to += r.end - r.begin) {
    GANYMEDE_UNROLL
    for (int j = 0; j < tile_rows; j += lanes) store(to + j, load(from + j));
  }
}

// Adds a block's products at the points of a group along y: a part those of its channels of the adjoint.
void winograd_multiply(const WinogradWeightsArgs& args, float* scratch, int part, int parts) {
  constexpr int block_rows = 256;
  constexpr int left_columns = static_cast<int>(scratch_left) / block_rows;
  const WinogradPiece& of = args.plan->piece[0];
  const WinogradBlock block{of, args.count};
  const int ld = args.plan->sums_columns;
  float* packed_right = scratch;
  float* packed_left = scratch + scratch_right;
  alignas(64) float values[tile_rows * tile_columns];
  const Range own = piece(args.shape.coarse_channels, part, parts);
  const int gy = args.group;
  for (int gx = 0; gx < of.x.groups; ++gx) {
    const WinogradRuns runs(of.y, of.x, gy, gx, args.shape.fine_channels);
    const int rows = block.rows(gy, gx);
    const std::ptrdiff_t pitch = of.place[gy][gx].source_pitch;
    float* product = args.product + (of.y.group[gy].point * winograd_points + of.x.group[gx].point) * of.gradient_plane;
    for (int first = 0; first < rows; first += block_rows) {
      const int steps = smaller(block_rows, rows - first);
      const float* source = args.source + block.source(gy, gx) + first * pitch;
      const float* adjoint = args.adjoint + block.adjoint(gy, gx) + static_cast<std::ptrdiff_t>(first) * ld;
      for (int top = own.begin; top < own.end; top += left_columns) {
        const Tiles tiles(Range{top, smaller(top + left_columns, own.end)});
        for (int t = 0; t < tiles.count; ++t)
          pack_columns(adjoint, ld, steps, tiles[t],
                       packed_left + static_cast<std::ptrdiff_t>(tiles[t].begin - top) * steps);
        for (int i = 0; i < runs.count; ++i)
          for (int column = 0; column < runs.run[i].floats; column += tile_columns) {
            const int width = smaller(tile_columns, runs.run[i].floats - column);
            const float* right = source + runs.run[i].source + column;
            const int panel = width <= lanes ? lanes : tile_columns;
            if (width < tile_columns) pack_edge(right, pitch, width, {0, steps}, packed_right, panel);
            for (int t = 0; t < tiles.count; ++t) {
              const Range r = tiles[t];
              const int height = r.end - r.begin;
              const float* left = packed_left + static_cast<std::ptrdiff_t>(r.begin - top) * steps;
              float* c = product + static_cast<std::ptrdiff_t>(r.begin) * of.gradient_pitch + runs.run[i].all + column;
              prefetch_tile(c, of.gradient_pitch, height);
              if (width == tile_columns && t == 0) {
                tile_of<true, Walk::packing>(height)(left, 0, {steps, right, pitch, packed_right, nullptr}, values,
                                                     tile_columns, false);
              } else {
                tile_of_panel<true>(height, panel)(left, 0, {steps, packed_right, 0, nullptr, nullptr}, values,
                                                   tile_columns, false);
              }
              for (int j = 0; j < height; ++j, c += of.gradient_pitch) {
                const float* row = values + j * tile_columns;
                if (width == tile_columns) {
                  GANYMEDE_UNROLL
                  for (int v = 0; v < tile_columns; v += lanes) store(c + v, load(c + v) + load(row + v));
                } else {
                  for (int k = 0; k < width; ++k) c[k] += row[k];
                }
              }
            }
          }
      }
    }
  }
}

// From a shard's products to its share of the gradient.
void winograd_gradients(const WinogradWeightsArgs& args, float*, int part, int parts) {
  const ConvolutionShape& s = args.shape;
  const WinogradPiece& of = args.plan->piece[0];
  const Range own = piece(s.coarse_channels, part, parts);
  std::int64_t overflow = 0;
  for (int o = own.begin; o < own.end; ++o)
    for (int ty = 0; ty < of.y.terms; ++ty)
      for (int tx = 0; tx < of.x.terms; ++tx) {
        const WinogradTerm& y = of.y.term[ty];
        const WinogradTerm& x = of.x.term[tx];
        const float* product = args.product + static_cast<std::ptrdiff_t>(o) * of.gradient_pitch +
                               (ty * of.x.terms + tx) * s.fine_channels;
        for (int c = 0; c < s.fine_channels; c += lanes) {
          const int width = smaller(lanes, s.fine_channels - c);
          Vector along_x[winograd_points][winograd_taps];
          for (int a = 0; a < winograd_points; ++a) {
            if (!y.used[a]) continue;
            for (int j = 0; j < x.taps; ++j) {
              Vector sum{};
              for (int b = 0; b < winograd_points; ++b)
                if (x.used[b])
                  accumulate(broadcast(x.factor[b][j]),
                             load(product + (a * winograd_points + b) * of.gradient_plane + c), sum);
              along_x[a][j] = sum;
            }
          }
          for (int i = 0; i < y.taps; ++i)
            for (int j = 0; j < x.taps; ++j) {
              Vector sum{};
              for (int a = 0; a < winograd_points; ++a)
                if (y.used[a]) accumulate(broadcast(y.factor[a][i]), along_x[a][j], sum);
              alignas(64) float values[lanes];
              store(values, sum);
              const std::ptrdiff_t place =
                  ((static_cast<std::ptrdiff_t>(o) * s.kernel + y.tap[i]) * s.kernel + x.tap[j]) * s.fine_channels + c;
              if (args.dw.fixed != nullptr) {
                overflow += add_fixed(values, width, args.dw.fixed + place);
              } else {
                float* to = args.dw.values + place;
                for (int k = 0; k < width; ++k) to[k] = args.accumulate ? to[k] + values[k] : values[k];
              }
            }
        }
      }
  report_overflow(args.dw.overflow, overflow);
}

}  // namespace
}  // namespace ganymede::cpu
