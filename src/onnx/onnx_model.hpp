// A network as an ONNX model, which ONNX Runtime and others run: in evaluation, with batch normalisation folded into
// the layer before it and spectral normalisation into the weights; the batch's size is free.
#pragma once

#include <map>
#include <string>

#include "ganymede/network.hpp"
#include "ganymede/shapes.hpp"

namespace ganymede {

/// The bytes of a model from z [batch, latent] to images [batch, channels, height, width], whose pixels lie between 0
/// and 1. Where the data have classes, the row's is a further input, class [batch] (int64, 0 …). `metadata` become the
/// model's properties.
std::string onnx_generator(const Network& generator, const DataShape& data,
                           const std::map<std::string, std::string>& metadata);

/// The same from such images (and classes) to logits [batch].
std::string onnx_discriminator(const Network& discriminator, const DataShape& data,
                               const std::map<std::string, std::string>& metadata);

}  // namespace ganymede
