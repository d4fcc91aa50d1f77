// The ranks of an MPI job.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "comm/node_memory.hpp"
#include "ganymede/communicator.hpp"

namespace ganymede::comm {

struct MpiOptions {
  /// Cuts each host into nodes of at most this many ranks, as if they were hosts of their own; 0: does not.
  int ranks_per_node = 0;
  /// With more nodes sums go over them by MPI's own algorithms: of the messages of comm/host_sum.hpp there would be
  /// many small ones.
  int most_hosts = 64;
  /// Where shared memory may lie, best first. When none has room, ranks exchange messages instead.
  std::vector<std::filesystem::path> shared_memory = shared_memory_folders();
};

/// Initialises MPI unless it already is, and then ends it in the communicator's destructor. Collective.
std::unique_ptr<Communicator> make_mpi_communicator(const MpiOptions& options);

}  // namespace ganymede::comm
