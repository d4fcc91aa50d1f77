// The kernels of mutants.hpp.
#include "device/cuda/launch.hpp"
#include "unit/cuda_kernels/mutants.hpp"

namespace ganymede::mutants {
namespace {

using cuda::launch;

__global__ void reverse_kernel(Kind kind, const float* from, float* to) {
  GANYMEDE_SHARED(float, shared, [64]);
  const unsigned i = threadIdx.x;
  shared[i] = from[i];
  if (kind != Kind::no_barrier) __syncthreads();
  if (kind == Kind::divergent_barrier && i < 32) __syncthreads();
  if (kind == Kind::divergent_warp_barrier && i % 2 == 0) __syncwarp();
  to[kind == Kind::out_of_bounds ? i + 1 : i] = shared[63 - i];
}

__global__ void ticket_kernel(Ticket kind, unsigned* ticket, float* partial, float* total) {
  GANYMEDE_SHARED(bool, last, [1]);
  // Written by the second warp, published by the first.
  if (threadIdx.x == 32) partial[blockIdx.x] = static_cast<float>(blockIdx.x);
  if (kind != Ticket::no_block_barrier) __syncthreads();
  if (threadIdx.x == 0) {
    if (kind != Ticket::no_release) __threadfence();
    if (kind == Ticket::no_atomic) {
      last[0] = ++*ticket == gridDim.x;
    } else {
      last[0] = atomicAdd(ticket, 1U) + 1U == gridDim.x;
    }
    if (kind != Ticket::no_acquire) __threadfence();
  }
  __syncthreads();
  if (!last[0] || threadIdx.x != 33) return;
  float sum = 0.0F;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += partial[i];
  *total = sum;
}

__global__ void swap_kernel(Warp kind, const float* from, float* through, float* to) {
  const unsigned i = threadIdx.x;
  through[i] = from[i];
  if (kind == Warp::barrier) {
    __syncwarp();
  } else {
    __shfl_sync(~0U, 0, 0);
  }
  to[i] = through[i ^ 1U];
}

__global__ void vote_kernel(const float* from, unsigned* votes) {
  const unsigned positive = __ballot_sync(~0U, from[threadIdx.x] > 0.0F);
  if (threadIdx.x == 7) *votes = positive;
}

__global__ void all_write_kernel(float* to) { *to = 1.0F; }

__global__ void read_unwritten_kernel(float* to) {
  GANYMEDE_SHARED(float, shared, [32]);
  to[threadIdx.x] = shared[threadIdx.x];
}

__global__ void peek_kernel(float* to) {
  GANYMEDE_SHARED(float, shared, [32]);
  to[blockIdx.x * 32 + threadIdx.x] = shared[threadIdx.x];
  shared[threadIdx.x] = 1.0F;
}

}  // namespace

void reverse(Kind kind, const float* from, float* to) {
  launch<reverse_kernel>("reverse", 1, 64, nullptr, kind, from, to);
}
void sum_of_blocks(Ticket kind, unsigned blocks, unsigned* ticket, float* partial, float* total) {
  launch<ticket_kernel>("sum_of_blocks", blocks, 64, nullptr, kind, ticket, partial, total);
}
void swap_neighbours(Warp kind, const float* from, float* through, float* to) {
  launch<swap_kernel>("swap_neighbours", 1, 32, nullptr, kind, from, through, to);
}
void vote(const float* from, unsigned* votes) { launch<vote_kernel>("vote", 1, 32, nullptr, from, votes); }
void all_write(unsigned blocks, float* to) { launch<all_write_kernel>("all_write", blocks, 32, nullptr, to); }
void read_unwritten(float* to) { launch<read_unwritten_kernel>("read_unwritten", 1, 32, nullptr, to); }
void peek(unsigned blocks, float* to) { launch<peek_kernel>("peek", blocks, 32, nullptr, to); }

}  // namespace ganymede::mutants
