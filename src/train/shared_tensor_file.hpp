// A file of tensors that rank 0 has read, for all ranks.
#pragma once

#include <string>

#include "ganymede/communicator.hpp"
#include "ganymede/tensor_file.hpp"

namespace ganymede {

/// Rank 0's `file` on every rank; the others' own goes. `source`, the same on all, is where it is from. Collective;
/// throws AgreedError.
TensorFile shared_tensor_file(Communicator& ranks, TensorFile file, const std::string& source);

}  // namespace ganymede
