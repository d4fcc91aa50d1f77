// cuBLASLt's matrix products, D = epilogue(alpha · op(A) · op(B) + beta · C), by plain loops over CPU memory. Types:
// float32 (plain, or rounded to TF32 where the compute type allows) and bfloat16, accumulated in float32. Orders:
// column-major and row-major. Each product is one kernel node; its workspace counts as written. What is not simulated
// is CUBLAS_STATUS_NOT_SUPPORTED, from the heuristic and from the product; an epilogue may be left without algorithms
// (refuse_epilogue()).
#include <cublasLt.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <set>
#include <vector>

#include "cuda_sim/devices.hpp"
#include "cuda_sim/errors.hpp"
#include "cuda_sim/graphs.hpp"
#include "cuda_sim/libraries.hpp"
#include "cuda_sim/memory.hpp"
#include "cuda_sim/scheduler.hpp"
#include "support/tf32.hpp"

namespace cuda_sim {
namespace {

struct Product {
  std::int32_t compute = CUBLAS_COMPUTE_32F;
  std::int32_t scale = CUDA_R_32F;
  std::int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  std::int32_t transpose_a = CUBLAS_OP_N;
  std::int32_t transpose_b = CUBLAS_OP_N;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  void* bias = nullptr;
  std::int32_t bias_type = -1;  ///< -1: D's
};

struct Layout {
  std::uint32_t type = CUDA_R_32F;
  std::int32_t order = CUBLASLT_ORDER_COL;
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;
  std::int64_t leading = 0;

  [[nodiscard]] bool by_columns() const { return order == CUBLASLT_ORDER_COL; }
  [[nodiscard]] std::size_t at(std::size_t row, std::size_t column) const {
    const auto stride = static_cast<std::size_t>(leading);
    return by_columns() ? column * stride + row : row * stride + column;
  }
  [[nodiscard]] std::size_t element() const { return type == CUDA_R_32F ? 4 : 2; }
  [[nodiscard]] bool supported() const {
    return (type == CUDA_R_32F || type == CUDA_R_16BF) &&
           (order == CUBLASLT_ORDER_COL || order == CUBLASLT_ORDER_ROW) && rows > 0 && columns > 0 &&
           static_cast<std::uint64_t>(leading) >= (by_columns() ? rows : columns);
  }
  /// The bytes of each column (or row), or of all where they adjoin.
  void touch(const void* begin, bool write, std::vector<Access>& to) const {
    const std::size_t line = by_columns() ? rows : columns;
    const std::size_t lines = by_columns() ? columns : rows;
    const auto stride = static_cast<std::size_t>(leading);
    if (line == stride) {
      to.push_back({begin, line * lines * element(), write});
      return;
    }
    for (std::size_t i = 0; i < lines; ++i) {
      to.push_back({static_cast<const std::byte*>(begin) + i * stride * element(), line * element(), write});
    }
  }
};

struct Preference {
  std::uint64_t workspace = 0;
};

struct Lt {
  std::set<const void*> handles, products, layouts, preferences;
  std::set<std::uint32_t> refused;  ///< epilogues
};

Lt& lt() {
  static auto* const state = new Lt;
  return *state;
}

// Descriptors are opaque to programs: their handles point at ours.
Product* product_of(cublasLtMatmulDesc_t handle) {
  return lt().products.count(handle) == 1 ? reinterpret_cast<Product*>(handle) : nullptr;
}
Layout* layout_of(cublasLtMatrixLayout_t handle) {
  return lt().layouts.count(handle) == 1 ? reinterpret_cast<Layout*>(handle) : nullptr;
}
Preference* preference_of(cublasLtMatmulPreference_t handle) {
  return lt().preferences.count(handle) == 1 ? reinterpret_cast<Preference*>(handle) : nullptr;
}

template <class Ours, class Handle>
void hand_out(Ours* fresh, Handle* to, std::set<const void*>& known) {
  *to = reinterpret_cast<Handle>(fresh);
  known.insert(fresh);
}

template <class Ours>
cublasStatus_t take_back(Ours* ours, std::set<const void*>& known) {
  if (ours == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  known.erase(ours);
  delete ours;
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
cublasStatus_t assign(T& to, const void* from, std::size_t bytes) {
  if (from == nullptr || bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, from, sizeof(T));
  return CUBLAS_STATUS_SUCCESS;
}

/// One problem, as the heuristic and the product see it.
struct Problem {
  Product product;
  Layout a, b, c, d;

  [[nodiscard]] std::size_t m() const { return d.rows; }
  [[nodiscard]] std::size_t n() const { return d.columns; }
  [[nodiscard]] std::size_t k() const { return product.transpose_a == CUBLAS_OP_N ? a.columns : a.rows; }
  [[nodiscard]] bool bias() const { return (product.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0; }

  [[nodiscard]] cublasStatus_t check() const {
    const bool ta = product.transpose_a != CUBLAS_OP_N;
    const bool tb = product.transpose_b != CUBLAS_OP_N;
    if ((ta ? a.columns : a.rows) != m() || (tb ? b.rows : b.columns) != n() || (tb ? b.columns : b.rows) != k() ||
        c.rows != m() || c.columns != n()) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    for (const Layout* layout : {&a, &b, &c, &d}) {
      if (!layout->supported()) return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (a.type != b.type || c.type != d.type || c.order != d.order) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (a.type == CUDA_R_32F && d.type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    const bool tf32 = product.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    if (product.compute != CUBLAS_COMPUTE_32F && product.compute != CUBLAS_COMPUTE_32F_PEDANTIC && !tf32) {
      return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (product.scale != CUDA_R_32F || product.pointer_mode != CUBLASLT_POINTER_MODE_HOST) {
      return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    switch (product.epilogue) {
      case CUBLASLT_EPILOGUE_DEFAULT:
        return CUBLAS_STATUS_SUCCESS;
      case CUBLASLT_EPILOGUE_RELU:
        return CUBLAS_STATUS_SUCCESS;
      case CUBLASLT_EPILOGUE_BIAS:
      case CUBLASLT_EPILOGUE_RELU_BIAS:
      case CUBLASLT_EPILOGUE_BGRADA:
      case CUBLASLT_EPILOGUE_BGRADB:
        break;
      default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    const bool same_type = product.bias_type < 0 || static_cast<std::uint32_t>(product.bias_type) == d.type;
    return d.by_columns() && same_type ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
  }

  /// A fingerprint: an algorithm chosen for one problem does not serve another.
  [[nodiscard]] std::uint64_t fingerprint() const {
    std::uint64_t hash = 1469598103934665603U;  // FNV-1a
    const auto add = [&](std::uint64_t value) { hash = (hash ^ value) * 1099511628211U; };
    for (const Layout* layout : {&a, &b, &c, &d}) {
      add(layout->type);
      add(static_cast<std::uint64_t>(layout->order));
      add(layout->rows);
      add(layout->columns);
      add(static_cast<std::uint64_t>(layout->leading));
    }
    add(static_cast<std::uint64_t>(product.compute));
    add(static_cast<std::uint64_t>(product.transpose_a));
    add(static_cast<std::uint64_t>(product.transpose_b));
    add(product.epilogue);
    return hash;
  }
};

bool make_problem(cublasLtMatmulDesc_t product, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                  cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, Problem& to) {
  if (product_of(product) == nullptr) return false;
  for (const auto layout : {a, b, c, d}) {
    if (layout_of(layout) == nullptr) return false;
  }
  to = {*product_of(product), *layout_of(a), *layout_of(b), *layout_of(c), *layout_of(d)};
  return true;
}

/// The largest power of two, up to 256, that an address is a multiple of; of none 256.
std::uint64_t alignment_of(const void* address) {
  const auto bits = reinterpret_cast<std::uintptr_t>(address) | 256U;
  return bits & (~bits + 1);
}

constexpr std::uint64_t algorithm_mark = 0x73696d756c61746dU;

float from_bfloat16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (value != value) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

float load(const Layout& layout, const void* from, std::size_t row, std::size_t column) {
  const std::size_t at = layout.at(row, column);
  return layout.type == CUDA_R_32F ? static_cast<const float*>(from)[at]
                                   : from_bfloat16(static_cast<const std::uint16_t*>(from)[at]);
}

void store(const Layout& layout, void* to, std::size_t at, float value) {
  if (layout.type == CUDA_R_32F) {
    static_cast<float*>(to)[at] = value;
  } else {
    static_cast<std::uint16_t*>(to)[at] = to_bfloat16(value);
  }
}

/// op(X) as dense rows: [rows of op(X)][columns of op(X)], or transposed.
std::vector<float> pack(const Layout& layout, const void* from, bool swap, bool tf32) {
  const std::size_t rows = swap ? layout.columns : layout.rows;
  const std::size_t columns = swap ? layout.rows : layout.columns;
  std::vector<float> result(rows * columns);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      const float value = swap ? load(layout, from, column, row) : load(layout, from, row, column);
      result[row * columns + column] = tf32 ? ganymede::testing::nearest_tf32(value) : value;
    }
  }
  return result;
}

void compute(const Problem& problem, float alpha, float beta, const void* a, const void* b, const void* c, void* d) {
  const std::size_t m = problem.m();
  const std::size_t n = problem.n();
  const std::size_t k = problem.k();
  const bool tf32 = problem.product.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && problem.a.type == CUDA_R_32F;
  // a_by_k[k][m] and b_by_n[n][k]: the inner loop runs over m, four columns of D at once.
  const std::vector<float> a_by_k = pack(problem.a, a, problem.product.transpose_a == CUBLAS_OP_N, tf32);
  const std::vector<float> b_by_n = pack(problem.b, b, problem.product.transpose_b == CUBLAS_OP_N, tf32);
  std::vector<float> bias(problem.bias() ? m : 0);
  Layout vector = problem.d;
  vector.rows = m;
  for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = load(vector, problem.product.bias, i, 0);
  const bool relu = (problem.product.epilogue & CUBLASLT_EPILOGUE_RELU) != 0;

  std::vector<float> sums(4 * m);
  for (std::size_t column = 0; column < n; column += 4) {
    std::fill(sums.begin(), sums.end(), 0.0F);
    const std::size_t columns = std::min<std::size_t>(4, n - column);
    float* const s0 = sums.data();
    float* const s1 = s0 + m;
    float* const s2 = s1 + m;
    float* const s3 = s2 + m;
    const auto factor = [&](std::size_t j, std::size_t at) {
      return j < columns ? b_by_n[(column + j) * k + at] : 0.0F;
    };
    for (std::size_t at = 0; at < k; ++at) {
      const float* const line = a_by_k.data() + at * m;
      const float b0 = factor(0, at);
      const float b1 = factor(1, at);
      const float b2 = factor(2, at);
      const float b3 = factor(3, at);
      for (std::size_t i = 0; i < m; ++i) {
        s0[i] += b0 * line[i];
        s1[i] += b1 * line[i];
        s2[i] += b2 * line[i];
        s3[i] += b3 * line[i];
      }
    }
    for (std::size_t j = 0; j < columns; ++j) {
      for (std::size_t i = 0; i < m; ++i) {
        float value = alpha * sums[j * m + i];
        if (beta != 0.0F) value += beta * load(problem.c, c, i, column + j);
        if (!bias.empty()) value += bias[i];
        if (relu && value < 0.0F) value = 0.0F;
        store(problem.d, d, problem.d.at(i, column + j), value);
      }
    }
  }

  // Bias gradients: op(A) or op(B) summed over k.
  if (problem.product.epilogue == CUBLASLT_EPILOGUE_BGRADA) {
    for (std::size_t i = 0; i < m; ++i) {
      float sum = 0.0F;
      for (std::size_t at = 0; at < k; ++at) sum += a_by_k[at * m + i];
      store(vector, problem.product.bias, i, sum);
    }
  } else if (problem.product.epilogue == CUBLASLT_EPILOGUE_BGRADB) {
    for (std::size_t j = 0; j < n; ++j) {
      float sum = 0.0F;
      for (std::size_t at = 0; at < k; ++at) sum += b_by_n[j * k + at];
      store(vector, problem.product.bias, j, sum);
    }
  }
}

/// The workspace that a problem asks for, where there may be one: some need much, some none.
std::size_t wanted_workspace(const Problem& problem) { return problem.k() >= 64 ? 4096 : 0; }

bool overlap(const std::vector<Access>& accesses, const Access& with) {
  const auto* const begin = static_cast<const std::byte*>(with.begin);
  return std::any_of(accesses.begin(), accesses.end(), [&](const Access& access) {
    const auto* const other = static_cast<const std::byte*>(access.begin);
    return other < begin + with.bytes && begin < other + access.bytes;
  });
}

cublasStatus_t multiply(const Problem& problem, float alpha, float beta, const void* a, const void* b, const void* c,
                        void* d, const cublasLtMatmulAlgo_t* algorithm, void* workspace, std::size_t workspace_bytes,
                        Stream& stream) {
  if (const cublasStatus_t status = problem.check(); status != CUBLAS_STATUS_SUCCESS) return status;
  if (a == nullptr || b == nullptr || d == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  std::size_t needed = std::min(wanted_workspace(problem), workspace_bytes);
  if (algorithm != nullptr) {
    if (algorithm->data[0] != algorithm_mark) return CUBLAS_STATUS_INVALID_VALUE;
    if (algorithm->data[1] != problem.fingerprint()) return CUBLAS_STATUS_NOT_SUPPORTED;
    needed = algorithm->data[2];
  }
  if (needed > workspace_bytes || (needed > 0 && workspace == nullptr)) return CUBLAS_STATUS_INVALID_VALUE;

  auto work = std::make_shared<Work>();
  work->kind = cudaGraphNodeTypeKernel;
  work->name = "cublasLtMatmul " + std::to_string(problem.m()) + "x" + std::to_string(problem.n()) + "x" +
               std::to_string(problem.k());
  std::vector<Access>& accesses = work->accesses;
  problem.a.touch(a, false, accesses);
  problem.b.touch(b, false, accesses);
  const std::vector<Access> inputs = accesses;
  if (beta != 0.0F) problem.c.touch(c, false, accesses);
  std::vector<Access> outputs;
  problem.d.touch(d, true, outputs);
  const bool gradient =
      problem.product.epilogue == CUBLASLT_EPILOGUE_BGRADA || problem.product.epilogue == CUBLASLT_EPILOGUE_BGRADB;
  if (problem.bias() || gradient) {
    if (problem.product.bias == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    // Some kernels read it in vectors, and fault where it is not aligned for them.
    if (reinterpret_cast<std::uintptr_t>(problem.product.bias) % 16 != 0) {
      violation(work->name + ": its bias is not aligned to 16 bytes");
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (algorithm != nullptr && alignment_of(problem.product.bias) < algorithm->data[3]) {
      violation(work->name + ": its bias is less aligned than the one that its algorithm was chosen for");
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    const std::size_t count = problem.product.epilogue == CUBLASLT_EPILOGUE_BGRADB ? problem.n() : problem.m();
    (gradient ? outputs : accesses).push_back({problem.product.bias, count * problem.d.element(), gradient});
  }
  if (needed > 0) outputs.push_back({workspace, needed, true});
  for (const Access& output : outputs) {
    if (overlap(inputs, output)) {
      violation(work->name + " writes over its own inputs: the result is undefined");
      return CUBLAS_STATUS_INVALID_VALUE;
    }
  }
  accesses.insert(accesses.end(), outputs.begin(), outputs.end());
  work->run = [=] {
    if (needed > 0) std::memset(workspace, 0xFF, needed);
    compute(problem, alpha, beta, a, b, c, d);
  };
  return issue(stream, std::move(work)) == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // namespace

void reset_cublaslt() {
  for (const void* product : lt().products) delete static_cast<const Product*>(product);
  for (const void* layout : lt().layouts) delete static_cast<const Layout*>(layout);
  for (const void* preference : lt().preferences) delete static_cast<const Preference*>(preference);
  for (const void* handle : lt().handles) delete static_cast<const char*>(handle);
  lt() = Lt{};
}

void refuse_epilogue(int epilogue) { lt().refused.insert(static_cast<std::uint32_t>(epilogue)); }

void describe_cublaslt_leaks(std::vector<std::string>& to) {
  const auto tell = [&](const std::set<const void*>& left, const char* what) {
    if (!left.empty()) to.push_back(std::to_string(left.size()) + what);
  };
  tell(lt().handles, " cuBLASLt handle(s) were not destroyed");
  tell(lt().products, " matrix product descriptor(s) were not destroyed");
  tell(lt().layouts, " matrix layout(s) were not destroyed");
  tell(lt().preferences, " matrix product preference(s) were not destroyed");
}

}  // namespace cuda_sim

using namespace cuda_sim;  // NOLINT(google-build-using-namespace): the functions below are C

extern "C" {

cublasStatus_t CUBLASWINAPI cublasLtCreate(cublasLtHandle_t* handle) {
  const Call call(__func__, Call::cublas);
  if (call.failed()) return call.error<cublasStatus_t>();
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (use_device() != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  hand_out(new char('L'), handle, lt().handles);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t CUBLASWINAPI cublasLtDestroy(cublasLtHandle_t handle) {
  const Call call(__func__, Call::cublas);
  if (call.failed()) return call.error<cublasStatus_t>();
  if (lt().handles.count(handle) == 0) return CUBLAS_STATUS_NOT_INITIALIZED;
  return take_back(reinterpret_cast<char*>(handle), lt().handles);
}

size_t CUBLASWINAPI cublasLtGetVersion() { return CUBLAS_VERSION; }

const char* CUBLASWINAPI cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "CUBLAS_STATUS_UNKNOWN";
}

const char* CUBLASWINAPI cublasLtGetStatusString(cublasStatus_t status) { return cublasLtGetStatusName(status); }

cublasStatus_t CUBLASWINAPI cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* to, cublasComputeType_t compute,
                                                     cudaDataType_t scale) {
  const Call call(__func__, Call::cublas);
  if (call.failed()) return call.error<cublasStatus_t>();
  if (to == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  auto* const fresh = new Product;
  fresh->compute = compute;
  fresh->scale = scale;
  hand_out(fresh, to, lt().products);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t handle) {
  const Call call(__func__, Call::cublas);
  return call.failed() ? call.error<cublasStatus_t>() : take_back(product_of(handle), lt().products);
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t handle,
                                                           cublasLtMatmulDescAttributes_t attribute, const void* from,
                                                           size_t bytes) {
  const Call call(__func__, Call::cublas);
  if (call.failed()) return call.error<cublasStatus_t>();
  Product* const product = product_of(handle);
  if (product == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
      return assign(product->compute, from, bytes);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
      return assign(product->scale, from, bytes);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      return assign(product->pointer_mode, from, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return assign(product->transpose_a, from, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return assign(product->transpose_b, from, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return assign(product->epilogue, from, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return assign(product->bias, from, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return assign(product->bias_type, from, bytes);
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t CUBLASWINAPI cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* to, cudaDataType type, uint64_t rows,
                                                       uint64_t columns, int64_t leading) {
  const Call call(__func__, Call::cublas);
  if (call.failed()) return call.error<cublasStatus_t>();
  if (to == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  auto* const fresh = new Layout;
  fresh->type = type;
  fresh->rows = rows;
  fresh->columns = columns;
  fresh->leading = leading;
  hand_out(fresh, to, lt().layouts);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t CUBLASWINAPI cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t handle) {
  const Call call(__func__, Call::cublas);
  return call.failed() ? call.error<cublasStatus_t>() : take_back(layout_of(handle), lt().layouts);
}

cublasStatus_t CUBLASWINAPI cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t handle,
                                                             cublasLtMatrixLayoutAttribute_t attribute,
                                                             const void* from, size_t bytes) {
  const Call call(__func__, Call::cublas);
  if (call.failed()) return call.error<cublasStatus_t>();
  Layout* const layout = layout_of(handle);
  if (layout == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
      return assign(layout->type, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
      return assign(layout->order, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
      return assign(layout->rows, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
      return assign(layout->columns, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_LD:
      return assign(layout->leading, from, bytes);
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* to) {
  const Call call(__func__, Call::cublas);
  if (call.failed()) return call.error<cublasStatus_t>();
  if (to == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  hand_out(new Preference, to, lt().preferences);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t handle) {
  const Call call(__func__, Call::cublas);
  return call.failed() ? call.error<cublasStatus_t>() : take_back(preference_of(handle), lt().preferences);
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t handle,
                                                                 cublasLtMatmulPreferenceAttributes_t attribute,
                                                                 const void* from, size_t bytes) {
  const Call call(__func__, Call::cublas);
  if (call.failed()) return call.error<cublasStatus_t>();
  Preference* const preference = preference_of(handle);
  if (preference == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return assign(preference->workspace, from, bytes);
  std::uint32_t ignored = 0;  // what else narrows the choice among real kernels means nothing here
  return assign(ignored, from, bytes);
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                                           cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                                           cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                                           cublasLtMatmulPreference_t preference_handle, int requested,
                                                           cublasLtMatmulHeuristicResult_t results[], int* returned) {
  const Call call(__func__, Call::cublas);
  if (call.failed()) return call.error<cublasStatus_t>();
  if (lt().handles.count(handle) == 0) return CUBLAS_STATUS_NOT_INITIALIZED;
  const Preference* const preference = preference_of(preference_handle);
  Problem problem;
  if (preference == nullptr || requested < 1 || results == nullptr || returned == nullptr ||
      !make_problem(product, a, b, c, d, problem)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  *returned = 0;
  if (const cublasStatus_t status = problem.check(); status != CUBLAS_STATUS_SUCCESS) return status;
  if (lt().refused.count(problem.product.epilogue) == 1) return CUBLAS_STATUS_SUCCESS;
  // One that cannot be taken comes first: each has a state of its own.
  results[0] = {};
  results[0].state = CUBLAS_STATUS_NOT_SUPPORTED;
  *returned = std::min(requested, 2);
  if (requested < 2) return CUBLAS_STATUS_SUCCESS;
  cublasLtMatmulHeuristicResult_t& result = results[1];
  result = {};
  result.workspaceSize = std::min<std::size_t>(wanted_workspace(problem), preference->workspace);
  result.algo.data[0] = algorithm_mark;
  result.algo.data[1] = problem.fingerprint();
  result.algo.data[2] = result.workspaceSize;
  result.algo.data[3] = alignment_of(problem.product.bias);
  result.state = CUBLAS_STATUS_SUCCESS;
  result.wavesCount = 1.0F;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t CUBLASWINAPI cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product, const void* alpha,
                                           const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                                           cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                                           cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                                           const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                                           size_t workspace_bytes, cudaStream_t stream_handle) {
  const Call call(__func__, Call::cublas);
  if (call.failed()) return call.error<cublasStatus_t>();
  if (lt().handles.count(handle) == 0) return CUBLAS_STATUS_NOT_INITIALIZED;
  Stream* const stream = find_stream(stream_handle);
  Problem problem;
  if (stream == nullptr || alpha == nullptr || beta == nullptr ||
      !make_problem(product, a_layout, b_layout, c_layout, d_layout, problem)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  float scales[2];
  std::memcpy(&scales[0], alpha, sizeof(float));
  std::memcpy(&scales[1], beta, sizeof(float));
  if (scales[1] != 0.0F && c == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  return multiply(problem, scales[0], scales[1], a, b, c, d, algorithm, workspace, workspace_bytes, *stream);
}

}  // extern "C"
