// The losses of src/math/loss/ by name, and what the step must know of them.
#pragma once

#include <string>
#include <vector>

namespace ganymede {

std::vector<std::string> loss_names();

/// Index in math::Losses; throws Error(usage) naming the known ones.
int loss_index(const std::string& name);

/// See math::LossTraits.
bool generator_sees_real(int loss);
bool loss_has_target(int loss);
bool loss_is_unbounded(int loss);
bool loss_of_differences(int loss);
bool loss_estimates_distance(int loss);

}  // namespace ganymede
