// Which of the kernels' compilations this machine can run.
#pragma once

#include <vector>

#include "device/cpu/kernels.hpp"

namespace ganymede::cpu {

struct InstructionSet {
  const char* name;
  const char* short_name;  ///< for people
  const Kernels* kernels;
};

/// Narrowest first; never empty.
std::vector<InstructionSet> instruction_sets();

}  // namespace ganymede::cpu
