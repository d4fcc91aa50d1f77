// A training's sample grids one after the other, as an animated GIF.
#pragma once

#include <cstddef>
#include <string>

#include "report/run_folder.hpp"

namespace ganymede {

struct Animation {
  std::string gif;         ///< the file's bytes; empty where there are less than two grids to show
  std::size_t frames = 0;  ///< at most 60, evenly chosen, and fewer where grids are large
};

/// A frame is a grid above a strip with its step and how far the training had come. Greys are exact; colours are
/// rounded to 252. Left out are grids that cannot be read, or that are not as large as the last one, as after another
/// --sample-count.
Animation animated_progress(const RunFolder& run);

}  // namespace ganymede
