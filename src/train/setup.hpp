// Everything a training stands on, made from its options: data, device, networks, step.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "gan/gan.hpp"
#include "gan/step.hpp"
#include "gan/update_schedule.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/dataset.hpp"
#include "ganymede/trainer.hpp"
#include "train/memory.hpp"

namespace ganymede {

struct TrainSetup {
  Dataset dataset;
  ImageSet images;          // the data set's for training, as it is shown
  ImageSet held_out;        // its test images likewise, if it has any
  std::string data_digest;  // of what the training sees: images, and with classes their labels
  std::unique_ptr<Device> device;
  std::size_t free_memory = 0;  // of the device, before the training took any
  MemoryPlan memory;
  std::unique_ptr<Gan> gan;
  std::unique_ptr<GanStep> step;
  Shown from;  // what it goes on from, the start included
  TrainPlan plan;
  std::uint64_t rollbacks = 0;        // made before the checkpoint that it was resumed from
  std::vector<std::string> warnings;  // while it is made; then the plan has them
};

/// Checks the options, opens the data, makes the networks and, with --resume, loads the run's newest valid
/// checkpoint. Writes nothing. Collective; what is wrong is an AgreedError.
TrainSetup set_up(const TrainOptions& options, Communicator& ranks);

/// Steps that the options ask for on a set of `images` images, of a training that goes on from `from`: --epochs counts
/// the images that it saw there, whatever its batches were.
std::uint64_t total_steps(const TrainOptions& options, std::uint32_t images, const Shown& from = {});

}  // namespace ganymede
