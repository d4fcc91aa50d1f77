// What makes a module for the program of the simulated backend (src/device/cuda/module.cpp is the other part):
// $GANYMEDE_CUDA_MODULE names it to a test's ranks, whose environment says what their GPUs are and which call fails
// (cuda_sim.hpp).
#include "cuda_backend/connect.hpp"

namespace {

[[gnu::constructor]] void connect() { ganymede::testing::connect_kernels(); }

}  // namespace
