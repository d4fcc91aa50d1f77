// Whether this process has been asked to stop (see request_stop in ganymede/trainer.hpp), or was held up.
#pragma once

#include <cstdint>

namespace ganymede {

bool stop_requested() noexcept;

/// The request has been answered: the next training of this process is not meant.
void forget_stop_request() noexcept;

/// How often the process has gone on after a stop (SIGCONT, as from `fg`) since stop_on_signals(): the clock went on
/// meanwhile.
std::uint64_t times_continued() noexcept;

}  // namespace ganymede
