// What a test of several ranks needs. Every rank runs every test of the program, in the same order.
#pragma once

#include "ganymede/communicator.hpp"

namespace ganymede::testing {

/// All ranks of this mpirun.
Communicator& world();

}  // namespace ganymede::testing
