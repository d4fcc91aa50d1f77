// Memory of the simulated devices. All of it, and the devices' view of pinned host memory, lies in one range of
// addresses that the host cannot touch except while operations run; every allocation has inaccessible pages
// around it and ends at the end of a page (up to 256-byte alignment; the slack is checked). Addresses are never
// used twice, so that what touches freed memory is found and named.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "cuda_sim/races.hpp"

namespace cuda_sim {

struct Operation;

struct Allocation {
  unsigned number = 0;
  int device = 0;
  std::byte* begin = nullptr;  ///< the devices' address
  std::size_t bytes = 0;
  bool live = true;
  std::byte* pages = nullptr;  ///< the accessible pages
  std::size_t pages_bytes = 0;
  Shadow shadow;

  // Pinned host memory only.
  std::byte* host = nullptr;
  bool mapped = false;
  std::byte* host_pages = nullptr;
  bool host_closed = false;
  /// Accesses of operations that have not run.
  struct Queued {
    const Operation* operation;
    StampPtr stamp;
    std::size_t begin, end;
    bool write;
  };
  std::vector<Queued> queued;
  std::vector<std::pair<std::size_t, std::size_t>> shared;  ///< host_may_race()

  [[nodiscard]] bool pinned() const { return host != nullptr; }
  [[nodiscard]] std::string text() const;
};

/// Null when there is not enough left on the device.
Allocation* allocate_device(int device, std::size_t bytes);
Allocation* allocate_pinned(int device, std::size_t bytes, bool mapped);
/// Makes it inaccessible; a violation when an operation that the host has not synchronised with used it.
void release(Allocation& allocation, const Clock& host);
/// The allocation, live or freed, that this device address belongs to (or its surroundings); null if none.
Allocation* find_device(const void* address);
/// The live pinned allocation that this host address lies in; null if none.
Allocation* find_pinned(const void* host);
/// Live allocations, by number.
const std::vector<Allocation*>& live_allocations();
std::size_t allocated_on(int device);
/// The devices' address of `address`, which may be the host's of pinned memory; pageable memory's as it is.
std::byte* device_view(const void* address);

/// Opens all live memory to operations; close_memory() closes it to the host and checks the slack around allocations.
void open_memory();
void close_memory();
/// From now on the host's touching `allocation` is checked: the first time after every call of the API.
void guard_host(Allocation& allocation);

/// Closes again what the host was found to touch rightly, where it might touch something else wrongly.
void guard_host_again();

/// Frees everything, without a word.
void reset_memory();

}  // namespace cuda_sim
