// Whether a file's values are numbers.
#pragma once

#include <string>

#include "ganymede/tensor_file.hpp"

namespace ganymede {

/// Throws Error(data) that names the tensor and the element when a value is NaN or infinite: what a training that
/// diverged may leave elsewhere (ours makes no such update). `source` is where the file is from.
void check_finite(const TensorFile& file, const std::string& source);

}  // namespace ganymede
