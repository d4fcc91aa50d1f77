// Whether this process has been asked to stop (see request_stop in ganymede/trainer.hpp).
#pragma once

namespace ganymede {

bool stop_requested() noexcept;

}  // namespace ganymede
