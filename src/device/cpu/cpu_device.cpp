// The CPU device: checks and prepares the arguments of each operation and runs its kernel, compiled for
// the machine's instruction set, on the threads. Convolutions and batch normalisation have files of their own.
#include "device/cpu/cpu_device.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/host_memory.hpp"
#include "core/names.hpp"
#include "core/stopwatch.hpp"
#include "device/cpu/batch_norms.hpp"
#include "device/cpu/convolutions.hpp"
#include "device/cpu/engine.hpp"
#include "device/cpu/instruction_sets.hpp"
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

class DirectRoutine final : public Routine {
 public:
  explicit DirectRoutine(std::function<void()> work) : work_(std::move(work)) {}
  void run() override { work_(); }

 private:
  std::function<void()> work_;
};

class CpuDevice final : public Device {
 public:
  CpuDevice(int threads, const cpu::InstructionSet& set) : set_(set), engine_(threads, *set.kernels) {}

  std::string description() const override {
    const int threads = engine_.threads();
    return std::string("CPU, ") + set_.short_name + ", " + std::to_string(threads) +
           (threads == 1 ? " thread" : " threads");
  }
  std::string arithmetic() const override { return set_.name; }
  double peak_flops() const override { return engine_.threads() * measure_fma_peak_gflops() * 1e9; }
  double peak_bandwidth() const override { return 0; }

  std::size_t available_memory() const override { return available_host_memory(); }
  void* allocate(std::size_t bytes) override {
    void* pointer = cpu::allocate_aligned(bytes);
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
    const std::size_t work = 2 * cpu::product(rows, in) * static_cast<std::size_t>(out);
    engine_.run(kernels_.affine_forward, {rows, in, out, x, w, b, nullptr, sigma.kind, sigma.parameter, y}, work,
                engine_.cuts(work));
  }
  void affine_tangent(int rows, int in, int out, const float* tx, const float* w, Activation sigma, const float* y,
                      float* ty, const Rounded& /*rounded*/) override {
    engine_.run(kernels_.affine_tangent, {rows, in, out, tx, w, nullptr, y, sigma.kind, sigma.parameter, ty},
                2 * cpu::product(rows, in) * static_cast<std::size_t>(out));
  }
  void affine_backward_data(int rows, int in, int out, const float* delta, const float* w, Activation below,
                            const float* x, float* delta_in, const Rounded& /*rounded*/) override {
    engine_.run(kernels_.affine_backward_data,
                {rows, in, out, delta, w, nullptr, x, below.kind, below.parameter, delta_in},
                2 * cpu::product(rows, in) * static_cast<std::size_t>(out));
  }

  void affine_gradients(const BatchLayout& layout, int in, int out, const float* x, const float* delta,
                        const float* row_scale, bool accumulate, SumTarget dw, SumTarget db,
                        const Rounded& /*rounded*/) override {
    if (dw.wanted()) weight_gradient(layout, in, out, x, delta, accumulate, dw);
    if (db.wanted()) {
      const cpu::RowOrder order = engine_.row_order(layout, db.exact());
      engine_.run(kernels_.bias_gradient, {order, 1, out, delta, row_scale, accumulate, cpu::sum_of(db)},
                  cpu::product(order.count, out));
    }
  }

  void convolve(const Convolution& geometry, int rows, const float* fine, const float* w, const Finish& finish,
                float* coarse, const Rounded& /*rounded*/) override {
    convolutions_.run(geometry, false, rows, fine, w, finish, coarse);
  }
  void convolve_transposed(const Convolution& geometry, int rows, const float* coarse, const float* w,
                           const Finish& finish, float* fine, const Rounded& /*rounded*/) override {
    convolutions_.run(geometry, true, rows, coarse, w, finish, fine);
  }
  void convolution_gradients(const BatchLayout& layout, const Convolution& geometry, const float* fine,
                             const float* coarse, bool accumulate, SumTarget dw, const Rounded& /*rounded*/) override {
    convolutions_.gradients(layout, geometry, fine, coarse, accumulate, dw);
  }
  void channel_gradients(const BatchLayout& layout, int pixels, int channels, const float* delta,
                         const float* row_scale, bool accumulate, SumTarget db) override {
    const cpu::RowOrder order = engine_.row_order(layout, db.exact());
    engine_.run(kernels_.bias_gradient, {order, pixels, channels, delta, row_scale, accumulate, cpu::sum_of(db)},
                cpu::product(order.count, pixels) * static_cast<std::size_t>(channels));
  }

  void batch_norm_moments(const BatchLayout& layout, const BatchNorm& norm, const float* x,
                          std::int64_t* sums) override {
    batch_norms_.moments(layout, norm, x, sums);
  }
  void batch_norm_statistics(int parts, const BatchNorm& norm, const std::int64_t* moments, float* statistics,
                             float* running) override {
    cpu::BatchNorms::statistics(parts, norm, moments, statistics, running);
  }
  void batch_norm_frozen(const BatchNorm& norm, const float* running, float* statistics) override {
    cpu::BatchNorms::frozen(norm, running, statistics);
  }
  void batch_norm_forward(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* statistics,
                          const float* gamma, const float* beta, Activation sigma, float* y) override {
    batch_norms_.forward(layout, norm, x, statistics, gamma, beta, sigma, y);
  }
  void batch_norm_adjoints(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                           const float* statistics, std::int64_t* sums) override {
    batch_norms_.adjoints(layout, norm, x, delta, statistics, sums);
  }
  void batch_norm_gradients(int parts, const BatchNorm& norm, const std::int64_t* adjoints, bool accumulate,
                            SumTarget dgamma, SumTarget dbeta) override {
    cpu::BatchNorms::gradients(parts, norm, adjoints, accumulate, dgamma, dbeta);
  }
  void batch_norm_backward_data(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                                const float* statistics, const float* gamma, const std::int64_t* adjoints,
                                Activation below, float* delta_in) override {
    batch_norms_.backward_data(layout, norm, x, delta, statistics, gamma, adjoints, below, delta_in);
  }

  void spectral_iteration(const SpectralMatrix& m) override {
    row_dots(m, m.w, m.v, 0);
    normalise(m.rows, m.work, m.u);
    engine_.run(kernels_.column_sums, {m.rows, m.columns, m.u, m.w, m.work}, 2 * cpu::product(m.rows, m.columns));
    normalise(m.columns, m.work, m.v);
  }
  void spectral_normalise(const SpectralMatrix& m) override {
    row_dots(m, m.w, m.v, 0);
    double sigma = 0;
    for (int row = 0; row < m.rows; ++row) sigma += static_cast<double>(m.u[row]) * m.work[row];
    *m.sigma = static_cast<float>(sigma);
    engine_.run(kernels_.divide, {cpu::product(m.rows, m.columns), *m.sigma, m.w, m.normalised},
                cpu::product(m.rows, m.columns));
  }
  void spectral_gradient(const SpectralMatrix& m, const float* g, float* to) override {
    row_dots(m, g, m.normalised, m.columns);
    double product_sum = 0;
    for (int row = 0; row < m.rows; ++row) product_sum += m.work[row];
    engine_.run(kernels_.take_rank_one, {m.rows, m.columns, g, m.u, m.v, static_cast<float>(product_sum), *m.sigma, to},
                2 * cpu::product(m.rows, m.columns));
  }

  void draw_mask(const MaskDraw& draw, int rows, int columns, double share, std::uint8_t* mask) override {
    engine_.run(
        kernels_.draw_mask,
        {draw.seed, draw.stream, cpu::value(draw.first), draw.layer, rows, columns, math::drop_threshold(share), mask},
        8 * cpu::product(rows, columns));
  }
  void apply_mask(std::size_t count, const std::uint8_t* mask, float factor, const float* from, Activation below,
                  const float* x, float* to) override {
    // The identity's slope depends on no input: any array will do.
    engine_.run(kernels_.apply_mask,
                {count, mask, factor, from, x == nullptr ? from : x, below.kind, below.parameter, to}, 2 * count);
  }

  void append_class(int rows, int pixels, int channels, int classes, const std::uint8_t* labels, const float* x,
                    float* y) override {
    engine_.run(kernels_.append_class, {rows, pixels, channels, classes, labels, x, nullptr, 0, 0, y},
                cpu::product(rows, pixels * (channels + classes)));
  }
  void append_class_backward(int rows, int pixels, int channels, int classes, const float* delta, Activation below,
                             const float* x, float* delta_in) override {
    // The identity's slope depends on no input: any array will do.
    engine_.run(kernels_.append_class_backward,
                {rows, pixels, channels, classes, nullptr, delta, x == nullptr ? delta : x, below.kind, below.parameter,
                 delta_in},
                cpu::product(rows, pixels * channels));
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
    engine_.run(kernels_.gradient_penalty, {penalty, layout.rows, columns, g, coefficient, v, squares},
                2 * cpu::product(layout.rows, columns));
    math::Penalties::visit(penalty, [&](auto known) {
      cpu::sum_shards(layout, value, true, [&](int row) {
        return static_cast<double>(coefficient) * known.value(static_cast<double>(squares[row]));
      });
    });
  }
  void combine_rows(int rows, int columns, const float* scale, const float* t, float* h) override {
    engine_.run(kernels_.combine_rows, {rows, columns, scale, t, h}, cpu::product(rows, columns));
  }

  void from_fixed_point(std::size_t count, const std::int64_t* from, const std::int64_t* overflow, float* to) override {
    if (*overflow != 0) {
      std::fill(to, to + count, std::numeric_limits<float>::quiet_NaN());
    } else {
      engine_.run(kernels_.from_fixed_point, {count, from, to}, count);
    }
  }
  void add_to(std::size_t count, const float* from, double* to) override {
    engine_.run(kernels_.add_to, {count, from, to}, count);
  }
  void sum_of_squares(std::size_t count, const float* x, double* result) override {
    const std::size_t blocks = (count + cpu::squares_block - 1) / cpu::squares_block;
    double* partial = partial_.get(blocks);
    engine_.run(kernels_.sum_of_squares, {count, x, partial}, count);
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
            i, args.constants, cpu::value(args.updates), args.constants.schedule.updates, *args.squared_norm);
    });
    engine_.run(kernels_.optimizer_update, update, 8 * args.count);
    const MovingAverage& average = args.average;
    if (average.values != nullptr)
      engine_.run(kernels_.exponential_average, {args.count, average.decay, args.parameters, average.values},
                  args.count);
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
    engine_.run(kernels_.draw_normal, {seed, stream, cpu::value(first), rows, columns, out},
                32 * cpu::product(rows, columns));
  }
  void draw_uniform(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns,
                    float* out) override {
    engine_.run(kernels_.draw_uniform, {seed, stream, cpu::value(first), rows, columns, out},
                8 * cpu::product(rows, columns));
  }
  void add_noise(std::uint64_t seed, std::uint32_t stream, StepCount first, const FallingDeviation& deviation, int rows,
                 int columns, const float* x, float* out) override {
    const float s = math::falling_deviation(deviation.start, deviation.end, *deviation.step);
    if (s > 0)
      engine_.run(kernels_.add_noise, {{seed, stream, cpu::value(first), rows, columns, out}, s, x},
                  32 * cpu::product(rows, columns));
    else if (x != out)
      copy(out, x, cpu::product(rows, columns) * sizeof(float));
  }
  void interpolate(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns, const float* a,
                   const float* b, float* out) override {
    engine_.run(kernels_.interpolate, {seed, stream, cpu::value(first), rows, columns, a, b, out},
                2 * cpu::product(rows, columns));
  }
  void gather_images(std::uint64_t seed, StepCount first, const std::uint8_t* images, std::uint32_t image_count,
                     int rows, int pixels, int channels, float* out) override {
    engine_.run(kernels_.gather_images, {seed, cpu::value(first), images, image_count, rows, pixels, channels, out},
                cpu::product(rows, pixels * channels));
  }
  void gather_labels(std::uint64_t seed, StepCount first, const std::uint8_t* labels, std::uint32_t image_count,
                     int rows, std::uint8_t* out) override {
    const std::uint64_t sample = cpu::value(first);
    for (int row = 0; row < rows; ++row)
      out[row] = labels[math::image_of_sample(seed, sample + static_cast<std::uint64_t>(row), image_count)];
  }

 private:
  void row_dots(const SpectralMatrix& m, const float* a, const float* b, std::ptrdiff_t b_stride) {
    engine_.run(kernels_.row_dots, {m.rows, m.columns, a, b, b_stride, m.work}, 2 * cpu::product(m.rows, m.columns));
  }
  static void normalise(int count, const double* from, float* to) {
    double squares = 0;
    for (int i = 0; i < count; ++i) squares += from[i] * from[i];
    const double norm = std::max(std::sqrt(squares), SpectralMatrix::epsilon);
    for (int i = 0; i < count; ++i) to[i] = static_cast<float>(from[i] / norm);
  }
  std::unique_ptr<Reduction<float>> make_float_reduction(Communicator& ranks, std::size_t count) override {
    return engine_.sums.make<float>(ranks, count);
  }
  std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(Communicator& ranks, std::size_t count) override {
    return engine_.sums.make<std::int64_t>(ranks, count);
  }

  void weight_gradient(const BatchLayout& layout, int in, int out, const float* x, const float* delta, bool accumulate,
                       SumTarget dw) {
    const cpu::RowOrder order = engine_.row_order(layout, dw.exact());
    if (order.count == 0) {
      cpu::clear(cpu::product(in, out), accumulate, dw);
      return;
    }
    float* carry = dw.exact() ? engine_.carry.get(cpu::product(in, out)) : nullptr;
    engine_.run(kernels_.affine_backward_weights, {order, in, out, x, delta, accumulate, cpu::sum_of(dw), carry},
                2 * cpu::product(order.count, in) * static_cast<std::size_t>(out));
  }
  void run_loss(GanLoss loss, const BatchLayout& layout, bool discriminator, const float* real, const float* fake,
                float scale, float* seed_real, float* seed_fake, bool accumulate, const SumTarget& sums) {
    float* value = rows_.get(static_cast<std::size_t>(layout.rows));
    engine_.run(kernels_.loss,
                {loss.kind, layout.rows, loss.smoothing, discriminator, real, fake, scale, seed_real, seed_fake, value},
                static_cast<std::size_t>(layout.rows) * 64);
    const double factor = scale;
    const auto sum = [&](int which, auto&& term) {
      cpu::sum_shards(layout, sums.at(static_cast<std::size_t>(which)), accumulate, term);
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
  cpu::InstructionSet set_;
  cpu::Engine engine_;
  const cpu::Kernels& kernels_ = engine_.kernels;
  cpu::Convolutions convolutions_{engine_};
  cpu::BatchNorms batch_norms_{engine_};
  cpu::Workspace<float> rows_;
  cpu::Workspace<double> partial_;
  Stopwatch own_time_;  // since end_step() or time_from_here()
};

}  // namespace

std::unique_ptr<Device> make_cpu_device(int threads, const std::string& instruction_set) {
  if (threads < 1)
    throw Error(ExitCode::usage, "a CPU device needs at least one thread, not " + std::to_string(threads));
  const std::vector<cpu::InstructionSet> sets = cpu::instruction_sets();
  if (instruction_set.empty()) return std::make_unique<CpuDevice>(threads, sets.back());
  for (const cpu::InstructionSet& set : sets)
    if (instruction_set == set.name) return std::make_unique<CpuDevice>(threads, set);
  throw Error(ExitCode::launch, "this machine cannot run the instruction set '" + instruction_set + "': it has " +
                                    joined(sets, ", ", &cpu::InstructionSet::name));
}

}  // namespace ganymede
