// Small kernels, right and wrong on purpose: what the emulation must let pass and what it must find.
#pragma once

#include <cuda_runtime_api.h>

namespace ganymede::mutants {

enum class Kind { right, no_barrier, divergent_barrier, divergent_warp_barrier, out_of_bounds };
/// to[i] = from[n - 1 - i] for one block of n = 64 threads, through shared memory.
void reverse(Kind kind, const float* from, float* to);

enum class Ticket { right, no_release, no_acquire, no_block_barrier, no_atomic };
/// *total = blocks · (blocks - 1) / 2, added by the block that finds the others done.
void sum_of_blocks(Ticket kind, unsigned blocks, unsigned* ticket, float* partial, float* total);

enum class Warp { barrier, shuffle_alone };
/// to[i] = from[i ^ 1] within a warp, through global memory, ordered by __syncwarp or by nothing.
void swap_neighbours(Warp kind, const float* from, float* through, float* to);

/// *votes = the lanes i with from[i] > 0, found by a ballot.
void vote(const float* from, unsigned* votes);

/// Every thread of every block writes the same word.
void all_write(unsigned blocks, float* to);

/// Reads shared memory that nothing wrote.
void read_unwritten(float* to);

/// *to gets what blocks leave in shared memory for the next: NaN, if there is nothing to be seen.
void peek(unsigned blocks, float* to);

}  // namespace ganymede::mutants
