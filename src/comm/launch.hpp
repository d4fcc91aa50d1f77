// Who started this process, as its environment tells.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace ganymede::comm {

struct Launch {
  bool mpi = false;                  ///< started by something that Open MPI can join
  std::optional<int> expected_size;  ///< how many ranks the launcher says it started
};

/// Value of an environment variable; null when unset.
using Environment = std::function<const char*(const char*)>;

/// Reads the variables of mpirun, PMIx, PMI and Slurm. Throws Error(launch) when several tasks were started
/// that could not find each other, and would each train alone.
Launch detect_launch(const Environment& environment);

}  // namespace ganymede::comm
