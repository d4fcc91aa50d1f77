// What the simulated cuBLASLt and NCCL contribute to the state of the simulation.
#pragma once

#include <string>
#include <vector>

namespace cuda_sim {

void reset_cublaslt();
void reset_nccl();
void describe_cublaslt_leaks(std::vector<std::string>& to);
void describe_nccl_leaks(std::vector<std::string>& to);

inline void reset_libraries() {
  reset_cublaslt();
  reset_nccl();
}

inline void describe_library_leaks(std::vector<std::string>& to) {
  describe_cublaslt_leaks(to);
  describe_nccl_leaks(to);
}

}  // namespace cuda_sim
