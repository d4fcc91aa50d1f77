// The frame of a record in TensorFlow's record files, which TensorBoard's event files are:
// https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ganymede::tensorboard {

/// CRC-32C (Castagnoli): RFC 3720, appendix B.4.
std::uint32_t crc32c(std::string_view bytes);

/// What TensorFlow stores of it, so that the sum of data that hold sums is no special case.
std::uint32_t masked_crc32c(std::string_view bytes);

/// The record as a file holds it: length, its sum, the data, their sum, all little-endian.
std::string tf_record(std::string_view data);

}  // namespace ganymede::tensorboard
