// This rank's device, chosen by all ranks together.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ganymede/communicator.hpp"
#include "ganymede/device.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

/// This rank's device, of one kind on all ranks: with --device auto a GPU where every rank has one. A CPU has the
/// option's threads (0: the node's cores shared by its ranks) and the widest instruction set that all ranks have.
/// What a user should know of the choice goes to `warnings`. Collective; what is wrong is an AgreedError.
std::unique_ptr<Device> make_agreed_device(const TrainOptions& options, Communicator& ranks,
                                           std::vector<std::string>& warnings);

/// The same for work that is the CPU's: as with --device cpu and these --threads.
std::unique_ptr<Device> make_agreed_cpu_device(int threads, Communicator& ranks, std::vector<std::string>& warnings);

/// CPU ranks have chosen one instruction set for all; GPUs are what they are. What differs is a warning, or with
/// --reproducible an AgreedError(launch). Collective.
void check_same_arithmetic(const TrainOptions& options, const Device& device, Communicator& ranks,
                           std::vector<std::string>& warnings);

}  // namespace ganymede
