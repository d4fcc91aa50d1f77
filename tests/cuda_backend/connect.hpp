// The emulated kernels on the simulated runtime's streams.
#pragma once

namespace ganymede::testing {

/// From now on a kernel that is launched is enqueued, and runs when the simulated runtime says so. Once is enough.
void connect_kernels();

}  // namespace ganymede::testing
