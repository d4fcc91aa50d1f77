// A step's operations as people and programs read them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "device/operations.hpp"
#include "device/precision.hpp"
#include "device/roofline.hpp"

namespace ganymede::cli {

/// That a training reaches at most there. Throws Error(usage) where the GPU has no such arithmetic.
double flops_per_second(const GpuPeaks& gpu, Precision precision);

/// A line for each operation, with the least time that it takes on this GPU, and one for all of them.
std::string operation_table(const std::vector<Operation>& operations, const GpuPeaks& gpu, Precision precision);

/// The same: part, name, shape, flops, bytes, least_seconds.
nlohmann::ordered_json operations_json(const std::vector<Operation>& operations, const GpuPeaks& gpu,
                                       Precision precision);

}  // namespace ganymede::cli
