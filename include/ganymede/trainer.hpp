// Training from C++: what `ganymede train` does, as a function.
//
//   auto ranks = ganymede::make_communicator();
//   ganymede::TrainOptions options;
//   options.out = "runs/first";
//   ganymede::train(options, *ranks);
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ganymede/communicator.hpp"
#include "ganymede/metrics.hpp"
#include "ganymede/options.hpp"
#include "ganymede/share_folder.hpp"

namespace ganymede {

/// A training as it will run, everything resolved: rows of a table for people.
struct TrainPlan {
  std::vector<std::pair<std::string, std::string>> rows;
  std::uint64_t steps = 0;  ///< in all, of which `first_step` are already done
  std::uint64_t first_step = 0;
  double epochs = 0;
  /// Bytes that rank 0's device will hold of it, by what they are for.
  std::vector<std::pair<std::string, std::size_t>> memory;
  std::vector<std::string> warnings;  ///< what a user should know before: checkpoints that were passed over, say
};

/// What a caller may want to show while training runs. All are called on rank 0 alone; each may be empty.
struct TrainEvents {
  std::function<void(const TrainPlan&)> planned;
  /// `seconds_left` is an estimate, `last` the end of the training.
  std::function<void(const MetricsRecord&, double seconds_left, bool last)> progressed;
  std::function<void(const std::string&)> warned;
  /// A diagnosis says that the training goes wrong, or no longer does; what it says goes to `warned`.
  std::function<void(bool)> troubled;
};

struct TrainOutcome {
  std::uint64_t steps = 0;        ///< completed in all
  bool interrupted = false;       ///< stopped by request, with a complete checkpoint
  std::filesystem::path picture;  ///< the last sample grid
  std::filesystem::path report;   ///< the run's page; on rank 0, and empty where it could not be written
  /// Bytes: the most that a rank's process has had, on a CPU; what its training had taken of a GPU at the end. Of the
  /// rank with most.
  std::size_t memory = 0;
  /// XXH3-128 over the bytes of the weights that generator.safetensors (G's average with `ema`) and
  /// discriminator.safetensors hold, as `ganymede inspect` prints it.
  std::string generator_digest;
  std::string discriminator_digest;
  MetricsRecord last;
};

/// Trains as the options say and leaves a run's folder behind. Collective over `ranks`. `recipe` is only
/// mentioned in config.ini. Errors that concern all ranks are AgreedError on every one of them; anything
/// else is this rank's alone, and the caller must end the others (Communicator::abort).
TrainOutcome train(const TrainOptions& options, Communicator& ranks, const TrainEvents& events = {},
                   const std::string& recipe = {});

/// The same checks and the plan, without training and without writing anything.
TrainPlan plan_training(const TrainOptions& options, Communicator& ranks);

/// Asks the training of this process to stop at the next step boundary, on all ranks, with a checkpoint.
/// Meant for one training, the one under way or else the next: it is forgotten when that returns.
/// Safe to call from a signal handler.
void request_stop() noexcept;

/// Lets SIGINT, SIGTERM, SIGUSR1 and, unless it is ignored, SIGHUP call request_stop(); a second SIGINT within two
/// seconds ends the process at once.
void stop_on_signals();

}  // namespace ganymede
