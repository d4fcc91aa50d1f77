// Whether the ranks' replicas are still the same, to the bit.
#pragma once

#include <string>
#include <vector>

#include "gan/gan.hpp"

namespace ganymede {

/// Of all that a checkpoint holds, in the memory as it is: parameters, moments, G's average.
std::string replica_digest(const Gan& gan);

/// What to say of digests that are not all the same: who differs, and what to do about it.
struct OddReplicas {
  std::string who;  ///< empty when all are the same
  std::string remedy;
};

/// `digests` and `hosts` by rank.
OddReplicas odd_replicas(const std::vector<std::string>& digests, const std::vector<std::string>& hosts);

}  // namespace ganymede
