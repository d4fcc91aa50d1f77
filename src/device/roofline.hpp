// The least time that work can take on a GPU: of its arithmetic at the GPU's peak and of its bytes at the bandwidth of
// its memory the greater (Williams, Waterman, Patterson: Roofline, 2009).
#pragma once

#include <string>
#include <vector>

#include "device/operations.hpp"

namespace ganymede {

/// A GPU by its data sheet, without sparsity; 0 where it has no such arithmetic.
struct GpuPeaks {
  const char* name;
  double float32;  ///< FLOP/s of multiply-adds
  double tf32;     ///< FLOP/s of its tensor cores
  double bfloat16;
  double bandwidth;  ///< bytes/s
};

/// T4, A100, L40S, H100, H200, B200.
const std::vector<GpuPeaks>& known_gpus();
/// In capitals or not. Throws Error(usage) naming the known ones.
const GpuPeaks& gpu_named(const std::string& name);

/// Seconds; of a sum over ranks those of its way through this GPU's own memory.
double least_seconds(const Operation& operation, double flops_per_second, double bandwidth);

}  // namespace ganymede
