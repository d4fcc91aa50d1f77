// The real images that lie beside a run's generated ones.
#pragma once

#include <cstdint>
#include <vector>

#include "ganymede/dataset.hpp"

namespace ganymede {

/// The first images that a training of this seed is shown, [count, height, width, channels] in 0 … 1. With `classes`
/// they are of the classes in turn, as in a grid of samples: image i is the next of class i % classes. Those of a small
/// set come again, and a class without images has black ones.
std::vector<float> real_images(const ImageSet& set, std::uint64_t seed, int count, int classes);

}  // namespace ganymede
