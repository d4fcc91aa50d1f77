// The emulation's inside: what the instrumentation tells the thread that runs.
#pragma once

#include <cstddef>

#include "cuda_emulation/race_check.hpp"

namespace ganymede::emulation {

/// The running kernel's thread touches memory; no kernel runs: nothing happens.
void touch(const void* address, std::size_t bytes, Access kind);

}  // namespace ganymede::emulation
