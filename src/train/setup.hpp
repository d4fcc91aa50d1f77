// Everything a training stands on, made from its options: data, device, networks, step.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "gan/gan.hpp"
#include "gan/step.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/dataset.hpp"
#include "ganymede/trainer.hpp"

namespace ganymede {

struct TrainSetup {
  Dataset dataset;
  ImageSet images;          // the data set's for training, as it is shown
  std::string data_digest;  // of what the training sees: images, and with classes their labels
  std::unique_ptr<Device> device;
  std::unique_ptr<Gan> gan;
  std::unique_ptr<GanStep> step;
  std::uint64_t images_seen = 0;  // by the checkpoint that it goes on from
  TrainPlan plan;
  std::uint64_t rollbacks = 0;        // made before the checkpoint that it was resumed from
  std::vector<std::string> warnings;  // while it is made; then the plan has them
};

/// Text that rank 0 has, on every rank. Collective.
std::string shared_text(Communicator& ranks, std::string text);

/// Refuses a run's folder that is missing from the options, or that could not be made or written to. Throws Error.
void check_run_place(const TrainOptions& options);

/// Whether a training was begun in the run's folder.
bool holds_run(const TrainOptions& options);

/// Refuses one that already holds a run which is not to be resumed. Throws Error(usage).
void check_no_other_run(const TrainOptions& options);

/// Checks the options, opens the data, makes the networks and, with --resume, loads the run's newest valid
/// checkpoint. Writes nothing. Collective; what is wrong is an AgreedError.
TrainSetup set_up(const TrainOptions& options, Communicator& ranks);

/// This rank's device, of one kind on all ranks: with --device auto a GPU where every rank has one. A CPU has the
/// option's threads (0: the node's cores shared by its ranks) and the widest instruction set that all ranks have.
/// What a user should know of the choice goes to `warnings`. Collective; what is wrong is an AgreedError.
std::unique_ptr<Device> make_agreed_device(const TrainOptions& options, Communicator& ranks,
                                           std::vector<std::string>& warnings);

/// The same for work that is the CPU's: as with --device cpu and these --threads.
std::unique_ptr<Device> make_agreed_cpu_device(int threads, Communicator& ranks, std::vector<std::string>& warnings);

/// Steps that the options ask for on a set of `images` images.
std::uint64_t total_steps(const TrainOptions& options, std::uint32_t images);

}  // namespace ganymede
