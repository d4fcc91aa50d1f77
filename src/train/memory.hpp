// What a training takes of its devices' memory, known before any of it is taken: networks, optimisers and step, and on
// a GPU what draws and looks at samples, are built on a device that only counts (device/counting_device.hpp), so that
// no formula can differ from what they do.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "ganymede/communicator.hpp"
#include "ganymede/dataset.hpp"
#include "ganymede/device.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

struct MemoryPlan {
  /// Bytes of this rank, by what they are for.
  std::vector<std::pair<std::string, std::size_t>> parts;
  [[nodiscard]] std::size_t total() const;
};

/// `options` with their number of steps, for this rank of as many; `is_host`: on the CPU. Not in it: what a library or
/// a kernel needs for itself, the program, and data that the host holds anyway. Throws what the building throws.
MemoryPlan plan_memory(const TrainOptions& options, Communicator& ranks, const ImageSet& images, bool is_host);

/// The same for this device; throws Error(launch) where it has less than that, with the numbers and the largest batch
/// that fits. On a CPU the host's ranks are taken to need the same, on a GPU those that share it; some of its memory
/// is left to its libraries. Collective.
MemoryPlan plan_available_memory(const TrainOptions& options, Communicator& ranks, const ImageSet& images,
                                 const Device& device);

/// For a GPU that runs out of memory in spite of the plan: the largest batch that fits what it has. All must outlive
/// it.
Device::MemoryAdvice memory_advice(const TrainOptions& options, Communicator& ranks, const ImageSet& images);

/// How much this rank has really taken: of the host its most, of a GPU what is there now; `free_before` is what the
/// device had when nothing was taken.
std::size_t taken_memory(const Device& device, std::size_t free_before);

}  // namespace ganymede
