// --init-from: weights files that a training starts from.
#pragma once

#include <string>
#include <vector>

#include "gan/gan.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

/// Puts the weights of options.init_from, which rank 0 reads, in place of the drawn ones, and G's into its average. A
/// file says by its metadata of which network it is; one that does not, PyTorch's, is of the one whose tensors it has,
/// all of them and no others. Returns where the weights are from, in words; where a file says that its network differs
/// in what no tensor shows, such as an activation, that goes to `warnings`. Collective; what is wrong is an
/// AgreedError, which names the tensor, the shape that is needed and the one that was found.
std::string load_initial_weights(const TrainOptions& options, Communicator& ranks, Gan& gan,
                                 std::vector<std::string>& warnings);

}  // namespace ganymede
