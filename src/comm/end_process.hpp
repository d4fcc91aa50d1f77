// The hard end of a process that must not stay, whatever state it is in.
#pragma once

#include "ganymede/error.hpp"

namespace ganymede::comm {

/// From now on the process has `seconds` left: then it ends with `code`, whatever its threads wait for.
void end_process_after(unsigned seconds, ExitCode code) noexcept;

/// Where this process was started by Open MPI's daemon of another host than mpirun's: ends that daemon if it is still
/// there after so many seconds. One that is cut off from mpirun would stay for as long as TCP tries to deliver what it
/// has sent, a quarter of an hour, and no keepalive is sent meanwhile.
void end_cut_off_daemon_after(unsigned seconds);

/// Writes out what standard output holds, unless a thread is stuck in the midst of writing to it.
void flush_output() noexcept;

}  // namespace ganymede::comm
