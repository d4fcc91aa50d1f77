// The ranks that a launcher has started on this host, before MPI has brought them together: as /proc shows them.
#pragma once

#include <cstdint>
#include <map>

namespace ganymede::comm {

/// The processes that have this one's parent and a rank in their environment, by rank, itself included. Empty where no
/// launcher gave ranks.
std::map<int, std::uint64_t> sibling_ranks();

/// How many ranks the launcher says it has started in all; 1 where it says nothing.
int launched_ranks();

/// This process's rank by the launcher; 0 where it says nothing.
int launched_rank();

/// Of several processes that a launcher failed to bring together, one speaks: whether it is this one. To be asked
/// before MPI starts, which sets such variables itself.
bool is_first_task();

}  // namespace ganymede::comm
