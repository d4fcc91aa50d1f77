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
  int too_old = 0;  ///< of these the module has no code for
};

/// The index of the GPU that a rank takes, of which `supported` says which the module has code for: `wanted` if it is
/// not negative, the only supported one where a rank sees but one (as Slurm's --gpus-per-task arranges it), else the
/// node's ranks take these in turn. Where none is supported, all count: who uses one will say so. Throws Error(launch)
/// where there is no GPU of that index.
int choose_gpu(int wanted, int node_rank, const std::vector<bool>& supported);

/// Why these places cannot train together: ranks that share a GPU, which NCCL refuses. Empty when they can. `wanted`:
/// what all ranks were told to take; negative: nothing.
std::string conflict(const std::vector<Place>& places, int wanted = -1);

/// Chooses this rank's GPU, makes it current, and learns where the others are; throws AgreedError where ranks share
/// one and `shared` does not allow it. Collective.
std::vector<Place> place_ranks(Communicator& ranks, int wanted, bool shared);

}  // namespace ganymede::cuda
