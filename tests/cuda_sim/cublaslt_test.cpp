// Matrix products against plain loops in double, over every transposition, order, epilogue and type that is simulated;
// and the mistakes that must not go unnoticed.
#include <cublasLt.h>

#include <array>
#include <bit>
#include <cmath>
#include <random>

#include "cuda_sim/testing.hpp"

namespace cuda_sim::testing {
namespace {

#define LT_OK(call) ASSERT_EQ(call, CUBLAS_STATUS_SUCCESS)

struct Case {
  int m = 5, n = 7, k = 3;
  cublasOperation_t ta = CUBLAS_OP_N, tb = CUBLAS_OP_N;
  int pad = 0;  ///< leading dimensions beyond the rows
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cublasLtOrder_t order = CUBLASLT_ORDER_COL;
  float alpha = 1, beta = 0;
};

std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> result(count);
  for (float& value : result) value = uniform(random);
  return result;
}

/// A matrix as stored: rows, columns, leading dimension.
struct Matrix {
  int rows, columns, leading;
  bool by_columns;
  std::vector<float> values;
  Matrix(int r, int c, int pad, bool columns_first, unsigned seed)
      : rows(r), columns(c), leading((columns_first ? r : c) + pad), by_columns(columns_first) {
    values = random_values(static_cast<std::size_t>(leading) * static_cast<std::size_t>(columns_first ? c : r), seed);
  }
  [[nodiscard]] double at(int row, int column) const {
    return values[static_cast<std::size_t>(by_columns ? row + column * leading : row * leading + column)];
  }
};

class Lt : public Simulation {
 protected:
  void SetUp() override {
    Simulation::SetUp();
    stream_ = make_stream();
    ASSERT_EQ(cublasLtCreate(&handle_), CUBLAS_STATUS_SUCCESS);
  }
  void TearDown() override {
    EXPECT_EQ(cublasLtDestroy(handle_), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    Simulation::TearDown();
  }

  cublasLtMatrixLayout_t layout(cudaDataType type, int rows, int columns, int leading,
                                cublasLtOrder_t order = CUBLASLT_ORDER_COL) {
    cublasLtMatrixLayout_t result = nullptr;
    EXPECT_EQ(cublasLtMatrixLayoutCreate(&result, type, static_cast<std::uint64_t>(rows),
                                         static_cast<std::uint64_t>(columns), leading),
              CUBLAS_STATUS_SUCCESS);
    const std::int32_t value = order;
    EXPECT_EQ(cublasLtMatrixLayoutSetAttribute(result, CUBLASLT_MATRIX_LAYOUT_ORDER, &value, sizeof value),
              CUBLAS_STATUS_SUCCESS);
    layouts_.push_back(result);
    return result;
  }

  cublasLtMatmulDesc_t product(const Case& c, const void* bias = nullptr) {
    cublasLtMatmulDesc_t result = nullptr;
    EXPECT_EQ(cublasLtMatmulDescCreate(&result, c.compute, CUDA_R_32F), CUBLAS_STATUS_SUCCESS);
    const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const void* from, std::size_t bytes) {
      EXPECT_EQ(cublasLtMatmulDescSetAttribute(result, attribute, from, bytes), CUBLAS_STATUS_SUCCESS);
    };
    const std::int32_t ta = c.ta;
    const std::int32_t tb = c.tb;
    const std::uint32_t epilogue = c.epilogue;
    set(CUBLASLT_MATMUL_DESC_TRANSA, &ta, sizeof ta);
    set(CUBLASLT_MATMUL_DESC_TRANSB, &tb, sizeof tb);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
    return result;
  }

  void destroy_layouts() {
    for (const auto layout : layouts_) EXPECT_EQ(cublasLtMatrixLayoutDestroy(layout), CUBLAS_STATUS_SUCCESS);
    layouts_.clear();
  }

  /// The largest difference between the product and plain loops; the mutants change what is asked of cuBLASLt.
  double difference(const Case& c, const Case& asked, bool swap_leading = false) {
    const bool columns_first = c.order == CUBLASLT_ORDER_COL;
    const bool ta = c.ta != CUBLAS_OP_N;
    const bool tb = c.tb != CUBLAS_OP_N;
    const Matrix a(ta ? c.k : c.m, ta ? c.m : c.k, c.pad, columns_first, 1);
    const Matrix b(tb ? c.n : c.k, tb ? c.k : c.n, c.pad, columns_first, 2);
    const Matrix d(c.m, c.n, c.pad, columns_first, 3);
    const std::size_t bias_count = static_cast<std::size_t>(c.epilogue == CUBLASLT_EPILOGUE_BGRADB ? c.n : c.m);
    const std::vector<float> bias = random_values(bias_count, 4);
    float* const da = upload(a.values);
    float* const db = upload(b.values);
    float* const dd = upload(d.values);
    float* const dbias = upload(bias);
    const auto la = layout(CUDA_R_32F, a.rows, a.columns, swap_leading ? b.leading : a.leading, c.order);
    const auto lb = layout(CUDA_R_32F, b.rows, b.columns, swap_leading ? a.leading : b.leading, c.order);
    const auto ld = layout(CUDA_R_32F, d.rows, d.columns, d.leading, c.order);
    const auto desc = product(asked, dbias);
    const cublasStatus_t status =
        cublasLtMatmul(handle_, desc, &c.alpha, da, la, db, lb, &c.beta, dd, ld, dd, ld, nullptr, nullptr, 0, stream_);
    EXPECT_EQ(cublasLtMatmulDescDestroy(desc), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    destroy_layouts();
    const std::vector<float> result = fetch(dd, d.values.size());
    const std::vector<float> result_bias = fetch(dbias, bias.size());
    for (float* const x : {da, db, dd, dbias}) EXPECT_EQ(cudaFree(x), cudaSuccess);
    if (status != CUBLAS_STATUS_SUCCESS) return INFINITY;

    const auto op_a = [&](int i, int at) { return ta ? a.at(at, i) : a.at(i, at); };
    const auto op_b = [&](int at, int j) { return tb ? b.at(j, at) : b.at(at, j); };
    Matrix expected = d;
    for (int i = 0; i < c.m; ++i) {
      for (int j = 0; j < c.n; ++j) {
        double sum = 0;
        for (int at = 0; at < c.k; ++at) sum += op_a(i, at) * op_b(at, j);
        double value = static_cast<double>(c.alpha) * sum + static_cast<double>(c.beta) * d.at(i, j);
        if ((c.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0) value += bias[static_cast<std::size_t>(i)];
        if ((c.epilogue & CUBLASLT_EPILOGUE_RELU) != 0) value = std::max(value, 0.0);
        expected.values[static_cast<std::size_t>(columns_first ? i + j * d.leading : i * d.leading + j)] =
            static_cast<float>(value);
      }
    }
    double worst = 0;
    for (std::size_t i = 0; i < result.size(); ++i) {
      worst = std::max(worst, static_cast<double>(std::abs(result[i] - expected.values[i])));
    }
    for (std::size_t i = 0; i < bias_count; ++i) {
      double sum = bias[i];
      if (c.epilogue == CUBLASLT_EPILOGUE_BGRADA || c.epilogue == CUBLASLT_EPILOGUE_BGRADB) {
        sum = 0;
        for (int at = 0; at < c.k; ++at) {
          const int line = static_cast<int>(i);
          sum += c.epilogue == CUBLASLT_EPILOGUE_BGRADA ? op_a(line, at) : op_b(at, line);
        }
      }
      worst = std::max(worst, std::abs(sum - static_cast<double>(result_bias[i])));
    }
    return worst;
  }

  cudaStream_t stream_ = nullptr;
  cublasLtHandle_t handle_ = nullptr;
  std::vector<cublasLtMatrixLayout_t> layouts_;
};

TEST_F(Lt, AgreesWithPlainLoops) {
  int cases = 0;
  for (const auto ta : {CUBLAS_OP_N, CUBLAS_OP_T}) {
    for (const auto tb : {CUBLAS_OP_N, CUBLAS_OP_T}) {
      for (const int pad : {0, 3}) {
        for (const auto& [m, n, k] : {std::tuple{5, 7, 3}, std::tuple{1, 1, 1}, std::tuple{33, 10, 65}}) {
          for (const auto epilogue : {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU_BIAS,
                                      CUBLASLT_EPILOGUE_RELU, CUBLASLT_EPILOGUE_BGRADA, CUBLASLT_EPILOGUE_BGRADB}) {
            for (const float beta : {0.0F, 0.5F}) {
              Case c{m, n, k, ta, tb, pad, epilogue};
              c.alpha = 1.5F;
              c.beta = beta;
              ASSERT_LT(difference(c, c), 2e-5) << m << " " << n << " " << k << " " << ta << tb << " " << epilogue;
              ++cases;
            }
          }
          Case row{m, n, k, ta, tb, pad};
          row.order = CUBLASLT_ORDER_ROW;
          ASSERT_LT(difference(row, row), 2e-5);
        }
      }
    }
  }
  EXPECT_EQ(cases, 288);
}

TEST_F(Lt, MutantAWrongTransposeGivesAnotherResultOrNone) {
  Case square{6, 6, 6};
  Case wrong = square;
  wrong.ta = CUBLAS_OP_T;
  EXPECT_GT(difference(square, wrong), 0.1);
  wrong = square;
  wrong.tb = CUBLAS_OP_T;
  EXPECT_GT(difference(square, wrong), 0.1);
  const Case oblong{5, 7, 3};
  wrong = oblong;
  wrong.ta = CUBLAS_OP_T;
  EXPECT_EQ(difference(oblong, wrong), INFINITY);
}

TEST_F(Lt, MutantLeadingDimensionsSwappedAreOutOfBoundsOrRefused) {
  const Case small_a{4, 7, 9};  // leading dimensions 4 and 9
  {
    Violations violations;
    EXPECT_GT(difference(small_a, small_a, true), 0.1);  // B's is below its rows: refused
  }
  Case large_a{9, 7, 4, CUBLAS_OP_T};  // A is 4 × 9, B is 4 × 7, leading dimensions alike: A longer by its pad
  large_a.pad = 0;
  const Case tall{9, 7, 4};  // leading dimensions 9 and 4
  Violations violations;
  EXPECT_EQ(difference(tall, tall, true), INFINITY);
  EXPECT_LT(difference(large_a, large_a, true), 1e-5);  // alike: nothing is swapped
}

TEST_F(Lt, ALeadingDimensionBeyondTheBufferIsNamed) {
  const Case c{4, 4, 4};
  float* const a = upload(random_values(16, 1));
  float* const b = upload(random_values(16, 2));
  float* const d = make_array(16);
  const auto good = layout(CUDA_R_32F, 4, 4, 4);
  const auto long_one = layout(CUDA_R_32F, 4, 4, 5);
  const auto desc = product(c);
  for (int which = 0; which < 3; ++which) {
    Violations violations;
    LT_OK(cublasLtMatmul(handle_, desc, &c.alpha, a, which == 0 ? long_one : good, b, which == 1 ? long_one : good,
                         &c.beta, d, which == 2 ? long_one : good, d, which == 2 ? long_one : good, nullptr, nullptr, 0,
                         stream_));
    CUDA_OK(cudaStreamSynchronize(stream_));
    EXPECT_TRUE(violations.contain("'cublasLtMatmul 4x4x4'"));
    EXPECT_TRUE(violations.contain(which == 2 ? "writes 16 bytes at byte 60 of" : "reads 16 bytes at byte 60 of"));
  }
  LT_OK(cublasLtMatmulDescDestroy(desc));
  destroy_layouts();
  for (float* const x : {a, b, d}) CUDA_OK(cudaFree(x));
}

TEST_F(Lt, Tf32IsLessExactAndOnlyWhereAllowed) {
  Case c{16, 16, 64};
  const double exact = difference(c, c);
  Case tf32 = c;
  tf32.compute = CUBLAS_COMPUTE_32F_FAST_TF32;
  const double rounded = difference(tf32, tf32);
  EXPECT_LT(exact, 1e-5);
  EXPECT_GT(rounded, 1e-4);
  EXPECT_LT(rounded, 1e-2);
}

TEST_F(Lt, Bfloat16WithFloat32Results) {
  const std::vector<std::uint16_t> ones(4 * 4, 0x3F80);  // 1
  auto a_values = ones;
  a_values[1] = 0xC000;  // row 1, column 0: -2
  std::uint16_t* const a = upload(a_values);
  std::uint16_t* const b = upload(ones);
  float* const d = make_array(16);
  const auto in = layout(CUDA_R_16BF, 4, 4, 4);
  const auto out = layout(CUDA_R_32F, 4, 4, 4);
  const Case c;
  const auto desc = product(c);
  LT_OK(cublasLtMatmul(handle_, desc, &c.alpha, a, in, b, in, &c.beta, d, out, d, out, nullptr, nullptr, 0, stream_));
  CUDA_OK(cudaStreamSynchronize(stream_));
  EXPECT_THAT(std::vector<float>(fetch(d, 4)), ::testing::ElementsAre(4, 1, 4, 4));
  LT_OK(cublasLtMatmulDescDestroy(desc));
  destroy_layouts();
  CUDA_OK(cudaFree(a));
  CUDA_OK(cudaFree(b));
  CUDA_OK(cudaFree(d));
}

TEST_F(Lt, HeuristicsWorkspaceAndAlgorithms) {
  const Case c{8, 8, 128};
  float* const a = upload(random_values(8 * 128, 1));
  float* const b = upload(random_values(128 * 8, 2));
  float* const d = make_array(64);
  float* const d2 = make_array(64);
  float* const workspace = make_array(4096);
  const auto la = layout(CUDA_R_32F, 8, 128, 8);
  const auto lb = layout(CUDA_R_32F, 128, 8, 128);
  const auto ld = layout(CUDA_R_32F, 8, 8, 8);
  const auto desc = product(c);
  cublasLtMatmulPreference_t preference = nullptr;
  LT_OK(cublasLtMatmulPreferenceCreate(&preference));
  const std::uint64_t most = 4096 * sizeof(float);
  LT_OK(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most));
  std::array<cublasLtMatmulHeuristicResult_t, 3> results{};
  int found = 0;
  LT_OK(cublasLtMatmulAlgoGetHeuristic(handle_, desc, la, lb, ld, ld, preference, 1, results.data(), &found));
  ASSERT_EQ(found, 1);
  EXPECT_NE(results[0].state, CUBLAS_STATUS_SUCCESS);
  LT_OK(cublasLtMatmulAlgoGetHeuristic(handle_, desc, la, lb, ld, ld, preference, 3, results.data(), &found));
  ASSERT_EQ(found, 2);
  EXPECT_NE(results[0].state, CUBLAS_STATUS_SUCCESS);
  const cublasLtMatmulHeuristicResult_t& result = results[1];
  EXPECT_EQ(result.state, CUBLAS_STATUS_SUCCESS);
  EXPECT_GT(result.workspaceSize, 0U);
  EXPECT_LE(result.workspaceSize, most);
  const auto multiply = [&](float* to, cublasLtMatrixLayout_t b_layout, void* space, std::size_t bytes,
                            cudaStream_t stream) {
    return cublasLtMatmul(handle_, desc, &c.alpha, a, la, b, b_layout, &c.beta, to, ld, to, ld, &result.algo, space,
                          bytes, stream);
  };
  EXPECT_EQ(multiply(d, lb, workspace, result.workspaceSize, stream_), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(multiply(d, lb, workspace, 1, stream_), CUBLAS_STATUS_INVALID_VALUE);
  // One that was found to be none.
  EXPECT_EQ(cublasLtMatmul(handle_, desc, &c.alpha, a, la, b, lb, &c.beta, d, ld, d, ld, &results[0].algo, workspace,
                           most, stream_),
            CUBLAS_STATUS_INVALID_VALUE);
  // An algorithm for another problem.
  EXPECT_EQ(multiply(d, layout(CUDA_R_32F, 128, 8, 130), workspace, most, stream_), CUBLAS_STATUS_NOT_SUPPORTED);
  // One workspace for two streams at once.
  cudaStream_t other = make_stream();
  Violations violations;
  EXPECT_EQ(multiply(d2, lb, workspace, most, other), CUBLAS_STATUS_SUCCESS);
  CUDA_OK(cudaDeviceSynchronize());
  EXPECT_TRUE(violations.contain("race: "));

  // What is not supported.
  const auto half = layout(CUDA_R_16F, 8, 128, 8);
  EXPECT_NE(cublasLtMatmulAlgoGetHeuristic(handle_, desc, half, lb, ld, ld, preference, 3, results.data(), &found),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(found, 0);
  LT_OK(cublasLtMatmulPreferenceDestroy(preference));
  LT_OK(cublasLtMatmulDescDestroy(desc));
  destroy_layouts();
  CUDA_OK(cudaStreamDestroy(other));
  for (float* const x : {a, b, d, d2, workspace}) CUDA_OK(cudaFree(x));
}

TEST_F(Lt, ABiasLiesAsItsAlgorithmTakesIt) {
  const Case gradient{4, 4, 4, CUBLAS_OP_N, CUBLAS_OP_T, 0, CUBLASLT_EPILOGUE_BGRADB};
  const Case bias{4, 4, 4, CUBLAS_OP_N, CUBLAS_OP_T, 0, CUBLASLT_EPILOGUE_BIAS};
  float* const a = upload(random_values(16, 1));
  float* const b = upload(random_values(16, 2));
  float* const d = make_array(16);
  float* const vector = upload(random_values(72, 3));  // 64 floats are 256 bytes
  const auto all = layout(CUDA_R_32F, 4, 4, 4);
  cublasLtMatmulPreference_t preference = nullptr;
  LT_OK(cublasLtMatmulPreferenceCreate(&preference));
  for (const Case& c : {gradient, bias}) {
    const auto chosen_for = [&](const float* place) {
      std::array<cublasLtMatmulHeuristicResult_t, 2> results{};
      int found = 0;
      const auto desc = product(c, place);
      EXPECT_EQ(
          cublasLtMatmulAlgoGetHeuristic(handle_, desc, all, all, all, all, preference, 2, results.data(), &found),
          CUBLAS_STATUS_SUCCESS);
      EXPECT_EQ(found, 2);
      EXPECT_EQ(cublasLtMatmulDescDestroy(desc), CUBLAS_STATUS_SUCCESS);
      return results[1].algo;
    };
    const auto multiply = [&](const float* place, const cublasLtMatmulAlgo_t* algorithm) {
      const auto desc = product(c, place);
      const cublasStatus_t status = cublasLtMatmul(handle_, desc, &c.alpha, a, all, b, all, &c.beta, d, all, d, all,
                                                   algorithm, nullptr, 0, stream_);
      EXPECT_EQ(cublasLtMatmulDescDestroy(desc), CUBLAS_STATUS_SUCCESS);
      return status;
    };
    const cublasLtMatmulAlgo_t for_16 = chosen_for(vector + 4);
    const cublasLtMatmulAlgo_t for_256 = chosen_for(vector);
    EXPECT_EQ(multiply(vector + 4, &for_16), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(multiply(vector, &for_16), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(multiply(vector + 64, &for_256), CUBLAS_STATUS_SUCCESS);
    {
      Violations violations;
      EXPECT_EQ(multiply(vector + 4, &for_256), CUBLAS_STATUS_INVALID_VALUE);
      EXPECT_TRUE(violations.contain("less aligned than the one that its algorithm was chosen for"));
    }
    for (const cublasLtMatmulAlgo_t* algorithm : {&for_16, static_cast<const cublasLtMatmulAlgo_t*>(nullptr)}) {
      Violations violations;
      EXPECT_EQ(multiply(vector + 1, algorithm), CUBLAS_STATUS_INVALID_VALUE);
      EXPECT_TRUE(violations.contain("not aligned to 16 bytes"));
    }
  }
  CUDA_OK(cudaStreamSynchronize(stream_));
  LT_OK(cublasLtMatmulPreferenceDestroy(preference));
  destroy_layouts();
  for (float* const x : {a, b, d, vector}) CUDA_OK(cudaFree(x));
}

TEST_F(Lt, AnEpilogueMayHaveNoAlgorithm) {
  refuse_epilogue(CUBLASLT_EPILOGUE_BGRADB);
  float* const vector = make_array(4);
  const auto all = layout(CUDA_R_32F, 4, 4, 4);
  cublasLtMatmulPreference_t preference = nullptr;
  LT_OK(cublasLtMatmulPreferenceCreate(&preference));
  const auto found_for = [&](cublasLtEpilogue_t epilogue) {
    const auto desc = product({4, 4, 4, CUBLAS_OP_N, CUBLAS_OP_N, 0, epilogue}, vector);
    std::array<cublasLtMatmulHeuristicResult_t, 2> results{};
    int found = -1;
    EXPECT_EQ(cublasLtMatmulAlgoGetHeuristic(handle_, desc, all, all, all, all, preference, 2, results.data(), &found),
              CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasLtMatmulDescDestroy(desc), CUBLAS_STATUS_SUCCESS);
    return found;
  };
  EXPECT_EQ(found_for(CUBLASLT_EPILOGUE_BGRADB), 0);
  EXPECT_EQ(found_for(CUBLASLT_EPILOGUE_BGRADA), 2);
  EXPECT_EQ(found_for(CUBLASLT_EPILOGUE_DEFAULT), 2);
  LT_OK(cublasLtMatmulPreferenceDestroy(preference));
  destroy_layouts();
  CUDA_OK(cudaFree(vector));
}

TEST_F(Lt, ResultsOverInputsAreAnError) {
  const Case c{4, 4, 4};
  float* const a = upload(random_values(16, 1));
  const auto all = layout(CUDA_R_32F, 4, 4, 4);
  const auto desc = product(c);
  Violations violations;
  EXPECT_EQ(
      cublasLtMatmul(handle_, desc, &c.alpha, a, all, a, all, &c.beta, a, all, a, all, nullptr, nullptr, 0, stream_),
      CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_TRUE(violations.contain("over its own inputs"));
  LT_OK(cublasLtMatmulDescDestroy(desc));
  destroy_layouts();
  CUDA_OK(cudaFree(a));
}

}  // namespace
}  // namespace cuda_sim::testing
