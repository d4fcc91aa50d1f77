// What an exception means to the user: the exit code and the sentence that it ends the program with.
#pragma once

#include <exception>

#include "ganymede/error.hpp"

namespace ganymede::comm {

/// The Error itself, or for other exceptions: out of memory → launch, a file system's → data, anything else →
/// launch, as the program does not throw it on purpose.
Error as_error(const std::exception_ptr& failure);

}  // namespace ganymede::comm
