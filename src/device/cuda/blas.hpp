// Matrix products of float32 or bfloat16 by cuBLASLt, for sizes where a library's tuning beats a launch less: see
// CudaDevice::large(). Heuristics and plans are made at the first call of a shape and kept.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

namespace ganymede::cuda {

class Blas {
 public:
  /// `tf32`: products of float32 may be rounded to 10 bits of fraction on tensor cores.
  explicit Blas(bool tf32);
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;
  ~Blas();

  /// What is done with a result besides: nothing, or + bias[column], or that and ReLU.
  enum class Epilogue { none, bias, bias_relu };

  /// c[m, n] = op(a) · op(b) (+ c with `accumulate`), all row-major. op(a) is [m, k]: a is [m, k], or [k, m] when
  /// `transpose_a`; op(b) is [k, n] likewise. `bias` [n], at an address that takes_bias() likes, with an epilogue that
  /// takes one. False, and nothing is enqueued, where cuBLASLt has no algorithm for such a product.
  [[nodiscard]] bool multiply(cudaStream_t stream, bool transpose_a, bool transpose_b, int m, int n, int k,
                              const float* a, const float* b, bool accumulate, Epilogue epilogue, const float* bias,
                              float* c);
  /// The same of factors that are bfloat16; sums and result are float32.
  [[nodiscard]] bool multiply(cudaStream_t stream, bool transpose_a, bool transpose_b, int m, int n, int k,
                              const std::uint16_t* a, const std::uint16_t* b, bool accumulate, Epilogue epilogue,
                              const float* bias, float* c);
  /// c[m, n] = aᵀ · b of a [k, m] and b [k, n], and sums [m] of a's columns, all overwritten; `sums` at an address
  /// that takes_bias() likes. False as above.
  [[nodiscard]] bool multiply_and_sum(cudaStream_t stream, int m, int n, int k, const float* a, const float* b,
                                      float* c, float* sums);
  [[nodiscard]] bool multiply_and_sum(cudaStream_t stream, int m, int n, int k, const std::uint16_t* a,
                                      const std::uint16_t* b, float* c, float* sums);
  /// Epilogues read or write a bias in vectors; its address alone tells cuBLASLt of its alignment.
  static bool takes_bias(const float* bias) { return reinterpret_cast<std::uintptr_t>(bias) % 16 == 0; }

 private:
  bool multiply(cudaStream_t stream, cudaDataType_t factors, bool transpose_a, bool transpose_b, int m, int n, int k,
                const void* a, const void* b, bool accumulate, cublasLtEpilogue_t epilogue, const float* bias,
                float* c);
  struct Plan;
  struct Plans;
  cublasLtHandle_t handle_ = nullptr;
  bool tf32_;
  std::unique_ptr<Plans> plans_;
};

}  // namespace ganymede::cuda
