// A generator that was saved: what was read of it, and its network.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/saved_run.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/network.hpp"

namespace ganymede::cli {

struct SavedGenerator {
  std::string kind;  ///< kind_text()
  std::string source;
  std::uint64_t step = 0;
  bool averaged = false;    ///< the weights are the moving average
  std::string data_digest;  ///< of the images it was trained on; empty where it does not say
  TrainOptions options;
  DataShape shape;
  TensorFile weights;                       ///< that pictures are drawn from; they are numbers
  std::optional<TensorFile> discriminator;  ///< where it holds one
};

/// Says on stderr what was passed over. Throws Error.
SavedGenerator read_saved_generator(const std::string& place);

/// Rank 0 reads; the others get what it read, so that no other host needs to have the run. Collective; throws
/// AgreedError.
SavedGenerator read_saved_generator(const std::string& place, Communicator& ranks);

/// With its weights. Throws Error(data) where they do not fit the options.
Network load_generator(const SavedGenerator& saved, Device& device);

}  // namespace ganymede::cli
