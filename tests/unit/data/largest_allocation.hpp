// The largest single allocation through operator new in this program, for tests of what a header may cost.
#pragma once

#include <cstddef>

namespace ganymede::test {

/// Starts over and gives what was seen before.
std::size_t take_largest_allocation();

}  // namespace ganymede::test
