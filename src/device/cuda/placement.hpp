// Which rank gets which GPU, and what people are told of it.
#pragma once

#include <string>
#include <vector>

#include "device/cuda_module.hpp"
#include "ganymede/communicator.hpp"

namespace ganymede::cuda {

/// Where a rank ended up.
struct Place {
  std::string host;
  std::string pci_id;
  std::string gpu;  ///< its name
  int index = 0;    ///< among the GPUs that this rank sees
};

/// The index of the GPU that a rank takes: `wanted` if it is not negative, the only one where a rank sees but one (as
/// Slurm's --gpus-per-task arranges it), else the node's ranks take them in turn. Throws Error(launch) where there is
/// no GPU of that index.
int choose_gpu(int wanted, int node_rank, int gpus);

/// Why these places cannot train together: ranks that share a GPU, which NCCL refuses. Empty when they can.
std::string conflict(const std::vector<Place>& places);

/// Chooses this rank's GPU, makes it current, and learns where the others are; throws AgreedError where ranks share
/// one and `shared` does not allow it. Collective.
std::vector<Place> place_ranks(Communicator& ranks, int wanted, bool shared);

}  // namespace ganymede::cuda
