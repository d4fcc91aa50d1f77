// The arithmetic in src/math/ is written once and used by the vectorised CPU loops, by host code and by
// CUDA kernels. GANYMEDE_MATH marks such a function. It is always inlined: the CPU loops are compiled
// once per instruction set, and an out-of-line copy could end up being the one that an older CPU runs.
#pragma once

#if defined(__CUDACC__)
#define GANYMEDE_MATH __host__ __device__ __forceinline__
#else
#define GANYMEDE_MATH inline __attribute__((always_inline))
#endif
