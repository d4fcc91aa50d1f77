// The losses of src/math/loss/ by name.
#pragma once

#include <string>
#include <vector>

namespace ganymede {

std::vector<std::string> loss_names();

/// Index in math::Losses; throws Error(usage) naming the known ones.
int loss_index(const std::string& name);

}  // namespace ganymede
