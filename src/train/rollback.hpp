// A training taken back to where its numbers were finite, with lower learning rates; and how checkpoints know of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "gan/gan.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/options.hpp"
#include "train/setup.hpp"

namespace ganymede {

struct WentBack {
  std::string to;                    ///< in words
  std::vector<std::string> refused;  ///< on rank 0: why newer checkpoints could not be used, a sentence each
};

/// Takes a training back to the newest valid checkpoint that --checkpoint-every made, or to its initial weights where
/// there is none, and lowers the learning rates: `rollbacks` roll-backs have then been made in all. Collective; what is
/// wrong is an AgreedError.
WentBack go_back(const TrainOptions& options, Communicator& ranks, TrainSetup& setup, std::uint64_t rollbacks);

/// How many roll-backs a checkpoint's training has made. Throws Error(data).
std::uint64_t rollbacks_of(const Checkpoint& checkpoint);
/// Writes that into its files.
void store_rollbacks(std::uint64_t rollbacks, Checkpoint& checkpoint);

/// Lowers the learning rates of both networks as so many roll-backs do.
void lower_learning_rates(Gan& gan, std::uint64_t rollbacks);

}  // namespace ganymede
