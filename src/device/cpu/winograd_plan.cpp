#include "device/cpu/winograd_plan.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <vector>

namespace ganymede::cpu {
namespace {

// The last point is infinity: the highest coefficient of a polynomial stands for its value there.
constexpr int infinity = winograd_points - 1;
constexpr std::array<double, infinity> finite_points = {0, 1, -1, 2};

double power(double base, int exponent) {
  double result = 1;
  for (int i = 0; i < exponent; ++i) result *= base;
  return result;
}

// What coefficient i of a polynomial of `size` coefficients counts for in its value at a point.
double at_point(int point, int i, int size) {
  if (point == infinity) return i + 1 == size ? 1 : 0;
  return power(finite_points[static_cast<std::size_t>(point)], i);
}

// The points of a tile that has `count` of them: the first finite ones, and infinity.
bool is_point(int point, int count) { return point == infinity || point + 1 < count; }

// The coefficients of the polynomial that a product of polynomials, of `count` coefficients, has its value at `point`
// multiplied with when it is put together from its values: Lagrange's, or Π (x - p) over the finite points for
// infinity.
std::array<double, winograd_points> basis(int point, int count) {
  std::array<double, winograd_points> result = {1};
  for (int other = 0; other + 1 < count; ++other) {
    if (other == point) continue;
    const double zero = finite_points[static_cast<std::size_t>(other)];
    const double scale = point == infinity ? 1 : 1 / (finite_points[static_cast<std::size_t>(point)] - zero);
    for (std::size_t i = result.size(); i-- > 0;) result[i] = scale * ((i > 0 ? result[i - 1] : 0) - zero * result[i]);
  }
  return result;
}

// Rows that are read at the same time lie an odd number of cache lines apart, so that they do not compete for one set
// of the cache; and a vector that is not full may be written behind a row.
int row_pitch(int floats) {
  const int lines = (floats + 15 + 15) / 16;
  return (lines + 1 - lines % 2) * 16;
}

}  // namespace

std::vector<WinogradTables::Line> WinogradTables::lines_of(const ConvolutionShape& s, bool transposed, int fine,
                                                           int coarse) {
  std::vector<Line> lines;
  if (!transposed) {
    Line line{{}, coarse, fine, s.stride, 0, 1};
    for (int first = 0; first < s.stride; ++first)
      line.terms.push_back({(s.kernel - first + s.stride - 1) / s.stride, first - s.padding, first, s.stride});
    return {line};
  }
  for (int remainder = 0; remainder < s.stride; ++remainder) {
    // Fine pixels with this remainder of (position + padding) / stride, as in phase_axis().
    const int taps = (s.kernel - remainder + s.stride - 1) / s.stride;
    const int first = ((remainder - s.padding) % s.stride + s.stride) % s.stride;
    const int count = first < fine ? (fine - first + s.stride - 1) / s.stride : 0;
    const int source = (first + s.padding - remainder) / s.stride - (taps - 1);
    lines.push_back(
        {{{taps, source, remainder + s.stride * (taps - 1), -s.stride}}, count, coarse, 1, first, s.stride});
  }
  return lines;
}

WinogradInput WinogradTables::input_of(const Line& line, const Term& term, int first, int outputs, int point) {
  const int count = outputs + term.taps - 1;
  WinogradInput input{};
  if (!is_point(point, count)) return input;
  const std::array<double, winograd_points> factors = basis(point, count);
  for (int i = 0; i < count; ++i) {
    const int position = term.source + line.source_step * (first + i);
    const double factor = factors[static_cast<std::size_t>(i)];
    if (factor == 0 || position < 0 || position >= line.source_size) continue;
    input.position[input.count] = position;
    input.factor[input.count++] = static_cast<float>(factor);
  }
  return input;
}

WinogradTables::Axis WinogradTables::axis_of(const Line& line) {
  Axis axis;
  WinogradAxis& plain = axis.plain;
  plain = {};
  plain.target = line.target;
  plain.target_step = line.target_step;
  plain.terms = static_cast<int>(line.terms.size());
  int most_taps = 0;
  for (const Term& term : line.terms) {
    most_taps = std::max(most_taps, term.taps);
    axis.direct += term.taps * line.outputs;
  }
  // The tiles with the fewest products in all; where that is equal, with the fewest sums to bring back.
  const int most_outputs = std::min(winograd_outputs, winograd_points + 1 - most_taps);
  struct Best {
    int products, sums, outputs;
  };
  std::vector<Best> best(static_cast<std::size_t>(line.outputs) + 1, {std::numeric_limits<int>::max(), 0, 0});
  best[0] = {0, 0, 0};
  for (int end = 1; end <= line.outputs; ++end)
    for (int outputs = 1; outputs <= std::min(most_outputs, end); ++outputs) {
      Best with = best[static_cast<std::size_t>(end - outputs)];
      with.outputs = outputs;
      for (int point = 0; point < winograd_points; ++point) {
        int terms = 0;
        for (const Term& term : line.terms)
          if (input_of(line, term, end - outputs, outputs, point).count > 0) ++terms;
        with.products += terms;
        with.sums += terms > 0 ? 1 : 0;
      }
      Best& known = best[static_cast<std::size_t>(end)];
      if (with.products < known.products || (with.products == known.products && with.sums < known.sums)) known = with;
    }
  axis.products = best.back().products;
  for (int end = line.outputs; end > 0; end -= best[static_cast<std::size_t>(end)].outputs) {
    const int outputs = best[static_cast<std::size_t>(end)].outputs;
    axis.tiles.push_back({end - outputs, outputs, 0, 0});
  }
  std::reverse(axis.tiles.begin(), axis.tiles.end());

  for (int t = 0; t < plain.terms; ++t) {
    const Term& term = line.terms[static_cast<std::size_t>(t)];
    WinogradTerm& to = plain.term[t];
    to.taps = term.taps;
    for (int i = 0; i < term.taps; ++i) {
      to.tap[i] = term.first_tap + i * term.tap_step;
      for (int point = 0; point < winograd_points; ++point)
        to.factor[point][i] = static_cast<float>(at_point(point, i, term.taps));
    }
  }
  for (WinogradTile& tile : axis.tiles) {
    tile.first_slot = static_cast<int>(axis.slots.size());
    for (int point = 0; point < winograd_points; ++point) {
      WinogradSlot slot{};
      WinogradGroup group{point, 0, 0, {-1, -1}};
      for (int t = 0; t < plain.terms; ++t) {
        slot.input[t] = input_of(line, line.terms[static_cast<std::size_t>(t)], tile.first, tile.outputs, point);
        if (slot.input[t].count == 0) continue;
        group.rank[t] = group.terms++;
        plain.term[t].used[point] = true;
      }
      if (group.terms == 0) continue;
      for (int i = 0; i < tile.outputs; ++i) {
        slot.factor[i] = static_cast<float>(at_point(point, i, tile.outputs));
        if (slot.factor[i] == 0) continue;
        slot.output.position[slot.output.count] = tile.first + i;
        slot.output.factor[slot.output.count++] = slot.factor[i];
      }
      WinogradGroup* const end = plain.group + plain.groups;
      WinogradGroup* const known = std::find_if(plain.group, end, [&](const WinogradGroup& g) {
        return g.point == point && std::equal(g.rank, g.rank + winograd_terms, group.rank);
      });
      if (known == end) {
        *known = group;
        ++plain.groups;
      }
      slot.group = static_cast<int>(known - plain.group);
      slot.index = known->slots++;
      axis.slots.push_back(slot);
    }
    tile.slots = static_cast<int>(axis.slots.size()) - tile.first_slot;
  }
  plain.tiles = static_cast<int>(axis.tiles.size());
  plain.slots = static_cast<int>(axis.slots.size());
  plain.tile = axis.tiles.data();
  plain.slot = axis.slots.data();
  return axis;
}

WinogradTables::WinogradTables(const ConvolutionShape& s, bool transposed) {
  const int source_channels = transposed ? s.coarse_channels : s.fine_channels;
  const int sums_channels = transposed ? s.fine_channels : s.coarse_channels;
  // Where few channels meet few, the transforms take longer than they save. The kernels' scratch memory holds a line.
  constexpr int least_source_channels = 8;
  const int least_sums_channels = (transposed ? few_channels : narrow_channels) + 1;
  constexpr double least_saving = 1.4;
  constexpr int most_line = 32 * 1024;
  constexpr std::ptrdiff_t most_floats = std::ptrdiff_t{1} << 21;
  const int line = (transposed ? s.coarse_width : s.fine_width) * source_channels;
  if (s.stride > winograd_terms || s.kernel < s.stride || s.kernel > winograd_taps * s.stride ||
      source_channels < least_source_channels || sums_channels < least_sums_channels || line > most_line)
    return;
  double products = 0;
  double direct = 0;
  for (const Line& y : lines_of(s, transposed, s.fine_height, s.coarse_height)) axes_.push_back(axis_of(y));
  const std::size_t ys = axes_.size();
  for (const Line& x : lines_of(s, transposed, s.fine_width, s.coarse_width)) axes_.push_back(axis_of(x));
  const int columns = (sums_channels + 15) / 16 * 16;
  for (std::size_t y = 0; y < ys; ++y)
    for (std::size_t x = ys; x < axes_.size(); ++x) {
      products += static_cast<double>(axes_[y].products) * axes_[x].products;
      direct += static_cast<double>(axes_[y].direct) * axes_[x].direct;
      WinogradPiece piece{};
      piece.y = axes_[y].plain;
      piece.x = axes_[x].plain;
      for (int gy = 0; gy < piece.y.groups; ++gy) {
        std::ptrdiff_t source = 0;
        std::ptrdiff_t adjoint = 0;
        for (int gx = 0; gx < piece.x.groups; ++gx) {
          const WinogradGroup& a = piece.y.group[gy];
          const WinogradGroup& b = piece.x.group[gx];
          const std::ptrdiff_t rows = static_cast<std::ptrdiff_t>(a.slots) * b.slots;
          const int pitch = row_pitch(a.terms * b.terms * source_channels);
          piece.place[gy][gx] = {source, piece.sums_floats + adjoint, pitch};
          source += rows * pitch;
          adjoint += rows * columns;
        }
        source_floats_ = std::max(source_floats_, static_cast<std::size_t>(source));
        adjoint_floats_ = std::max(adjoint_floats_, static_cast<std::size_t>(adjoint));
        piece.sums_floats += adjoint;
      }
      // A cache line more than a plane needs, so that the same place of all planes is not in one set of the cache.
      piece.plane = static_cast<std::ptrdiff_t>(piece.y.terms) * piece.x.terms * source_channels * columns + 16;
      piece.gradient_pitch = row_pitch(piece.y.terms * piece.x.terms * source_channels);
      piece.gradient_plane = static_cast<std::ptrdiff_t>(sums_channels) * piece.gradient_pitch + 16;
      gradient_floats_ = static_cast<std::size_t>(winograd_points * winograd_points * piece.gradient_plane);
      piece.filters = static_cast<std::ptrdiff_t>(filter_floats_);
      filter_floats_ += static_cast<std::size_t>(winograd_points * winograd_points * piece.plane);
      sums_floats_ = std::max(sums_floats_, static_cast<std::size_t>(piece.sums_floats));
      pieces_.push_back(piece);
    }
  if (direct < least_saving * products || static_cast<std::ptrdiff_t>(source_floats_ + sums_floats_) > most_floats)
    return;
  plan_ = {static_cast<int>(pieces_.size()), pieces_.data(), columns};
}

}  // namespace ganymede::cpu
