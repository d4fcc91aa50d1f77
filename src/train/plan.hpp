// A training as it will run, in words: the table at its start.
#pragma once

#include <string>

#include "ganymede/communicator.hpp"
#include "ganymede/trainer.hpp"
#include "train/setup.hpp"

namespace ganymede {

/// Of a set-up that has everything but its plan; `origin` says what it starts from. Collective.
TrainPlan make_plan(const TrainOptions& options, Communicator& ranks, const TrainSetup& setup,
                    const std::string& origin);

}  // namespace ganymede
