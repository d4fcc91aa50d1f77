// What a set's labels leave out.
#pragma once

#include <string>

#include "ganymede/dataset.hpp"

namespace ganymede {

/// That labels below the greatest one occur nowhere in `training`, which the set called `name` trains with, and what
/// follows for a class-conditional training and for its samples; empty where none is missing, or there are no labels.
std::string gap_in_labels(const ImageSet& training, const std::string& name);

}  // namespace ganymede
