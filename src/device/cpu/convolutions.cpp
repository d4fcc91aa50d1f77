// See convolutions.hpp.
#include "device/cpu/convolutions.hpp"

#include <algorithm>
#include <cstddef>

namespace ganymede::cpu {
namespace {

// What transformed images may take, so that the second cache holds them: of a part's block, and of all threads' block
// for gradients, where larger ones mean fewer passes over the sums.
constexpr std::size_t winograd_block_floats = std::size_t{128} * 1024;
constexpr std::size_t winograd_gradient_floats = std::size_t{192} * 1024;

ConvolutionShape shape_of(const Convolution& g) {
  return {g.fine_height,     g.fine_width, g.fine_channels, g.coarse_height, g.coarse_width,
          g.coarse_channels, g.kernel,     g.stride,        g.padding};
}

// Whether window_gradients()' tiles have something to sum, vectors full of channels, and room for a line of pixels.
bool windows_fit(const Convolution& g) {
  constexpr int least_pixels = 16;
  const std::size_t line = product(std::max(g.coarse_width * g.stride + g.kernel, g.fine_width), g.fine_channels);
  return g.coarse_pixels() >= least_pixels && g.coarse_channels >= window_weights_channels &&
         static_cast<std::size_t>(g.kernel) * line <= scratch_floats - scratch_slack;
}

}  // namespace

void Convolutions::run(const Convolution& geometry, bool transposed, int rows, const float* source, const float* w,
                       const Finish& finish, float* result) {
  ConvolutionArgs args{shape_of(geometry),
                       transposed,
                       rows,
                       source,
                       w,
                       finish.bias,
                       finish.slope_of,
                       finish.activation.kind,
                       finish.activation.parameter,
                       nullptr,
                       nullptr,
                       nullptr,
                       0,
                       result,
                       nullptr,
                       0};
  const std::size_t weights = product(geometry.filter(), geometry.coarse_channels);
  const std::size_t work = 2 * product(rows, geometry.coarse_pixels()) * weights;
  const auto threads = static_cast<std::size_t>(engine_.threads());
  const WinogradTables& winograd = tables(geometry, transposed);
  if (winograd.pays()) {
    const std::size_t image = winograd.source_floats() + winograd.sums_floats();
    const std::size_t share = (static_cast<std::size_t>(std::max(rows, 1)) + threads - 1) / threads;
    const std::size_t block = std::min(share, std::max<std::size_t>(1, winograd_block_floats / image));
    const std::size_t left = block * image + 2 * window_slack;
    args.winograd = &winograd.plan();
    args.block = static_cast<int>(block);
    args.packed = filters_.get(winograd.filter_floats());
    args.left = windows_.get(threads * left);
    args.left_floats = static_cast<std::ptrdiff_t>(left);
    engine_.run(engine_.kernels.winograd_filters, args, 4 * weights);
    engine_.run(engine_.kernels.winograd_convolve, args, work);
    return;
  }
  // Lines that a part copies at a time: few enough to stay in the second cache beside the filters.
  constexpr std::size_t line_floats = 48 * 1024;
  const int source_channels = transposed ? geometry.coarse_channels : geometry.fine_channels;
  const int window = geometry.kernel * geometry.kernel * source_channels;
  const int channels = transposed ? geometry.fine_channels : geometry.coarse_channels;
  const int longest =
      transposed ? geometry.fine_width + geometry.kernel : geometry.coarse_width * geometry.stride + geometry.kernel;
  std::size_t left = std::max(line_floats, product(geometry.kernel, longest * source_channels) + window_slack);
  if (transposed && channels <= few_channels) {
    // An image's products with the filters, and its sums.
    const int filter = (geometry.filter() + window_slack) / 16 * 16;
    left = std::max(left, product(geometry.coarse_pixels(), filter) + static_cast<std::size_t>(geometry.fine_size()) +
                              window_slack);
  }
  const int columns = (channels + most_tile_columns - 1) / most_tile_columns * most_tile_columns;
  args.packed = filters_.get(product(window, columns));
  args.offsets = offsets_.get(static_cast<std::size_t>(window));
  args.left = windows_.get(threads * left);
  args.left_floats = static_cast<std::ptrdiff_t>(left);
  engine_.run(engine_.kernels.pack_filters, args, weights);
  engine_.run(engine_.kernels.convolve, args, work);
}

void Convolutions::gradients(const BatchLayout& layout, const Convolution& geometry, const float* fine,
                             const float* coarse, bool accumulate, const SumTarget& dw) {
  const WinogradTables& winograd = tables(geometry, false);
  if (windows_fit(geometry) && (geometry.fine_channels <= few_channels || !winograd.pays())) {
    window_gradients(layout, geometry, fine, coarse, accumulate, dw);
    return;
  }
  if (winograd.pays()) {
    winograd_gradients(winograd, layout, geometry, fine, coarse, accumulate, dw);
    return;
  }
  const RowOrder order = engine_.row_order(layout, dw.exact(), geometry.coarse_pixels());
  const std::size_t weights = product(geometry.filter(), geometry.coarse_channels);
  if (order.count == 0) {
    clear(weights, accumulate, dw);
    return;
  }
  float* carry = dw.exact() ? engine_.carry.get(weights) : nullptr;
  engine_.run(engine_.kernels.convolution_weights,
              {{order, geometry.filter(), geometry.coarse_channels, fine, coarse, accumulate, sum_of(dw), carry},
               shape_of(geometry),
               layout.total_rows()},
              2 * static_cast<std::size_t>(order.count) * weights);
}

void Convolutions::window_gradients(const BatchLayout& layout, const Convolution& geometry, const float* fine,
                                    const float* coarse, bool accumulate, const SumTarget& dw) {
  const RowOrder order = engine_.row_order(layout, dw.exact());
  const std::size_t weights = product(geometry.filter(), geometry.coarse_channels);
  if (dw.exact() || order.count == 0) {
    clear(weights, accumulate, dw);
    accumulate = true;
  }
  // Blocks of so many pixels that adding their sums up costs little, and that these take less memory than the
  // adjoints.
  const int pixels = std::max(1024, 4 * geometry.filter());
  const int images = std::max(1, pixels / geometry.coarse_pixels());
  int* block_end = blocks_.get(static_cast<std::size_t>(order.count));
  int blocks = 0;
  for (int s = 0, begin = 0; s < order.shards; ++s)
    while (begin < order.shard_end[s]) {
      begin = std::min(begin + images, order.shard_end[s]);
      block_end[blocks++] = begin;
    }
  const int columns = (geometry.coarse_channels + 15) / 16 * 16;
  float* sums = windows_.get(product(blocks, geometry.filter()) * static_cast<std::size_t>(columns));
  const WindowWeightsArgs args{
      shape_of(geometry), order, blocks, block_end, layout.total_rows(), fine, coarse, sums, accumulate, sum_of(dw)};
  engine_.run(engine_.kernels.window_products, args, 2 * product(order.count, geometry.coarse_pixels()) * weights);
  engine_.run(engine_.kernels.window_gradients, args, product(blocks, 1) * weights);
}

void Convolutions::winograd_gradients(const WinogradTables& winograd, const BatchLayout& layout,
                                      const Convolution& geometry, const float* fine, const float* coarse,
                                      bool accumulate, const SumTarget& dw) {
  const RowOrder order = engine_.row_order(layout, dw.exact());
  const std::size_t weights = product(geometry.filter(), geometry.coarse_channels);
  if (dw.exact() || order.count == 0) {
    clear(weights, accumulate, dw);
    accumulate = true;
  }
  // Blocks are cut from their shard's beginning on, and are as large for any number of rows and threads.
  const std::size_t image = winograd.source_floats() + winograd.adjoint_floats();
  const auto block = static_cast<int>(std::max<std::size_t>(1, winograd_gradient_floats / image));
  const auto most = static_cast<std::size_t>(std::min(block, std::max(order.count, 1)));
  const std::size_t source_floats = most * winograd.source_floats() + window_slack;
  float* left = windows_.get(source_floats + most * winograd.adjoint_floats() + window_slack);
  WinogradWeightsArgs args{&winograd.plan(),
                           shape_of(geometry),
                           layout.total_rows(),
                           nullptr,
                           0,
                           0,
                           fine,
                           coarse,
                           left,
                           left + source_floats,
                           filters_.get(winograd.gradient_floats()),
                           accumulate,
                           sum_of(dw)};
  int begin = 0;
  for (int s = 0; s < order.shards; ++s) {
    const int end = order.shard_end[s];
    if (begin == end) continue;
    std::fill(args.product, args.product + winograd.gradient_floats(), 0.0F);
    for (; begin < end; begin += args.count) {
      args.image = order.row + begin;
      args.count = std::min(block, end - begin);
      const std::size_t work = 2 * product(args.count, geometry.coarse_pixels()) * weights;
      for (args.group = 0; args.group < winograd.plan().piece->y.groups; ++args.group) {
        engine_.run(engine_.kernels.winograd_transform, args, work);
        engine_.run(engine_.kernels.winograd_multiply, args, work);
      }
    }
    engine_.run(engine_.kernels.winograd_gradients, args, 4 * weights);
  }
}

const WinogradTables& Convolutions::tables(const Convolution& g, bool transposed) {
  const Key key = {g.fine_height,     g.fine_width, g.fine_channels, g.coarse_height, g.coarse_width,
                   g.coarse_channels, g.kernel,     g.stride,        g.padding,       transposed ? 1 : 0};
  const auto found = winograd_.find(key);
  return found != winograd_.end() ? found->second : winograd_.try_emplace(key, shape_of(g), transposed).first->second;
}

}  // namespace ganymede::cpu
