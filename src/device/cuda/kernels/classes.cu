// How a layer learns of a row's class: channels that are appended to its input, or one of several scores.
#include "device/cuda/kernels/device.hpp"

namespace ganymede::cuda {
namespace {

constexpr unsigned threads = 256;

// An element of the result to a thread.
__global__ void __launch_bounds__(threads) append_class_kernel(std::size_t count, int pixels, int channels, int classes,
                                                               const std::uint8_t* labels, const float* x, float* y) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * threads + threadIdx.x;
  if (i >= count) return;
  const auto width = static_cast<std::size_t>(channels + classes);
  const std::size_t pixel = i / width;
  const int channel = static_cast<int>(i % width);
  if (channel < channels) {
    y[i] = x[pixel * static_cast<std::size_t>(channels) + static_cast<std::size_t>(channel)];
  } else {
    const bool own = labels != nullptr && labels[pixel / static_cast<std::size_t>(pixels)] == channel - channels;
    y[i] = own ? 1.0F : 0.0F;
  }
}

__global__ void __launch_bounds__(threads)
    append_class_backward_kernel(std::size_t count, int channels, int classes, const float* delta, Sigma sigma,
                                 const float* x, float* delta_in) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * threads + threadIdx.x;
  if (i >= count) return;
  const std::size_t pixel = i / static_cast<std::size_t>(channels);
  const float slope = x == nullptr ? 1.0F : sigma.slope(x[i]);
  delta_in[i] = delta[i + pixel * static_cast<std::size_t>(classes)] * slope;
}

// A row to a thread.
__global__ void __launch_bounds__(threads)
    class_score_kernel(int rows, int classes, const std::uint8_t* labels, const float* x, float* y) {
  const unsigned row = blockIdx.x * threads + threadIdx.x;
  if (row >= static_cast<unsigned>(rows)) return;
  const float* scores = x + static_cast<std::size_t>(row) * static_cast<std::size_t>(1 + classes);
  y[row] = scores[0] + scores[1 + labels[row]];
}

// An element of the result to a thread.
__global__ void __launch_bounds__(threads)
    class_score_backward_kernel(std::size_t count, int classes, const std::uint8_t* labels, const float* delta,
                                float* delta_in) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * threads + threadIdx.x;
  if (i >= count) return;
  const auto width = static_cast<std::size_t>(1 + classes);
  const std::size_t row = i / width;
  const std::size_t place = i % width;
  delta_in[i] = place == 0 || place == 1U + labels[row] ? delta[row] : 0.0F;
}

}  // namespace

void append_class(cudaStream_t stream, int rows, int pixels, int channels, int classes, const std::uint8_t* labels,
                  const float* x, float* y) {
  const std::size_t count = area(rows, pixels * (channels + classes));
  if (count == 0) return;
  launch<append_class_kernel>("append_class", blocks_for(count, threads), threads, stream, count, pixels, channels,
                              classes, labels, x, y);
}

void append_class_backward(cudaStream_t stream, int rows, int pixels, int channels, int classes, const float* delta,
                           int below, float parameter, const float* x, float* delta_in) {
  const std::size_t count = area(rows, pixels * channels);
  if (count == 0) return;
  launch<append_class_backward_kernel>("append_class_backward", blocks_for(count, threads), threads, stream, count,
                                       channels, classes, delta, Sigma{below, parameter}, x, delta_in);
}

void class_score(cudaStream_t stream, int rows, int classes, const std::uint8_t* labels, const float* x, float* y) {
  if (rows == 0) return;
  launch<class_score_kernel>("class_score", blocks_for(static_cast<std::size_t>(rows), threads), threads, stream, rows,
                             classes, labels, x, y);
}

void class_score_backward(cudaStream_t stream, int rows, int classes, const std::uint8_t* labels, const float* delta,
                          float* delta_in) {
  const std::size_t count = area(rows, 1 + classes);
  if (count == 0) return;
  launch<class_score_backward_kernel>("class_score_backward", blocks_for(count, threads), threads, stream, count,
                                      classes, labels, delta, delta_in);
}

}  // namespace ganymede::cuda
