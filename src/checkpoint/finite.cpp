// See finite.hpp.
#include "checkpoint/finite.hpp"

#include <algorithm>
#include <cmath>

#include "ganymede/error.hpp"

namespace ganymede {

void check_finite(const TensorFile& file, const std::string& source) {
  for (const Tensor& tensor : file.tensors) {
    const auto odd =
        std::find_if_not(tensor.values.begin(), tensor.values.end(), [](float v) { return std::isfinite(v); });
    if (odd == tensor.values.end()) continue;
    throw Error(ExitCode::data, source + ": tensor '" + tensor.name + "' holds " +
                                    (std::isnan(*odd) ? "NaN"
                                     : *odd > 0       ? "infinity"
                                                      : "-infinity") +
                                    " at element " + std::to_string(odd - tensor.values.begin()) +
                                    ": its training has diverged; give weights from before that");
  }
}

}  // namespace ganymede
