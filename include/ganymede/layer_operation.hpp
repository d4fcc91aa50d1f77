// What a layer computes in evaluation, before its activation, in words that other programs' formats can be written
// from. Arrays are in PyTorch's order here, and so are the weights of Network::tensors(): images [channel][y][x].
#pragma once

#include <variant>

#include "ganymede/device.hpp"
#include "ganymede/shapes.hpp"

namespace ganymede {

/// y = W·x + b of vectors (an image is flattened); parameters: weight [out, in], and bias
/// [out] where there is one.
struct AffineOperation {};

/// From the geometry's fine grid to its coarse one, or transposed the other way; parameters as above.
struct ConvolutionOperation {
  Convolution geometry;
  bool transposed = false;
};

/// y = γ·(x - mean)/√(variance + ε) + β for each channel (of a vector: each element), with running statistics;
/// parameters: weight, bias, running_mean, running_var [channels].
struct NormalisationOperation {
  float epsilon = 0;
};

/// y = x.
struct IdentityOperation {};

/// The row's class, one-hot, behind the image's channels at every pixel; behind a vector's elements where the image is
/// of one pixel.
struct AppendClassOperation {
  ImageShape image;
  int classes = 0;
};

/// x[0] + x[1 + the row's class].
struct ClassScoreOperation {
  int classes = 0;
};

using LayerOperation = std::variant<AffineOperation, ConvolutionOperation, NormalisationOperation, IdentityOperation,
                                    AppendClassOperation, ClassScoreOperation>;

}  // namespace ganymede
