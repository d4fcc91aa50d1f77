// How fast the ranks of this launch sum over each other, and how far their clocks are apart: measured together.
#pragma once

#include <vector>

#include "ganymede/communicator.hpp"

namespace ganymede::doctor {

struct Links {
  int hosts = 1;
  double latency = 0;            ///< seconds of a sum of 1 KiB, in the median
  double large_bytes = 4 << 20;  ///< of a large sum; over slow links less
  double large = 0;              ///< seconds of that
  double copy = 0;               ///< bytes a second that this rank 0 copies in memory
  std::vector<double> clocks;    ///< by rank: seconds that its clock is ahead of rank 0's
  double clock_error = 0;        ///< seconds that these may be wrong by
};

/// Takes some two seconds, over links of any speed. Collective.
Links measure_links(Communicator& ranks, int hosts);

}  // namespace ganymede::doctor
