// Spectral normalisation: products of a matrix with a vector, whose sums the last block brings to their end, and what
// is made of them element by element.
#include "device/cuda/kernels/device.hpp"

namespace ganymede::cuda {
namespace {

constexpr unsigned threads = 256;
constexpr int warps = static_cast<int>(threads) / warp_lanes;

// The block's sum, in all threads, in a fixed order; `by_warp` is the caller's.
__device__ __forceinline__ double block_sum(double value, double (&by_warp)[warps]) {
  value = warp_sum(value);
  __syncthreads();
  if (thread_lane() == 0) by_warp[thread_warp()] = value;
  __syncthreads();
  double total = 0;
  for (double part : by_warp) total += part;
  return total;
}

// to = from / ‖from‖, by one block.
__device__ __forceinline__ void normalise(int count, const double* from, float* to, double (&by_warp)[warps]) {
  double squares = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(threads)) squares += from[i] * from[i];
  const double root = std::sqrt(block_sum(squares, by_warp));
  const double norm = root > least_norm ? root : least_norm;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(threads))
    to[i] = static_cast<float>(from[i] / norm);
}

// What the last block makes of the dots of all rows.
enum class Finish { unit_vector, weighted_sum, sum };

// A row to a block: work[row] = ⟨a[row], b[row]⟩, b's rows `b_stride` apart. Then unit_vector: u = work / ‖work‖;
// weighted_sum: *sum = Σ u · work; sum: work[0] = Σ work.
template <Finish Kind>
__global__ void __launch_bounds__(threads)
    row_dots_kernel(int rows, int columns, const float* a, const float* b, std::ptrdiff_t b_stride, float* u,
                    float* sum, double* work, Scratch scratch) {
  GANYMEDE_SHARED(double, by_warp, [warps]);
  const std::ptrdiff_t row = blockIdx.x;
  a += row * columns;
  b += row * b_stride;
  double dot = 0;
  for (int i = static_cast<int>(threadIdx.x); i < columns; i += static_cast<int>(threads))
    dot = fma(static_cast<double>(a[i]), static_cast<double>(b[i]), dot);
  dot = block_sum(dot, by_warp);
  if (threadIdx.x == 0) work[row] = dot;
  if (!last_block(scratch.tickets, gridDim.x)) return;
  if constexpr (Kind == Finish::unit_vector) {
    normalise(rows, work, u, by_warp);
  } else {
    double total = 0;
    for (int i = static_cast<int>(threadIdx.x); i < rows; i += static_cast<int>(threads))
      total += Kind == Finish::weighted_sum ? static_cast<double>(u[i]) * work[i] : work[i];
    total = block_sum(total, by_warp);
    if (threadIdx.x != 0) return;
    if constexpr (Kind == Finish::weighted_sum) {
      *sum = static_cast<float>(total);
    } else {
      work[0] = total;
    }
  }
}

// A warp's width of columns to a block, whose warps share the rows: work[column] = Σ_row u[row] · w[row][column]. The
// last block then makes v = work / ‖work‖.
__global__ void __launch_bounds__(threads)
    column_sums_kernel(int rows, int columns, const float* w, const float* u, float* v, double* work, Scratch scratch) {
  GANYMEDE_SHARED(double, slices, [warps][warp_lanes]);
  GANYMEDE_SHARED(double, by_warp, [warps]);
  const int column = static_cast<int>(blockIdx.x) * warp_lanes + thread_lane();
  double sum = 0;
  if (column < columns)
    for (int row = thread_warp(); row < rows; row += warps)
      sum = fma(static_cast<double>(u[row]),
                static_cast<double>(w[static_cast<std::ptrdiff_t>(row) * columns + column]), sum);
  slices[thread_warp()][thread_lane()] = sum;
  __syncthreads();
  if (thread_warp() == 0 && column < columns) {
    double total = 0;
    for (int slice = 0; slice < warps; ++slice) total += slices[slice][thread_lane()];
    work[column] = total;
  }
  if (last_block(scratch.tickets, gridDim.x)) normalise(columns, work, v, by_warp);
}

// An element to a thread.
__global__ void __launch_bounds__(threads)
    divide_kernel(std::size_t count, const float* from, const float* divisor, float* to) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * threads + threadIdx.x;
  if (i < count) to[i] = from[i] / *divisor;
}

__global__ void __launch_bounds__(threads)
    take_rank_one_kernel(std::size_t count, int columns, const float* g, const double* product, const float* u,
                         const float* v, const float* sigma, float* to) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * threads + threadIdx.x;
  if (i >= count) return;
  const auto width = static_cast<std::size_t>(columns);
  const float factor = static_cast<float>(*product) * u[i / width];
  to[i] = (g[i] - factor * v[i % width]) / *sigma;
}

}  // namespace

void spectral_left(cudaStream_t stream, int rows, int columns, const float* w, const float* v, float* u, double* work,
                   Scratch scratch) {
  launch<row_dots_kernel<Finish::unit_vector>>("spectral_left", static_cast<unsigned>(rows), threads, stream, rows,
                                               columns, w, v, std::ptrdiff_t{0}, u, static_cast<float*>(nullptr), work,
                                               scratch);
}

void spectral_right(cudaStream_t stream, int rows, int columns, const float* w, const float* u, float* v, double* work,
                    Scratch scratch) {
  launch<column_sums_kernel>("spectral_right", blocks_for(static_cast<std::size_t>(columns), warp_lanes), threads,
                             stream, rows, columns, w, u, v, work, scratch);
}

void spectral_sigma(cudaStream_t stream, int rows, int columns, const float* w, const float* u, const float* v,
                    float* sigma, double* work, Scratch scratch) {
  launch<row_dots_kernel<Finish::weighted_sum>>("spectral_sigma", static_cast<unsigned>(rows), threads, stream, rows,
                                                columns, w, v, std::ptrdiff_t{0}, const_cast<float*>(u), sigma, work,
                                                scratch);
}

void divide(cudaStream_t stream, std::size_t count, const float* from, const float* divisor, float* to) {
  if (count == 0) return;
  launch<divide_kernel>("divide", blocks_for(count, threads), threads, stream, count, from, divisor, to);
}

void spectral_product(cudaStream_t stream, int rows, int columns, const float* g, const float* normalised, double* work,
                      Scratch scratch) {
  launch<row_dots_kernel<Finish::sum>>("spectral_product", static_cast<unsigned>(rows), threads, stream, rows, columns,
                                       g, normalised, static_cast<std::ptrdiff_t>(columns),
                                       static_cast<float*>(nullptr), static_cast<float*>(nullptr), work, scratch);
}

void spectral_gradient(cudaStream_t stream, int rows, int columns, const float* g, const double* product,
                       const float* u, const float* v, const float* sigma, float* to) {
  const std::size_t count = area(rows, columns);
  launch<take_rank_one_kernel>("spectral_gradient", blocks_for(count, threads), threads, stream, count, columns, g,
                               product, u, v, sigma, to);
}

}  // namespace ganymede::cuda
