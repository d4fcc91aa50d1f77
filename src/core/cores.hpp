// The processor cores that this process may run on.
#pragma once

#include <string>
#include <vector>

namespace ganymede {

/// Their numbers, in ascending order (of the process's affinity, which launchers, cgroups and taskset set); {0} where
/// the system does not say.
std::vector<int> usable_cores();

/// "0-3,8" for {0, 1, 2, 3, 8}.
std::string core_list(const std::vector<int>& cores);

}  // namespace ganymede
