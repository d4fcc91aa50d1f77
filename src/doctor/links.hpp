// How fast the ranks of this launch sum over each other, and how far their clocks are apart: measured together.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "doctor/facts.hpp"
#include "ganymede/communicator.hpp"

namespace ganymede::doctor {

/// Sums over the ranks' GPUs by NCCL, as the host sees them.
struct GpuSums {
  double latency = 0;      ///< seconds of a sum of 1 KiB, in the median
  double large_bytes = 0;  ///< of a large sum
  double large = 0;        ///< seconds of that
  std::string version;     ///< "NCCL 2.28.9"
  std::string problem;     ///< why there are none; else empty
  bool late = false;       ///< the problem: they might have been there later
};

struct Links {
  int hosts = 1;
  double latency = 0;            ///< seconds of a sum of 1 KiB, in the median
  double large_bytes = 4 << 20;  ///< of a large sum; over slow links less
  double large = 0;              ///< seconds of that
  double copy = 0;               ///< bytes a second that this rank 0 copies in memory
  std::vector<double> clocks;    ///< by rank: seconds that its clock is ahead of rank 0's
  double clock_error = 0;        ///< seconds that these may be wrong by
  std::optional<GpuSums> gpus;   ///< where each rank has a GPU of its own
};

/// Takes some two seconds, over links of any speed. Collective.
Links measure_links(Communicator& ranks, int hosts);

/// Whether each rank of a launch of several can have a GPU of its own.
bool gpus_can_sum(const std::vector<Facts>& ranks);

/// Joins the ranks' GPUs as a training does, and sums over them. Takes no more than `seconds`, of which NCCL may have
/// `join_seconds` to join the ranks. Collective.
GpuSums measure_gpu_sums(Communicator& ranks, double seconds, double join_seconds);

}  // namespace ganymede::doctor
