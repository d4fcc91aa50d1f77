// Whether this process has been asked to stop (see request_stop in ganymede/trainer.hpp).
#pragma once

namespace ganymede {

bool stop_requested() noexcept;

/// The request has been answered: the next training of this process is not meant.
void forget_stop_request() noexcept;

}  // namespace ganymede
