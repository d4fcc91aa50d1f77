// The hard end of a process that must not stay, whatever state it is in.
#pragma once

#include "ganymede/error.hpp"

namespace ganymede::comm {

/// From now on the process has `seconds` left: then it ends with `code`, whatever its threads wait for.
void end_process_after(unsigned seconds, ExitCode code) noexcept;

/// Writes out what stdio and iostreams hold.
void flush_output() noexcept;

}  // namespace ganymede::comm
