// The CPU device: checks and prepares the arguments of each operation and runs its kernel, compiled for
// the machine's instruction set, on the threads.
#include "device/cpu/cpu_device.hpp"

#include <cpuid.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "core/heartbeat.hpp"
#include "core/host_memory.hpp"
#include "core/names.hpp"
#include "core/stopwatch.hpp"
#include "core/thread_pool.hpp"
#include "device/cpu/kernels.hpp"
#include "device/cpu/winograd_plan.hpp"
#include "ganymede/device.hpp"
#include "ganymede/error.hpp"
#include "math/bfloat16.hpp"
#include "math/dropout.hpp"
#include "math/falling_deviation.hpp"
#include "math/fixed_point.hpp"
#include "math/functions.hpp"
#include "math/loss/losses.hpp"
#include "math/optimizer/optimizers.hpp"
#include "math/penalty/penalties.hpp"
#include "math/permutation.hpp"

namespace ganymede {
namespace {

struct InstructionSet {
  const char* name;
  const char* short_name;  // for people
  const cpu::Kernels* kernels;
};

// The three bits that the compiler's x86-64-v3 assumes and __builtin_cpu_supports does not know everywhere.
bool has_lzcnt_movbe_f16c() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_MOVBE) == 0 || (c & bit_F16C) == 0) return false;
  return __get_cpuid(0x80000001U, &a, &b, &c, &d) != 0 && (c & bit_LZCNT) != 0;
}

// Narrowest first.
std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets = {{"x86-64-v2", "SSE4.2", &cpu::kernels_v2}};
  const bool v3 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 &&
                  __builtin_cpu_supports("bmi") != 0 && __builtin_cpu_supports("bmi2") != 0 && has_lzcnt_movbe_f16c();
  if (!v3) return sets;
  sets.push_back({"x86-64-v3", "AVX2", &cpu::kernels_v3});
  const bool v4 = __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
                  __builtin_cpu_supports("avx512cd") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
                  __builtin_cpu_supports("avx512vl") != 0;
  if (v4) sets.push_back({"x86-64-v4", "AVX-512", &cpu::kernels_v4});
  return sets;
}

std::size_t product(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

void* allocate_aligned(std::size_t bytes) {
  const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + 63) / 64 * 64;
  void* pointer = rounded < bytes ? nullptr : std::aligned_alloc(64, rounded);
  if (pointer == nullptr) {
    throw Error(ExitCode::launch, "no memory for " + std::to_string(bytes) +
                                      " bytes: use a smaller batch or network, or fewer ranks on this host");
  }
  return pointer;
}

// Memory that grows with the largest call and is then kept: a step allocates nothing after the first.
template <class T>
class Workspace {
 public:
  T* get(std::size_t count) {
    if (count > values_.size()) values_.resize(count);
    return values_.data();
  }

 private:
  std::vector<T> values_;
};

struct Free {
  void operator()(void* pointer) const { std::free(pointer); }
};

class DirectRoutine final : public Routine {
 public:
  explicit DirectRoutine(std::function<void()> work) : work_(std::move(work)) {}
  void run() override { work_(); }

 private:
  std::function<void()> work_;
};

/// What a device advances between its kernels.
class UnderWay {
 public:
  UnderWay() = default;
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;
  virtual ~UnderWay() = default;
  virtual void advance() = 0;
};

/// A sum over ranks, in a device's list from its start to its end.
template <class T>
class CpuReduction final : public Reduction<T>, public UnderWay {
 public:
  CpuReduction(std::unique_ptr<Reduction<T>> sum, std::vector<UnderWay*>& under_way)
      : over_ranks_(std::move(sum)), under_way_(under_way) {
    this->size_ = over_ranks_->size();
    this->data_ = over_ranks_->data();
    this->sum_ = over_ranks_->sum();
  }
  CpuReduction(const CpuReduction&) = delete;
  CpuReduction& operator=(const CpuReduction&) = delete;
  ~CpuReduction() override { std::erase(under_way_, this); }

  void start() override {
    over_ranks_->start();
    under_way_.push_back(this);
  }
  void advance() override { over_ranks_->advance(); }
  void finish() override {
    over_ranks_->finish();
    std::erase(under_way_, this);
  }

 private:
  std::unique_ptr<Reduction<T>> over_ranks_;
  std::vector<UnderWay*>& under_way_;
};

class CpuDevice final : public Device {
 public:
  CpuDevice(int threads, const InstructionSet& set)
      : set_(set),
        kernels_(*set.kernels),
        pool_(threads),
        scratch_(static_cast<float*>(
            allocate_aligned(static_cast<std::size_t>(threads) * cpu::scratch_floats * sizeof(float)))) {}

  std::string description() const override {
    const int threads = pool_.threads();
    return std::string("CPU, ") + set_.short_name + ", " + std::to_string(threads) +
           (threads == 1 ? " thread" : " threads");
  }
  std::string arithmetic() const override { return set_.name; }
  double peak_flops() const override { return pool_.threads() * measure_fma_peak_gflops() * 1e9; }
  double peak_bandwidth() const override { return 0; }

  std::size_t available_memory() const override { return available_host_memory(); }
  void* allocate(std::size_t bytes) override {
    void* pointer = allocate_aligned(bytes);
    std::memset(pointer, 0, bytes);
    return pointer;
  }
  void release(void* pointer) noexcept override { std::free(pointer); }
  void upload(void* to_device, const void* from_host, std::size_t bytes) override { copy(to_device, from_host, bytes); }
  void download(void* to_host, const void* from_device, std::size_t bytes) override {
    copy(to_host, from_device, bytes);
  }
  void fetch(void* to_host, const void* from_device, std::size_t bytes) override { copy(to_host, from_device, bytes); }
  void copy(void* to, const void* from, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  void zero(void* pointer, std::size_t bytes) override {
    if (bytes > 0) std::memset(pointer, 0, bytes);
  }
  void synchronize() override {}
  bool is_host() const override { return true; }
  void* allocate_host(std::size_t bytes) override { return allocate(bytes); }
  void release_host(void* pointer) noexcept override { release(pointer); }

  int steps_ahead() const override { return 0; }
  void mark(int /*number*/) override {}
  void await(int /*number*/) override {}
  void time_from_here() override { own_time_ = {}; }
  std::unique_ptr<Routine> make_routine(std::function<void()> enqueue) override {
    return std::make_unique<DirectRoutine>(std::move(enqueue));
  }
  void enter(const char* /*name*/) override {}

  bool rounds() const override { return false; }
  void round(std::size_t count, const float* from, Bfloat16* to) override {
    std::transform(from, from + count, to, [](float value) { return math::to_bfloat16(value); });
  }

  void affine_forward(int rows, int in, int out, const float* x, const float* w, const float* b, Activation sigma,
                      float* y, const Rounded& /*rounded*/) override {
    const std::size_t work = 2 * product(rows, in) * static_cast<std::size_t>(out);
    run(kernels_.affine_forward, {rows, in, out, x, w, b, nullptr, sigma.kind, sigma.parameter, y}, work, cuts(work));
  }
  void affine_tangent(int rows, int in, int out, const float* tx, const float* w, Activation sigma, const float* y,
                      float* ty, const Rounded& /*rounded*/) override {
    run(kernels_.affine_tangent, {rows, in, out, tx, w, nullptr, y, sigma.kind, sigma.parameter, ty},
        2 * product(rows, in) * static_cast<std::size_t>(out));
  }
  void affine_backward_data(int rows, int in, int out, const float* delta, const float* w, Activation below,
                            const float* x, float* delta_in, const Rounded& /*rounded*/) override {
    run(kernels_.affine_backward_data, {rows, in, out, delta, w, nullptr, x, below.kind, below.parameter, delta_in},
        2 * product(rows, in) * static_cast<std::size_t>(out));
  }

  void affine_gradients(const BatchLayout& layout, int in, int out, const float* x, const float* delta,
                        const float* row_scale, bool accumulate, SumTarget dw, SumTarget db,
                        const Rounded& /*rounded*/) override {
    if (dw.wanted()) weight_gradient(layout, in, out, x, delta, accumulate, dw);
    if (db.wanted()) {
      const cpu::RowOrder order = row_order(layout, db.exact());
      run(kernels_.bias_gradient, {order, 1, out, delta, row_scale, accumulate, sum(db)}, product(order.count, out));
    }
  }

  void convolve(const Convolution& geometry, int rows, const float* fine, const float* w, const Finish& finish,
                float* coarse, const Rounded& /*rounded*/) override {
    run_convolution(geometry, false, rows, fine, w, finish, coarse);
  }
  void convolve_transposed(const Convolution& geometry, int rows, const float* coarse, const float* w,
                           const Finish& finish, float* fine, const Rounded& /*rounded*/) override {
    run_convolution(geometry, true, rows, coarse, w, finish, fine);
  }
  void convolution_gradients(const BatchLayout& layout, const Convolution& geometry, const float* fine,
                             const float* coarse, bool accumulate, SumTarget dw, const Rounded& /*rounded*/) override {
    const cpu::WinogradTables& winograd = winograd_tables(geometry, false);
    if (window_gradients_fit(geometry) && (geometry.fine_channels <= cpu::few_channels || !winograd.pays())) {
      window_gradients(layout, geometry, fine, coarse, accumulate, dw);
      return;
    }
    if (winograd.pays()) {
      winograd_gradients(winograd, layout, geometry, fine, coarse, accumulate, dw);
      return;
    }
    const cpu::RowOrder order = row_order(layout, dw.exact(), geometry.coarse_pixels());
    const std::size_t weights = product(geometry.filter(), geometry.coarse_channels);
    if (order.count == 0) {
      clear(weights, accumulate, dw);
      return;
    }
    float* carry = dw.exact() ? carry_.get(weights) : nullptr;
    run(kernels_.convolution_weights,
        {{order, geometry.filter(), geometry.coarse_channels, fine, coarse, accumulate, sum(dw), carry},
         shape_of(geometry),
         layout.total_rows()},
        2 * static_cast<std::size_t>(order.count) * weights);
  }
  void channel_gradients(const BatchLayout& layout, int pixels, int channels, const float* delta,
                         const float* row_scale, bool accumulate, SumTarget db) override {
    const cpu::RowOrder order = row_order(layout, db.exact());
    run(kernels_.bias_gradient, {order, pixels, channels, delta, row_scale, accumulate, sum(db)},
        product(order.count, pixels) * static_cast<std::size_t>(channels));
  }

  void batch_norm_moments(const BatchLayout& layout, const BatchNorm& norm, const float* x,
                          std::int64_t* sums) override {
    const double unit = BatchNorm::moment_unit * norm.count;
    sum_batch(layout, norm, x, x, sums, [unit](int, std::size_t, double& sum, double& square) {
      sum /= unit;
      square /= unit;
    });
  }
  void batch_norm_statistics(int parts, const BatchNorm& norm, const std::int64_t* moments, float* statistics,
                             float* running) override {
    const auto channels = static_cast<std::size_t>(norm.channels);
    if (moments[norm.sums(parts) - 1] != 0) {
      std::fill(statistics, statistics + static_cast<std::size_t>(parts) * 2 * channels,
                std::numeric_limits<float>::quiet_NaN());
      return;
    }
    const double unbiased = norm.count > 1 ? norm.count / (norm.count - 1) : 1;
    const double momentum = norm.momentum;
    const auto follow = [momentum](float& average, double value) {
      average = static_cast<float>((1 - momentum) * static_cast<double>(average) + momentum * value);
    };
    for (int part = 0; part < parts; ++part, moments += 2 * channels, statistics += 2 * channels) {
      for (std::size_t c = 0; c < channels; ++c) {
        const double mean = BatchNorm::moment_unit * math::from_fixed_point(moments[c]);
        const double square = BatchNorm::moment_unit * math::from_fixed_point(moments[channels + c]);
        const double variance = std::max(0.0, square - mean * mean);
        statistics[c] = static_cast<float>(mean);
        statistics[channels + c] = inverse_deviation(norm, variance);
        if (running == nullptr) continue;
        follow(running[c], mean);
        follow(running[channels + c], unbiased * variance);
      }
    }
  }
  void batch_norm_frozen(const BatchNorm& norm, const float* running, float* statistics) override {
    const auto channels = static_cast<std::size_t>(norm.channels);
    std::copy(running, running + channels, statistics);
    for (std::size_t c = channels; c < 2 * channels; ++c)
      statistics[c] = inverse_deviation(norm, static_cast<double>(running[c]));
  }
  void batch_norm_forward(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* statistics,
                          const float* gamma, const float* beta, Activation sigma, float* y) override {
    const auto channels = static_cast<std::size_t>(norm.channels);
    // The mean is taken off before anything else: in a channel of much smaller deviation, scale · x would round off
    // what is wanted.
    const Coefficients<3> coefficients(norm_, layout, norm,
                                       [&](std::size_t part, std::size_t c) -> std::array<float, 3> {
                                         const float* mean = statistics + part * 2 * channels + c;
                                         return {mean[0], gamma[c] * mean[channels], beta[c]};
                                       });
    const std::size_t size = part_size(layout, norm);
    run(kernels_.batch_norm_forward,
        {layout.parts, size, coefficients.row, coefficients.values, x, sigma.kind, sigma.parameter, y},
        4 * static_cast<std::size_t>(layout.parts) * size);
  }
  void batch_norm_adjoints(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                           const float* statistics, std::int64_t* sums) override {
    const auto channels = static_cast<std::size_t>(norm.channels);
    sum_batch(layout, norm, delta, x, sums, [=](int part, std::size_t c, double& sum, double& product) {
      const float* mean = statistics + static_cast<std::size_t>(part) * 2 * channels + c;
      product = (product - static_cast<double>(mean[0]) * sum) * static_cast<double>(mean[channels]);
    });
  }
  void batch_norm_gradients(int parts, const BatchNorm& norm, const std::int64_t* adjoints, bool accumulate,
                            SumTarget dgamma, SumTarget dbeta) override {
    const auto channels = static_cast<std::size_t>(norm.channels);
    const bool fits = adjoints[norm.sums(parts) - 1] == 0;
    const auto gather = [&](const std::int64_t* sums, const SumTarget& target) {
      if (!target.wanted()) return;
      clear(channels, accumulate, target);
      if (target.exact() && !fits) ++*target.overflow;
      for (std::size_t c = 0; c < channels; ++c) {
        std::int64_t sum = 0;
        for (int part = 0; part < parts; ++part) sum += sums[static_cast<std::size_t>(part) * 2 * channels + c];
        if (target.exact()) {
          target.fixed[c] += sum;
        } else {
          target.values[c] +=
              fits ? static_cast<float>(math::from_fixed_point(sum)) : std::numeric_limits<float>::quiet_NaN();
        }
      }
    };
    gather(adjoints, dbeta);
    gather(adjoints + channels, dgamma);
  }
  void batch_norm_backward_data(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                                const float* statistics, const float* gamma, const std::int64_t* adjoints,
                                Activation below, float* delta_in) override {
    const auto channels = static_cast<std::size_t>(norm.channels);
    // Sums without what did not fit are no sums.
    const double count =
        adjoints[norm.sums(layout.parts) - 1] == 0 ? norm.count : std::numeric_limits<double>::quiet_NaN();
    const Coefficients<4> coefficients(
        norm_, layout, norm, [&](std::size_t part, std::size_t c) -> std::array<float, 4> {
          const float* mean = statistics + part * 2 * channels + c;
          const std::int64_t* sum = adjoints + part * 2 * channels + c;
          const auto inverse = static_cast<double>(mean[channels]);
          const double scale = static_cast<double>(gamma[c]) * inverse;
          return {mean[0], static_cast<float>(scale),
                  static_cast<float>(-scale * inverse * math::from_fixed_point(sum[channels]) / count),
                  static_cast<float>(-scale * math::from_fixed_point(sum[0]) / count)};
        });
    const std::size_t size = part_size(layout, norm);
    run(kernels_.batch_norm_backward_data,
        {layout.parts, size, coefficients.row, coefficients.values, x, delta, below.kind, below.parameter, delta_in},
        4 * static_cast<std::size_t>(layout.parts) * size);
  }

  void spectral_iteration(const SpectralMatrix& m) override {
    row_dots(m, m.w, m.v, 0);
    normalise(m.rows, m.work, m.u);
    run(kernels_.column_sums, {m.rows, m.columns, m.u, m.w, m.work}, 2 * product(m.rows, m.columns));
    normalise(m.columns, m.work, m.v);
  }
  void spectral_normalise(const SpectralMatrix& m) override {
    row_dots(m, m.w, m.v, 0);
    double sigma = 0;
    for (int row = 0; row < m.rows; ++row) sigma += static_cast<double>(m.u[row]) * m.work[row];
    *m.sigma = static_cast<float>(sigma);
    run(kernels_.divide, {product(m.rows, m.columns), *m.sigma, m.w, m.normalised}, product(m.rows, m.columns));
  }
  void spectral_gradient(const SpectralMatrix& m, const float* g, float* to) override {
    row_dots(m, g, m.normalised, m.columns);
    double product_sum = 0;
    for (int row = 0; row < m.rows; ++row) product_sum += m.work[row];
    run(kernels_.take_rank_one, {m.rows, m.columns, g, m.u, m.v, static_cast<float>(product_sum), *m.sigma, to},
        2 * product(m.rows, m.columns));
  }

  void draw_mask(const MaskDraw& draw, int rows, int columns, double share, std::uint8_t* mask) override {
    run(kernels_.draw_mask,
        {draw.seed, draw.stream, value(draw.first), draw.layer, rows, columns, math::drop_threshold(share), mask},
        8 * product(rows, columns));
  }
  void apply_mask(std::size_t count, const std::uint8_t* mask, float factor, const float* from, Activation below,
                  const float* x, float* to) override {
    // The identity's slope depends on no input: any array will do.
    run(kernels_.apply_mask, {count, mask, factor, from, x == nullptr ? from : x, below.kind, below.parameter, to},
        2 * count);
  }

  void append_class(int rows, int pixels, int channels, int classes, const std::uint8_t* labels, const float* x,
                    float* y) override {
    run(kernels_.append_class, {rows, pixels, channels, classes, labels, x, nullptr, 0, 0, y},
        product(rows, pixels * (channels + classes)));
  }
  void append_class_backward(int rows, int pixels, int channels, int classes, const float* delta, Activation below,
                             const float* x, float* delta_in) override {
    // The identity's slope depends on no input: any array will do.
    run(kernels_.append_class_backward,
        {rows, pixels, channels, classes, nullptr, delta, x == nullptr ? delta : x, below.kind, below.parameter,
         delta_in},
        product(rows, pixels * channels));
  }
  void class_score(int rows, int classes, const std::uint8_t* labels, const float* x, float* y) override {
    for (int row = 0; row < rows; ++row, x += 1 + classes) y[row] = x[0] + x[1 + labels[row]];
  }
  void class_score_backward(int rows, int classes, const std::uint8_t* labels, const float* delta,
                            float* delta_in) override {
    for (int row = 0; row < rows; ++row, delta_in += 1 + classes) {
      std::fill(delta_in, delta_in + 1 + classes, 0.0F);
      delta_in[0] = delta_in[1 + labels[row]] = delta[row];
    }
  }

  void discriminator_loss(GanLoss loss, const BatchLayout& layout, PenaltyParts penalised, const float* logits,
                          float scale, float* seed, float* row_scale, bool accumulate, SumTarget sums) override {
    const int rows = layout.rows;
    const auto give_unit_seeds = [&](bool wanted, float* from, float* scales, bool with_loss) {
      if (!wanted) {
        std::fill(scales, scales + rows, 1.0F);
        return;
      }
      if (with_loss)
        std::copy(from, from + rows, scales);
      else
        std::fill(scales, scales + rows, 0.0F);
      std::fill(from, from + rows, 1.0F);
    };
    const int real = penalised.between ? rows : 0;
    run_loss(loss, layout, true, logits + real, logits + real + rows, scale, seed + real, seed + real + rows,
             accumulate, sums);
    if (!penalised.any()) return;
    if (penalised.between) give_unit_seeds(true, seed, row_scale, false);
    give_unit_seeds(penalised.real, seed + real, row_scale + real, true);
    give_unit_seeds(penalised.fake, seed + real + rows, row_scale + real + rows, true);
  }
  void generator_loss(GanLoss loss, const BatchLayout& layout, const float* logits, float scale, float* seed,
                      bool accumulate, SumTarget sums) override {
    if (layout.parts == 2) {
      run_loss(loss, layout, false, logits, logits + layout.rows, scale, seed, seed + layout.rows, accumulate, sums);
    } else {
      run_loss(loss, layout, false, nullptr, logits, scale, nullptr, seed, accumulate, sums);
    }
  }
  void gradient_penalty(int penalty, const BatchLayout& layout, int columns, const float* g, float coefficient,
                        float* v, SumTarget value) override {
    float* squares = rows_.get(static_cast<std::size_t>(layout.rows));
    run(kernels_.gradient_penalty, {penalty, layout.rows, columns, g, coefficient, v, squares},
        2 * product(layout.rows, columns));
    math::Penalties::visit(penalty, [&](auto known) {
      sum_shards(layout, value, true, [&](int row) {
        return static_cast<double>(coefficient) * known.value(static_cast<double>(squares[row]));
      });
    });
  }
  void combine_rows(int rows, int columns, const float* scale, const float* t, float* h) override {
    run(kernels_.combine_rows, {rows, columns, scale, t, h}, product(rows, columns));
  }

  void from_fixed_point(std::size_t count, const std::int64_t* from, const std::int64_t* overflow, float* to) override {
    if (*overflow != 0) {
      std::fill(to, to + count, std::numeric_limits<float>::quiet_NaN());
    } else {
      run(kernels_.from_fixed_point, {count, from, to}, count);
    }
  }
  void add_to(std::size_t count, const float* from, double* to) override {
    run(kernels_.add_to, {count, from, to}, count);
  }
  void sum_of_squares(std::size_t count, const float* x, double* result) override {
    const std::size_t blocks = (count + cpu::squares_block - 1) / cpu::squares_block;
    double* partial = partial_.get(blocks);
    run(kernels_.sum_of_squares, {count, x, partial}, count);
    double total = 0;
    for (std::size_t i = 0; i < blocks; ++i) total += partial[i];
    *result = total;
  }
  void optimizer_update(const OptimizerUpdate& args) override {
    if (!std::isfinite(*args.squared_norm)) return;
    cpu::OptimizerArgs update{args.optimizer, args.count, args.constants, {}, args.gradient, args.parameters, {}};
    std::copy(args.state.begin(), args.state.end(), update.state);
    math::Optimizers::visit(args.optimizer, [&](auto rule) {
      for (int i = 0; i < math::factor_count<decltype(rule)>; ++i)
        update.factors[i] = math::update_factor<decltype(rule), false>(
            i, args.constants, value(args.updates), args.constants.schedule.updates, *args.squared_norm);
    });
    run(kernels_.optimizer_update, update, 8 * args.count);
    const MovingAverage& average = args.average;
    if (average.values != nullptr)
      run(kernels_.exponential_average, {args.count, average.decay, args.parameters, average.values}, args.count);
  }
  void end_step(const StepEnd& args) override {
    double* running = args.running;
    for (int i = 0; i < args.discriminator_count; ++i) *running++ += static_cast<double>(args.discriminator_extras[i]);
    for (int i = 0; i < args.generator_count; ++i) *running++ += static_cast<double>(args.generator_extras[i]);
    double square = 0;
    for (int i = 0; i < args.discriminator_updates && std::isfinite(square); ++i)
      square = args.discriminator_squared_norms[i];
    StepReport& report = args.reports[*args.step % static_cast<std::uint64_t>(args.report_count)];
    const float stop = args.stop != nullptr ? *args.stop : *args.stop_flag != 0 ? 1.0F : 0.0F;
    const double own = own_time_.seconds() - own_time_.seconds_waited();
    own_time_ = {};
    report = {++*args.step, square, *args.generator_squared_norm, own, stop};
    *args.discriminator_total += static_cast<std::uint64_t>(args.discriminator_updates);
  }
  void flag_to_sum(const std::uint32_t* flag, SumTarget to) override {
    const float number = *flag != 0 ? 1.0F : 0.0F;
    if (to.exact()) {
      *to.fixed = math::to_fixed_point(number);
    } else {
      *to.values = number;
    }
  }

  void draw_normal(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns,
                   float* out) override {
    run(kernels_.draw_normal, {seed, stream, value(first), rows, columns, out}, 32 * product(rows, columns));
  }
  void draw_uniform(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns,
                    float* out) override {
    run(kernels_.draw_uniform, {seed, stream, value(first), rows, columns, out}, 8 * product(rows, columns));
  }
  void add_noise(std::uint64_t seed, std::uint32_t stream, StepCount first, const FallingDeviation& deviation, int rows,
                 int columns, const float* x, float* out) override {
    const float s = math::falling_deviation(deviation.start, deviation.end, *deviation.step);
    if (s > 0)
      run(kernels_.add_noise, {{seed, stream, value(first), rows, columns, out}, s, x}, 32 * product(rows, columns));
    else if (x != out)
      copy(out, x, product(rows, columns) * sizeof(float));
  }
  void interpolate(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns, const float* a,
                   const float* b, float* out) override {
    run(kernels_.interpolate, {seed, stream, value(first), rows, columns, a, b, out}, 2 * product(rows, columns));
  }
  void gather_images(std::uint64_t seed, StepCount first, const std::uint8_t* images, std::uint32_t image_count,
                     int rows, int pixels, int channels, float* out) override {
    run(kernels_.gather_images, {seed, value(first), images, image_count, rows, pixels, channels, out},
        product(rows, pixels * channels));
  }
  void gather_labels(std::uint64_t seed, StepCount first, const std::uint8_t* labels, std::uint32_t image_count,
                     int rows, std::uint8_t* out) override {
    const std::uint64_t sample = value(first);
    for (int row = 0; row < rows; ++row)
      out[row] = labels[math::image_of_sample(seed, sample + static_cast<std::uint64_t>(row), image_count)];
  }

 private:
  // What transformed images may take, so that the second cache holds them: of a part's block, and of all threads' block
  // for gradients, where larger ones mean fewer passes over the sums.
  static constexpr std::size_t winograd_block_floats = std::size_t{128} * 1024;
  static constexpr std::size_t winograd_gradient_floats = std::size_t{192} * 1024;
  using WinogradKey = std::array<int, 10>;

  // Below this many operations waking the other threads costs more than they save.
  static constexpr std::size_t worth_sharing = 32768;

  // A fifth of a millisecond: messages that arrive meanwhile can wait for so long.
  static constexpr std::size_t work_between_looks = std::size_t{1} << 24U;

  // Into how many pieces to cut a kernel that keeps no memory for each part, so that sums under way get on.
  [[nodiscard]] int cuts(std::size_t work) const {
    if (under_way_.empty()) return 1;
    const std::size_t look = work_between_looks * static_cast<std::size_t>(pool_.threads());
    return static_cast<int>(std::bit_floor(std::clamp<std::size_t>(work / look, 1, 64)));
  }

  template <class Args>
  void run(cpu::Kernel<Args> kernel, const std::type_identity_t<Args>& args, std::size_t work, int cuts = 1) {
    if (work < worth_sharing) {
      kernel(args, scratch_.get(), 0, 1);
      return;
    }
    for (int cut = 0; cut < cuts; ++cut) {
      for (UnderWay* sum : under_way_) sum->advance();
      pool_.run([&](int part, int parts) {
        kernel(args, scratch_.get() + static_cast<std::size_t>(part) * cpu::scratch_floats, cut * parts + part,
               cuts * parts);
      });
    }
    heartbeat::beat();
  }

  void row_dots(const SpectralMatrix& m, const float* a, const float* b, std::ptrdiff_t b_stride) {
    run(kernels_.row_dots, {m.rows, m.columns, a, b, b_stride, m.work}, 2 * product(m.rows, m.columns));
  }
  static void normalise(int count, const double* from, float* to) {
    double squares = 0;
    for (int i = 0; i < count; ++i) squares += from[i] * from[i];
    const double norm = std::max(std::sqrt(squares), SpectralMatrix::epsilon);
    for (int i = 0; i < count; ++i) to[i] = static_cast<float>(from[i] / norm);
  }

  std::unique_ptr<Reduction<float>> make_float_reduction(Communicator& ranks, std::size_t count) override {
    return make_cpu_reduction<float>(ranks, count);
  }
  std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(Communicator& ranks, std::size_t count) override {
    return make_cpu_reduction<std::int64_t>(ranks, count);
  }
  template <class T>
  std::unique_ptr<Reduction<T>> make_cpu_reduction(Communicator& ranks, std::size_t count) {
    std::unique_ptr<Reduction<T>> sum = ranks.make_reduction<T>(count);
    if (ranks.size() == 1) return sum;
    // Room for all, so that a step takes none: twice as much whenever it is used up.
    if (++reductions_ > under_way_.capacity()) under_way_.reserve(2 * reductions_);
    return std::make_unique<CpuReduction<T>>(std::move(sum), under_way_);
  }

  void weight_gradient(const BatchLayout& layout, int in, int out, const float* x, const float* delta, bool accumulate,
                       SumTarget dw) {
    const cpu::RowOrder order = row_order(layout, dw.exact());
    if (order.count == 0) {
      clear(product(in, out), accumulate, dw);
      return;
    }
    float* carry = dw.exact() ? carry_.get(product(in, out)) : nullptr;
    run(kernels_.affine_backward_weights, {order, in, out, x, delta, accumulate, sum(dw), carry},
        2 * product(order.count, in) * static_cast<std::size_t>(out));
  }

  static cpu::ConvolutionShape shape_of(const Convolution& g) {
    return {g.fine_height,     g.fine_width, g.fine_channels, g.coarse_height, g.coarse_width,
            g.coarse_channels, g.kernel,     g.stride,        g.padding};
  }

  void run_convolution(const Convolution& geometry, bool transposed, int rows, const float* source, const float* w,
                       const Finish& finish, float* result) {
    cpu::ConvolutionArgs args{shape_of(geometry),
                              transposed,
                              rows,
                              source,
                              w,
                              finish.bias,
                              finish.slope_of,
                              finish.activation.kind,
                              finish.activation.parameter,
                              nullptr,
                              nullptr,
                              nullptr,
                              0,
                              result,
                              nullptr,
                              0};
    const std::size_t weights = product(geometry.filter(), geometry.coarse_channels);
    const std::size_t work = 2 * product(rows, geometry.coarse_pixels()) * weights;
    const auto threads = static_cast<std::size_t>(pool_.threads());
    const cpu::WinogradTables& winograd = winograd_tables(geometry, transposed);
    if (winograd.pays()) {
      const std::size_t image = winograd.source_floats() + winograd.sums_floats();
      const std::size_t share = (static_cast<std::size_t>(std::max(rows, 1)) + threads - 1) / threads;
      const std::size_t block = std::min(share, std::max<std::size_t>(1, winograd_block_floats / image));
      const std::size_t left = block * image + 2 * cpu::window_slack;
      args.winograd = &winograd.plan();
      args.block = static_cast<int>(block);
      args.packed = filters_.get(winograd.filter_floats());
      args.left = windows_.get(threads * left);
      args.left_floats = static_cast<std::ptrdiff_t>(left);
      run(kernels_.winograd_filters, args, 4 * weights);
      run(kernels_.winograd_convolve, args, work);
      return;
    }
    // Lines that a part copies at a time: few enough to stay in the second cache beside the filters.
    constexpr std::size_t line_floats = 48 * 1024;
    const int source_channels = transposed ? geometry.coarse_channels : geometry.fine_channels;
    const int window = geometry.kernel * geometry.kernel * source_channels;
    const int channels = transposed ? geometry.fine_channels : geometry.coarse_channels;
    const int longest =
        transposed ? geometry.fine_width + geometry.kernel : geometry.coarse_width * geometry.stride + geometry.kernel;
    std::size_t left = std::max(line_floats, product(geometry.kernel, longest * source_channels) + cpu::window_slack);
    if (transposed && channels <= cpu::few_channels) {
      // An image's products with the filters, and its sums.
      const int filter = (geometry.filter() + cpu::window_slack) / 16 * 16;
      left = std::max(left, product(geometry.coarse_pixels(), filter) + static_cast<std::size_t>(geometry.fine_size()) +
                                cpu::window_slack);
    }
    const int columns = (channels + cpu::most_tile_columns - 1) / cpu::most_tile_columns * cpu::most_tile_columns;
    args.packed = filters_.get(product(window, columns));
    args.offsets = offsets_.get(static_cast<std::size_t>(window));
    args.left = windows_.get(threads * left);
    args.left_floats = static_cast<std::ptrdiff_t>(left);
    run(kernels_.pack_filters, args, weights);
    run(kernels_.convolve, args, work);
  }

  // Whether window_gradients' tiles have something to sum, vectors full of channels, and room for a line of pixels.
  static bool window_gradients_fit(const Convolution& g) {
    constexpr int least_pixels = 16;
    const std::size_t line = product(std::max(g.coarse_width * g.stride + g.kernel, g.fine_width), g.fine_channels);
    return g.coarse_pixels() >= least_pixels && g.coarse_channels >= cpu::window_weights_channels &&
           static_cast<std::size_t>(g.kernel) * line <= cpu::scratch_floats - cpu::scratch_slack;
  }

  void window_gradients(const BatchLayout& layout, const Convolution& geometry, const float* fine, const float* coarse,
                        bool accumulate, SumTarget dw) {
    const cpu::RowOrder order = row_order(layout, dw.exact());
    const std::size_t weights = product(geometry.filter(), geometry.coarse_channels);
    if (dw.exact() || order.count == 0) {
      clear(weights, accumulate, dw);
      accumulate = true;
    }
    // Blocks of so many pixels that adding their sums up costs little, and that these take less memory than the
    // adjoints.
    const int pixels = std::max(1024, 4 * geometry.filter());
    const int images = std::max(1, pixels / geometry.coarse_pixels());
    int* block_end = blocks_.get(static_cast<std::size_t>(order.count));
    int blocks = 0;
    for (int s = 0, begin = 0; s < order.shards; ++s)
      while (begin < order.shard_end[s]) {
        begin = std::min(begin + images, order.shard_end[s]);
        block_end[blocks++] = begin;
      }
    const int columns = (geometry.coarse_channels + 15) / 16 * 16;
    float* sums = windows_.get(product(blocks, geometry.filter()) * static_cast<std::size_t>(columns));
    const cpu::WindowWeightsArgs args{
        shape_of(geometry), order, blocks, block_end, layout.total_rows(), fine, coarse, sums, accumulate, sum(dw)};
    run(kernels_.window_products, args, 2 * product(order.count, geometry.coarse_pixels()) * weights);
    run(kernels_.window_gradients, args, product(blocks, 1) * weights);
  }

  void winograd_gradients(const cpu::WinogradTables& winograd, const BatchLayout& layout, const Convolution& geometry,
                          const float* fine, const float* coarse, bool accumulate, SumTarget dw) {
    const cpu::RowOrder order = row_order(layout, dw.exact());
    const std::size_t weights = product(geometry.filter(), geometry.coarse_channels);
    if (dw.exact() || order.count == 0) {
      clear(weights, accumulate, dw);
      accumulate = true;
    }
    // Blocks are cut from their shard's beginning on, and are as large for any number of rows and threads.
    const std::size_t image = winograd.source_floats() + winograd.adjoint_floats();
    const auto block = static_cast<int>(std::max<std::size_t>(1, winograd_gradient_floats / image));
    const auto most = static_cast<std::size_t>(std::min(block, std::max(order.count, 1)));
    const std::size_t source_floats = most * winograd.source_floats() + cpu::window_slack;
    float* left = windows_.get(source_floats + most * winograd.adjoint_floats() + cpu::window_slack);
    cpu::WinogradWeightsArgs args{&winograd.plan(),
                                  shape_of(geometry),
                                  layout.total_rows(),
                                  nullptr,
                                  0,
                                  0,
                                  fine,
                                  coarse,
                                  left,
                                  left + source_floats,
                                  filters_.get(winograd.gradient_floats()),
                                  accumulate,
                                  sum(dw)};
    int begin = 0;
    for (int s = 0; s < order.shards; ++s) {
      const int end = order.shard_end[s];
      if (begin == end) continue;
      std::fill(args.product, args.product + winograd.gradient_floats(), 0.0F);
      for (; begin < end; begin += args.count) {
        args.image = order.row + begin;
        args.count = std::min(block, end - begin);
        const std::size_t work = 2 * product(args.count, geometry.coarse_pixels()) * weights;
        for (args.group = 0; args.group < winograd.plan().piece->y.groups; ++args.group) {
          run(kernels_.winograd_transform, args, work);
          run(kernels_.winograd_multiply, args, work);
        }
      }
      run(kernels_.winograd_gradients, args, 4 * weights);
    }
  }

  // The tables of a geometry, made when it is first met.
  const cpu::WinogradTables& winograd_tables(const Convolution& g, bool transposed) {
    const WinogradKey key = {g.fine_height,     g.fine_width, g.fine_channels, g.coarse_height, g.coarse_width,
                             g.coarse_channels, g.kernel,     g.stride,        g.padding,       transposed ? 1 : 0};
    const auto found = winograd_.find(key);
    return found != winograd_.end() ? found->second : winograd_.try_emplace(key, shape_of(g), transposed).first->second;
  }

  static std::uint64_t value(StepCount count) { return *count.step * count.per_step + count.offset; }
  static cpu::Sum sum(const SumTarget& target) { return {target.values, target.fixed, target.overflow}; }

  static void clear(std::size_t count, bool accumulate, const SumTarget& target) {
    if (accumulate) return;
    if (target.exact()) {
      std::fill(target.fixed, target.fixed + count, 0);
    } else {
      std::fill(target.values, target.values + count, 0.0F);
    }
  }

  // Exact sums go shard by shard; others take the rows as they lie, as one shard. A row of the order is a pixel of
  // one of the layout's rows.
  cpu::RowOrder row_order(const BatchLayout& layout, bool exact, int pixels = 1) {
    const int count = layout.total_rows() * pixels;
    const int shards = exact ? layout.shards() : 1;
    int* row = order_.get(static_cast<std::size_t>(count));
    int* shard_end = shard_end_.get(static_cast<std::size_t>(shards));
    if (!exact) {
      for (int i = 0; i < count; ++i) row[i] = i;
      shard_end[0] = count;
      return {count, row, 1, shard_end};
    }
    int k = 0;
    for (int s = 0; s < shards; ++s) {
      for (int part = 0; part < layout.parts; ++part)
        for (int r = layout.shard_begin[static_cast<std::size_t>(s)] * pixels;
             r < layout.shard_begin[static_cast<std::size_t>(s) + 1] * pixels; ++r)
          row[k++] = part * layout.rows * pixels + r;
      shard_end[s] = k;
    }
    return {k, row, shards, shard_end};
  }

  // target (+)= Σ term(row) over the rows of one part, in double within a shard.
  template <class Term>
  static void sum_shards(const BatchLayout& layout, const SumTarget& target, bool accumulate, Term&& term) {
    const int shards = target.exact() ? layout.shards() : 1;
    std::int64_t fixed = accumulate && target.exact() ? *target.fixed : 0;
    for (int s = 0; s < shards; ++s) {
      const int begin = target.exact() ? layout.shard_begin[static_cast<std::size_t>(s)] : 0;
      const int end = target.exact() ? layout.shard_begin[static_cast<std::size_t>(s) + 1] : layout.rows;
      double sum = 0;
      for (int row = begin; row < end; ++row) sum += term(row);
      const auto value = static_cast<float>(sum);
      if (!target.exact()) {
        *target.values = accumulate ? *target.values + value : value;
      } else if (math::fits_fixed_point(value)) {
        fixed += math::to_fixed_point(value);
      } else {
        ++*target.overflow;
      }
    }
    if (target.exact()) *target.fixed = fixed;
  }

  static float inverse_deviation(const BatchNorm& norm, double variance) {
    return static_cast<float>(1 / std::sqrt(variance + static_cast<double>(norm.epsilon)));
  }

  // Elements of one part of the batch.
  static std::size_t part_size(const BatchLayout& layout, const BatchNorm& norm) {
    return product(layout.rows, norm.pixels) * static_cast<std::size_t>(norm.channels);
  }

  // The elements of as many whole pixels as fit into a row of the kernels, or of one.
  static int row_of(int channels, int least) { return channels * std::max(1, least / channels); }

  // What a pass needs to know of each channel and part, laid out for its kernel.
  template <std::size_t N>
  struct Coefficients {
    template <class Values>
    Coefficients(Workspace<float>& memory, const BatchLayout& layout, const BatchNorm& norm, Values&& of)
        : row(row_of(norm.channels, cpu::norm_row)) {
      const auto length = static_cast<std::size_t>(row);
      const auto channels = static_cast<std::size_t>(norm.channels);
      constexpr std::size_t line = 64;  // vectors of AVX-512 that begin elsewhere take twice as long to load
      const std::size_t count = static_cast<std::size_t>(layout.parts) * N * length;
      std::size_t space = count * sizeof(float) + line;
      void* aligned = memory.get(count + line / sizeof(float));
      auto* to = static_cast<float*>(std::align(line, count * sizeof(float), aligned, space));
      values = to;
      for (std::size_t part = 0; part < static_cast<std::size_t>(layout.parts); ++part, to += N * length) {
        for (std::size_t c = 0; c < channels; ++c) {
          const std::array<float, N> coefficients = of(part, c);
          for (std::size_t i = 0; i < N; ++i)
            for (std::size_t j = c; j < length; j += channels) to[i * length + j] = coefficients[i];
        }
      }
    }
    int row;
    const float* values;
  };

  // Fixed-point sums of finish(part, channel, Σ a, Σ a · b), which changes the two sums of a shard.
  template <class Finish>
  void sum_batch(const BatchLayout& layout, const BatchNorm& norm, const float* a, const float* b, std::int64_t* sums,
                 Finish&& finish) {
    const std::size_t pixel_row = product(norm.pixels, norm.channels);
    const auto channels = static_cast<std::size_t>(norm.channels);
    const auto row = static_cast<std::size_t>(row_of(norm.channels, cpu::norm_sum_row));
    const std::size_t most = row * cpu::norm_sum_rows;
    stretches_.clear();
    for_shards(layout, [&](int part, int first, int rows) {
      std::size_t begin = static_cast<std::size_t>(part * layout.rows + first) * pixel_row;
      const std::size_t end = begin + static_cast<std::size_t>(rows) * pixel_row;
      for (; begin < end; begin += most) stretches_.push_back({begin, std::min(most, end - begin)});
    });
    double* partial = partial_.get(stretches_.size() * 2 * row);
    run(kernels_.batch_norm_sums,
        {static_cast<int>(row), static_cast<int>(stretches_.size()), stretches_.data(), a, b, partial},
        4 * static_cast<std::size_t>(layout.total_rows()) * pixel_row);

    std::int64_t& overflow = sums[norm.sums(layout.parts) - 1];
    std::fill(sums, &overflow + 1, 0);
    const auto add = [&overflow](double value, std::int64_t& to) {
      if (math::fits_fixed_point(value)) {
        to += math::to_fixed_point(value);
      } else {
        ++overflow;
      }
    };
    for_shards(layout, [&](int part, int, int rows) {
      const std::size_t stretches = (static_cast<std::size_t>(rows) * pixel_row + most - 1) / most;
      if (stretches == 0) return;
      double* shard = partial;
      for (std::size_t i = 1; i < stretches; ++i)
        for (std::size_t j = 0; j < 2 * row; ++j) shard[j] += partial[i * 2 * row + j];
      for (std::size_t j = channels; j < row; ++j) {
        shard[j % channels] += shard[j];
        shard[row + j % channels] += shard[row + j];
      }
      std::int64_t* to = sums + static_cast<std::size_t>(part) * 2 * channels;
      for (std::size_t c = 0; c < channels; ++c) {
        double& sum = shard[c];
        double& product = shard[row + c];
        finish(part, c, sum, product);
        add(sum, to[c]);
        add(product, to[channels + c]);
      }
      partial += stretches * 2 * row;
    });
  }

  // work(part, first row in it, rows) for each shard of each part.
  template <class Work>
  static void for_shards(const BatchLayout& layout, Work&& work) {
    for (int part = 0; part < layout.parts; ++part) {
      for (int s = 0; s < layout.shards(); ++s) {
        const int first = layout.shard_begin[static_cast<std::size_t>(s)];
        work(part, first, layout.shard_begin[static_cast<std::size_t>(s) + 1] - first);
      }
    }
  }

  void run_loss(GanLoss loss, const BatchLayout& layout, bool discriminator, const float* real, const float* fake,
                float scale, float* seed_real, float* seed_fake, bool accumulate, const SumTarget& sums) {
    float* value = rows_.get(static_cast<std::size_t>(layout.rows));
    run(kernels_.loss,
        {loss.kind, layout.rows, loss.smoothing, discriminator, real, fake, scale, seed_real, seed_fake, value},
        static_cast<std::size_t>(layout.rows) * 64);
    const double factor = scale;
    const auto sum = [&](int which, auto&& term) {
      sum_shards(layout, sums.at(static_cast<std::size_t>(which)), accumulate, term);
    };
    sum(LossSums::loss, [&](int row) { return factor * static_cast<double>(value[row]); });
    math::Losses::visit(loss.kind, [&](auto known) {
      const auto real_of = [&](int row) { return real == nullptr ? 0.0F : real[row]; };
      sum(LossSums::real_right,
          [&](int row) { return real != nullptr && known.right_on_real(real[row], fake[row]) ? factor : 0.0; });
      sum(LossSums::fake_right, [&](int row) { return known.right_on_fake(real_of(row), fake[row]) ? factor : 0.0; });
    });
    sum(LossSums::real_score, [&](int row) { return real != nullptr ? factor * static_cast<double>(real[row]) : 0.0; });
    sum(LossSums::fake_score, [&](int row) { return factor * static_cast<double>(fake[row]); });
    sum(LossSums::penalty, [](int) { return 0.0; });
  }

  InstructionSet set_;
  const cpu::Kernels& kernels_;
  ThreadPool pool_;
  std::unique_ptr<float[], Free> scratch_;
  Workspace<float> rows_;
  Workspace<float> carry_;
  Workspace<float> filters_;
  Workspace<float> windows_;
  Workspace<int> offsets_;
  Workspace<double> partial_;
  Workspace<int> order_;
  Workspace<int> shard_end_;
  Workspace<int> blocks_;
  Workspace<float> norm_;
  std::vector<cpu::Stretch> stretches_;
  std::size_t reductions_ = 0;  // made so far
  std::vector<UnderWay*> under_way_;
  std::map<WinogradKey, cpu::WinogradTables> winograd_;
  Stopwatch own_time_;  // since end_step() or time_from_here()
};

}  // namespace

std::vector<std::string> cpu_instruction_sets() {
  std::vector<std::string> names;
  for (const InstructionSet& set : instruction_sets()) names.emplace_back(set.name);
  return names;
}

std::unique_ptr<Device> make_cpu_device(int threads, const std::string& instruction_set) {
  if (threads < 1)
    throw Error(ExitCode::usage, "a CPU device needs at least one thread, not " + std::to_string(threads));
  const std::vector<InstructionSet> sets = instruction_sets();
  if (instruction_set.empty()) return std::make_unique<CpuDevice>(threads, sets.back());
  for (const InstructionSet& set : sets)
    if (instruction_set == set.name) return std::make_unique<CpuDevice>(threads, set);
  throw Error(ExitCode::launch, "this machine cannot run the instruction set '" + instruction_set + "': it has " +
                                    joined(sets, ", ", &InstructionSet::name));
}

double measure_fma_peak_gflops() {
  const cpu::Kernels& kernels = *instruction_sets().back().kernels;
  float sink = 0;
  double best = 0;
  for (int repeat = 0; repeat < 20; ++repeat) {
    const Stopwatch watch;
    const double operations = kernels.multiply_adds(100000, &sink);
    best = std::max(best, operations / watch.seconds() * 1e-9);
  }
  return best;
}

}  // namespace ganymede
