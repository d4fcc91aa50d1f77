// What a training's step is made of, known without a device that could run it: the step itself runs on one that only
// counts (device/counting_device.hpp).
#pragma once

#include <cstdint>
#include <vector>

#include "device/operations.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/dataset.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

/// The operations of a GPU of this rank in step number `step` (counted from 0), in order; `options` with their number
/// of steps.
std::vector<Operation> operations_of_step(const TrainOptions& options, Communicator& ranks, const ImageSet& images,
                                          std::uint64_t step);

}  // namespace ganymede
