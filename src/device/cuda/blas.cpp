// See blas.hpp. cuBLASLt is column-major: a row-major c = a · b is cᵀ = bᵀ · aᵀ there, with the operands swapped
// and each row-major matrix read as its transpose.
#include "device/cuda/blas.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <exception>
#include <map>
#include <string>
#include <tuple>

#include "device/cuda/alignment.hpp"
#include "device/cuda/runtime.hpp"
#include "ganymede/error.hpp"

namespace ganymede::cuda {
namespace {

// What NVIDIA recommends for Hopper; other GPUs do with less.
constexpr std::size_t workspace_bytes = std::size_t{32} << 20;

[[noreturn]] void fail(cublasStatus_t status, const std::string& what) {
  const std::string failure = "cuBLASLt could not " + what + " (" + cublasLtGetStatusName(status) + ", " +
                              cublasLtGetStatusString(status) + ")";
  if (status == CUBLAS_STATUS_ALLOC_FAILED) throw OutOfMemory(failure, 0);
  throw Error(ExitCode::launch, failure);
}
// No text is made where nothing failed: a step without a graph comes here for each product.
void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) fail(status, what);
}
std::string product_text(int m, int k, int n) {
  return std::to_string(m) + "×" + std::to_string(k) + " by " + std::to_string(k) + "×" + std::to_string(n);
}

cublasLtEpilogue_t cublas_name(Blas::Epilogue epilogue) {
  switch (epilogue) {
    case Blas::Epilogue::none:
      return CUBLASLT_EPILOGUE_DEFAULT;
    case Blas::Epilogue::bias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Blas::Epilogue::bias_relu:
      return CUBLASLT_EPILOGUE_RELU_BIAS;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

class Preference {
 public:
  Preference() { check(cublasLtMatmulPreferenceCreate(&preference_), "state a preference"); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  ~Preference() { cublasLtMatmulPreferenceDestroy(preference_); }
  template <class T>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &value, sizeof value), "state a preference");
  }
  [[nodiscard]] cublasLtMatmulPreference_t get() const { return preference_; }

 private:
  cublasLtMatmulPreference_t preference_ = nullptr;
};

}  // namespace

struct Blas::Plan {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t left = nullptr;
  cublasLtMatrixLayout_t right = nullptr;
  cublasLtMatrixLayout_t result = nullptr;
  cublasLtMatmulAlgo_t algorithm = {};
  enum { not_asked, none, chosen } state = not_asked;

  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    if (result != nullptr) cublasLtMatrixLayoutDestroy(result);
    if (right != nullptr) cublasLtMatrixLayoutDestroy(right);
    if (left != nullptr) cublasLtMatrixLayoutDestroy(left);
    if (operation != nullptr) cublasLtMatmulDescDestroy(operation);
  }
};

struct Blas::Plans {
  using Key = std::tuple<cudaDataType_t, bool, bool, int, int, int, bool, cublasLtEpilogue_t, std::uint32_t, int>;
  std::map<Key, Plan> by_shape;
  Memory workspace{workspace_bytes};
};

Blas::Blas(bool tf32) : tf32_(tf32), plans_(std::make_unique<Plans>()) { check(cublasLtCreate(&handle_), "start"); }

Blas::~Blas() {
  plans_.reset();
  // It frees memory: see CudaDevice::release().
  if (handle_ != nullptr && std::uncaught_exceptions() == 0) cublasLtDestroy(handle_);
}

bool Blas::multiply(cudaStream_t stream, bool transpose_a, bool transpose_b, int m, int n, int k, const float* a,
                    const float* b, bool accumulate, Epilogue epilogue, const float* bias, float* c) {
  return multiply(stream, CUDA_R_32F, transpose_a, transpose_b, m, n, k, a, b, accumulate, cublas_name(epilogue), bias,
                  c);
}

bool Blas::multiply(cudaStream_t stream, bool transpose_a, bool transpose_b, int m, int n, int k,
                    const std::uint16_t* a, const std::uint16_t* b, bool accumulate, Epilogue epilogue,
                    const float* bias, float* c) {
  return multiply(stream, CUDA_R_16BF, transpose_a, transpose_b, m, n, k, a, b, accumulate, cublas_name(epilogue), bias,
                  c);
}

// aᵀ is cuBLASLt's B there. Sums are of the result's type, as a bias is: float32.
bool Blas::multiply_and_sum(cudaStream_t stream, int m, int n, int k, const float* a, const float* b, float* c,
                            float* sums) {
  return multiply(stream, CUDA_R_32F, true, false, m, n, k, a, b, false, CUBLASLT_EPILOGUE_BGRADB, sums, c);
}

bool Blas::multiply_and_sum(cudaStream_t stream, int m, int n, int k, const std::uint16_t* a, const std::uint16_t* b,
                            float* c, float* sums) {
  return multiply(stream, CUDA_R_16BF, true, false, m, n, k, a, b, false, CUBLASLT_EPILOGUE_BGRADB, sums, c);
}

bool Blas::multiply(cudaStream_t stream, cudaDataType_t factors, bool transpose_a, bool transpose_b, int m, int n,
                    int k, const void* a, const void* b, bool accumulate, cublasLtEpilogue_t epilogue,
                    const float* bias, float* c) {
  const float one = 1.0F;
  const float old = accumulate ? 1.0F : 0.0F;
  const auto alignment = static_cast<std::uint32_t>(alignment_of(a, b, c, 256));
  // An algorithm is chosen for a bias that lies as this one does.
  const int bias_alignment = alignment_of(bias, nullptr, nullptr, 256);
  Plan& plan =
      plans_->by_shape[{factors, transpose_a, transpose_b, m, n, k, accumulate, epilogue, alignment, bias_alignment}];
  if (plan.state == Plan::none) return false;
  if (plan.operation == nullptr) {
    const cublasComputeType_t compute =
        tf32_ && factors == CUDA_R_32F ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    check(cublasLtMatmulDescCreate(&plan.operation, compute, CUDA_R_32F), "describe a product");
    const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
      check(cublasLtMatmulDescSetAttribute(plan.operation, attribute, &value, sizeof value), "describe a product");
    };
    // The first factor there is bᵀ, the second aᵀ; a row-major matrix is already its transpose.
    set(CUBLASLT_MATMUL_DESC_TRANSA, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    const auto describe = [](cublasLtMatrixLayout_t& layout, cudaDataType_t type, int rows, int columns) {
      check(cublasLtMatrixLayoutCreate(&layout, type, static_cast<std::uint64_t>(rows),
                                       static_cast<std::uint64_t>(columns), rows),
            "describe a matrix");
    };
    describe(plan.left, factors, transpose_b ? k : n, transpose_b ? n : k);
    describe(plan.right, factors, transpose_a ? m : k, transpose_a ? k : m);
    describe(plan.result, CUDA_R_32F, n, m);
  }
  if (epilogue != CUBLASLT_EPILOGUE_DEFAULT)
    check(cublasLtMatmulDescSetAttribute(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
          "take a bias");
  if (plan.state == Plan::not_asked) {
    Preference preference;
    preference.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
    // It takes arrays for aligned to 256 bytes unless it is told; a layer's weights lie where those before them end.
    for (const cublasLtMatmulPreferenceAttributes_t least :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      preference.set(least, alignment);
    // From the fastest to the slowest; each says for itself whether it is one.
    std::array<cublasLtMatmulHeuristicResult_t, 8> found = {};
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_, plan.operation, plan.left, plan.right, plan.result, plan.result,
                                       preference.get(), static_cast<int>(found.size()), found.data(), &count);
    if (status != CUBLAS_STATUS_SUCCESS && status != CUBLAS_STATUS_NOT_SUPPORTED)
      fail(status, "find an algorithm for a product of " + product_text(m, k, n));
    const auto end = status == CUBLAS_STATUS_SUCCESS ? found.begin() + count : found.begin();
    const auto first =
        std::find_if(found.begin(), end, [](const auto& one) { return one.state == CUBLAS_STATUS_SUCCESS; });
    plan.state = first != end ? Plan::chosen : Plan::none;
    if (first == end) return false;
    plan.algorithm = first->algo;
  }
  const cublasStatus_t status =
      cublasLtMatmul(handle_, plan.operation, &one, b, plan.left, a, plan.right, &old, c, plan.result, c, plan.result,
                     &plan.algorithm, plans_->workspace.as<void>(), workspace_bytes, stream);
  if (status != CUBLAS_STATUS_SUCCESS) fail(status, "multiply " + product_text(m, k, n));
  return true;
}

}  // namespace ganymede::cuda
