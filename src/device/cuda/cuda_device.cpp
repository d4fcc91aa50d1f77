// The GPU device: each operation enqueues one of our kernels, or cuBLASLt's where products are large, or cuDNN's for
// convolutions, on one stream. Nothing waits for the GPU but upload(), download(), synchronize() and await(); with
// --debug every operation does, and looks at what it wrote.
#include "device/cuda/cuda_device.hpp"

#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "comm/nccl/nccl_group.hpp"
#include "core/numbers.hpp"
#include "core/stopwatch.hpp"
#include "device/cuda/alignment.hpp"
#include "device/cuda/blas.hpp"
#include "device/cuda/convolutions.hpp"
#include "device/cuda/graph_routine.hpp"
#include "device/cuda/kernels.hpp"
#include "device/cuda/placement.hpp"
#include "device/cuda/reductions.hpp"
#include "device/cuda/runtime.hpp"
#include "device/cuda/step_timer.hpp"
#include "ganymede/error.hpp"
#include "math/activation/activations.hpp"
#include "math/dropout.hpp"

namespace ganymede::cuda {
namespace {

// What kernels and the host write into each other's memory has one layout.
static_assert(sizeof(Report) == sizeof(StepReport));
static_assert(offsetof(Report, stop) == offsetof(StepReport, stop));
static_assert(offsetof(Report, own_seconds) == offsetof(StepReport, own_seconds));
static_assert(offsetof(Report, discriminator_squared_norm) == offsetof(StepReport, discriminator_squared_norm));
static_assert(offsetof(Report, generator_squared_norm) == offsetof(StepReport, generator_squared_norm));
// What is promised is what the kernels can take: kernels.hpp.
static_assert(CudaLimits::shards <= max_shards);
static_assert(BatchNorm::moment_unit == moment_unit);
static_assert(SpectralMatrix::epsilon == least_norm);
static_assert(CudaLimits::penalty_rows <= Scratch::partial_count);
static_assert(CudaLimits::parameters <= 2048 * Scratch::partial_count);

std::size_t product(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

ConvolutionShape shape_of(const Convolution& g) {
  return {g.fine_height,     g.fine_width, g.fine_channels, g.coarse_height, g.coarse_width,
          g.coarse_channels, g.kernel,     g.stride,        g.padding};
}
BatchNormShape shape_of(const BatchNorm& norm) {
  return {norm.pixels, norm.channels, norm.count, norm.epsilon, norm.momentum};
}
Finishing finishing_of(const Finish& finish) {
  return {finish.bias, finish.activation.kind, finish.activation.parameter, finish.slope_of};
}

Sum sum_of(const SumTarget& target) { return {target.values, target.fixed, target.overflow}; }

bool is_activation(const Activation& sigma, const char* name) { return std::strcmp(sigma.name(), name) == 0; }

// Throws where this GPU has no tensor cores for it.
void check_precision(Precision precision, const Place& place) {
  if (precision == Precision::float32) return;
  int major = 0;
  int minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, place.index), "ask what the GPU can do");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, place.index), "ask what the GPU can do");
  if (major >= 8) return;
  throw Error(ExitCode::launch, "--precision " + name_of(precision) +
                                    " needs a GPU of compute capability 8.0 (Ampere, 2020) or later, and the " +
                                    place.gpu + " has " + std::to_string(major) + "." + std::to_string(minor) +
                                    ": train with --precision fp32");
}

// What a layer's operation is made from and makes, or its channels, by which one knows the layer.
struct Widths {
  int in = 0;
  int out = 0;
};
Widths channels_of(const BatchNorm& norm) { return {0, norm.channels}; }
Widths widths_of(const SpectralMatrix& m) { return {m.columns, m.rows}; }

class CudaDevice final : public Device {
 public:
  CudaDevice(Communicator& ranks, const CudaOptions& options, std::vector<Place> places)
      : options_(options),
        places_(std::move(places)),
        place_(places_[static_cast<std::size_t>(ranks.rank())]),
        compute_(false),
        urgent_(true),
        partial_(Scratch::partial_count * sizeof(double)),
        tickets_(Scratch::ticket_count * sizeof(unsigned)),
        first_bad_(sizeof(unsigned long long)) {
    set_debugging(options_.debug);
    major_ = static_cast<int>(attribute(cudaDevAttrComputeCapabilityMajor));
    minor_ = static_cast<int>(attribute(cudaDevAttrComputeCapabilityMinor));
    check(cudaMemsetAsync(tickets_.as<void>(), 0, Scratch::ticket_count * sizeof(unsigned), compute_.get()),
          "clear memory");
    check(cudaStreamSynchronize(compute_.get()), "clear memory");  // a device may end before anything waits for it
    scratch_ = {partial_.as<double>(), tickets_.as<unsigned>()};
    for (int i = 0; i <= steps_ahead(); ++i) marks_.push_back(std::make_unique<Event>());
  }
  ~CudaDevice() override {
    if (named_) nvtxRangePop();
  }

  std::string description() const override {
    return place_.gpu + " (" + place_.pci_id + ")" +
           (options_.precision == Precision::tf32       ? ", TF32"
            : options_.precision == Precision::bfloat16 ? ", bfloat16"
                                                        : "") +
           (options_.debug ? ", checked after every operation" : "");
  }
  std::string arithmetic() const override {
    return "cuda sm_" + std::to_string(major_) + std::to_string(minor_) +
           (options_.precision == Precision::float32 ? "" : " " + name_of(options_.precision));
  }

  double peak_flops() const override {
    return 2 * attribute(cudaDevAttrMultiProcessorCount) * multiply_adds_per_clock() * attribute(cudaDevAttrClockRate) *
           1e3;
  }
  double peak_bandwidth() const override {
    // Two transfers a clock, of as many bits as the bus is wide.
    return 2 * attribute(cudaDevAttrMemoryClockRate) * 1e3 * attribute(cudaDevAttrGlobalMemoryBusWidth) / 8;
  }

  void* allocate(std::size_t bytes) override {
    void* pointer = advised(Use::array, [&] { return cuda::allocate(bytes); });
    arrays_[pointer] = bytes;
    taken_ += bytes;
    check(cudaMemsetAsync(pointer, 0, bytes, compute_.get()), "clear memory");
    return pointer;
  }
  void release(void* pointer) noexcept override {
    if (const auto found = arrays_.find(pointer); found != arrays_.end()) {
      taken_ -= found->second;
      arrays_.erase(found);
    }
    // cudaFree waits for the GPU, which may wait for a rank that has failed: the end of the process frees all.
    if (std::uncaught_exceptions() == 0) cudaFree(pointer);
  }
  std::size_t available_memory() const override { return free_memory(); }
  void set_memory_advice(MemoryAdvice advice) override { memory_advice_ = std::move(advice); }
  void upload(void* to_device, const void* from_host, std::size_t bytes) override {
    copy_and_wait(to_device, from_host, bytes, cudaMemcpyHostToDevice, "copy to the GPU");
  }
  void download(void* to_host, const void* from_device, std::size_t bytes) override {
    copy_and_wait(to_host, from_device, bytes, cudaMemcpyDeviceToHost, "copy from the GPU");
  }
  void fetch(void* to_host, const void* from_device, std::size_t bytes) override {
    check(cudaMemcpyAsync(to_host, from_device, bytes, cudaMemcpyDeviceToHost, compute_.get()), "copy from the GPU");
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, compute_.get()), "copy on the GPU");
  }
  void zero(void* pointer, std::size_t bytes) override {
    check(cudaMemsetAsync(pointer, 0, bytes, compute_.get()), "clear memory");
  }
  void synchronize() override {
    if (timer_) timer_->join(compute_.get());
    marked_.record(compute_.get());
    wait_for(marked_);
  }
  bool is_host() const override { return false; }
  void* allocate_host(std::size_t bytes) override {
    void* const pointer = cuda::allocate_host(bytes, cudaHostAllocMapped);
    void* view = nullptr;
    check(cudaHostGetDevicePointer(&view, pointer, 0), "let the GPU see host memory");
    std::memset(pointer, 0, bytes);
    views_[pointer] = view;
    return pointer;
  }
  void release_host(void* pointer) noexcept override {
    views_.erase(pointer);
    if (std::uncaught_exceptions() == 0) cudaFreeHost(pointer);
  }

  int steps_ahead() const override { return options_.debug ? 0 : 2; }
  void mark(int number) override { marks_[static_cast<std::size_t>(number)]->record(compute_.get()); }
  void await(int number) override { wait_for(*marks_[static_cast<std::size_t>(number)]); }
  void time_from_here() override {
    if (timer_) timer_->begin(compute_.get());
  }
  std::unique_ptr<Routine> make_routine(std::function<void()> enqueue) override {
    const bool graph = options_.graph && !options_.debug;
    // A recording ends with all streams joined.
    const auto all = [this, enqueue = std::move(enqueue)] {
      enqueue();
      if (timer_) timer_->join(compute_.get());
    };
    return make_graph_routine(compute_.get(), all, [this, graph] { return graph && !staged_; });
  }
  void enter_layer(int number) override { layer_ = number; }
  void enter(const char* name) override {
    phase_ = name;
    if (named_) nvtxRangePop();
    named_ = *name != '\0';
    if (named_) nvtxRangePushA(name);
  }

  bool rounds() const override { return options_.precision == Precision::bfloat16; }
  void round(std::size_t count, const float* from, Bfloat16* to) override {
    narrow(compute_.get(), {from, to, count});
    launched("rounded weights", nullptr, 0);
  }

  void affine_forward(int rows, int in, int out, const float* x, const float* w, const float* b, Activation sigma,
                      float* y, const Rounded& rounded) override {
    if (!large(rows, in, out) || !forward_by_cublas(rows, in, out, x, w, b, sigma, y, rounded))
      cuda::affine_forward(compute_.get(), rows, in, out, x, w, b, sigma.kind, sigma.parameter, y);
    launched("a layer's forward pass", y, product(rows, out), {in, out});
  }
  void affine_tangent(int rows, int in, int out, const float* tx, const float* w, Activation sigma, const float* y,
                      float* ty, const Rounded& rounded) override {
    if (large(rows, in, out) && multiply(rows, in, out, tx, w, true, rounded, Blas::Epilogue::none, nullptr, ty)) {
      slope(product(rows, out), sigma, y, ty);
    } else {
      cuda::affine_tangent(compute_.get(), rows, in, out, tx, w, sigma.kind, sigma.parameter, y, ty);
    }
    launched("a layer's tangent pass", ty, product(rows, out), {in, out});
  }
  void affine_backward_data(int rows, int in, int out, const float* delta, const float* w, Activation below,
                            const float* x, float* delta_in, const Rounded& rounded) override {
    if (large(rows, in, out) &&
        multiply(rows, out, in, delta, w, false, rounded, Blas::Epilogue::none, nullptr, delta_in)) {
      if (x != nullptr) slope(product(rows, in), below, x, delta_in);
    } else {
      cuda::affine_backward_data(compute_.get(), rows, in, out, delta, w, below.kind, below.parameter, x, delta_in);
    }
    launched("a layer's backward pass", delta_in, product(rows, in), {in, out});
  }
  void affine_gradients(const BatchLayout& layout, int in, int out, const float* x, const float* delta,
                        const float* row_scale, bool accumulate, SumTarget dw, SumTarget db,
                        const Rounded& rounded) override {
    const int rows = layout.total_rows();
    Made done;
    if (dw.wanted() && !dw.exact() && large(rows, in, out)) {
      // A product's epilogue overwrites, and weighs no rows.
      float* const sums = !accumulate && row_scale == nullptr && Blas::takes_bias(db.values) ? db.values : nullptr;
      if (rounded.room == nullptr) {
        done = gradients_by_cublas(rows, in, out, x, delta, accumulate, dw.values, sums);
      } else {
        const std::size_t count = product(rows, out);
        Bfloat16* const delta16 = rounded.room;
        Bfloat16* const x16 = delta16 + Rounded::padded(count);
        narrow(compute_.get(), {delta, delta16, count}, {x, x16, product(rows, in)});
        done = gradients_by_cublas(rows, in, out, x16, delta16, accumulate, dw.values, sums);
      }
    }
    const SumTarget own_dw = done.weights ? SumTarget{} : dw;
    const SumTarget own_db = done.biases ? SumTarget{} : db;
    if (own_dw.wanted() || own_db.wanted())
      cuda::affine_gradients(compute_.get(), shards_of(layout, dw.exact() || db.exact()), in, out, x, delta, row_scale,
                             accumulate, sum_of(own_dw), sum_of(own_db));
    launched("a layer's gradients", dw.values, dw.values == nullptr ? 0 : product(in, out), {in, out});
    launched("a layer's bias gradients", db.values, db.values == nullptr ? 0 : product(1, out), {in, out});
  }

  void convolve(const Convolution& geometry, int rows, const float* fine, const float* w, const Finish& finish,
                float* coarse, const Rounded& rounded) override {
    if (!pass_by_cudnn({ConvolutionPass::coarse, geometry, rows}, fine, w, finish, rounded, coarse))
      cuda::convolve(compute_.get(), shape_of(geometry), rows, fine, w, finishing_of(finish), coarse);
    launched("a convolution", coarse, product(rows, geometry.coarse_size()),
             {geometry.fine_channels, geometry.coarse_channels});
  }
  void convolve_transposed(const Convolution& geometry, int rows, const float* coarse, const float* w,
                           const Finish& finish, float* fine, const Rounded& rounded) override {
    if (!pass_by_cudnn({ConvolutionPass::fine, geometry, rows}, coarse, w, finish, rounded, fine))
      cuda::convolve_transposed(compute_.get(), shape_of(geometry), rows, coarse, w, finishing_of(finish), fine);
    launched("a transposed convolution", fine, product(rows, geometry.fine_size()),
             {geometry.coarse_channels, geometry.fine_channels});
  }
  void convolution_gradients(const BatchLayout& layout, const Convolution& geometry, const float* fine,
                             const float* coarse, bool accumulate, SumTarget dw, const Rounded& rounded) override {
    if (dw.values == nullptr || !gradients_by_cudnn({ConvolutionPass::weights, geometry, layout.total_rows()}, fine,
                                                    coarse, accumulate, rounded, dw.values))
      cuda::convolution_gradients(compute_.get(), shards_of(layout, dw.exact()), shape_of(geometry), fine, coarse,
                                  accumulate, sum_of(dw), scratch_);
    launched("a convolution's gradients", dw.values,
             dw.values == nullptr ? 0 : product(geometry.coarse_channels, geometry.filter()),
             {geometry.fine_channels, geometry.coarse_channels});
  }
  void channel_gradients(const BatchLayout& layout, int pixels, int channels, const float* delta,
                         const float* row_scale, bool accumulate, SumTarget db) override {
    if (db.exact() && !accumulate) zero(db.fixed, static_cast<std::size_t>(channels) * sizeof(std::int64_t));
    cuda::channel_gradients(compute_.get(), shards_of(layout, db.exact()), pixels, channels, delta, row_scale,
                            accumulate, sum_of(db), scratch_);
    launched("a layer's bias gradients", db.values, db.values == nullptr ? 0 : product(1, channels), {0, channels});
  }

  void batch_norm_moments(const BatchLayout& layout, const BatchNorm& norm, const float* x,
                          std::int64_t* sums) override {
    zero(sums, norm.sums(layout.parts) * sizeof(std::int64_t));
    cuda::batch_norm_moments(compute_.get(), shards_of(layout, options_.reproducible), shape_of(norm), x, sums);
    launched("batch normalisation's moments", nullptr, 0, channels_of(norm));
  }
  void batch_norm_statistics(int parts, const BatchNorm& norm, const std::int64_t* moments, float* statistics,
                             float* running) override {
    cuda::batch_norm_statistics(compute_.get(), parts, shape_of(norm), moments, statistics, running);
    launched("batch normalisation's statistics", statistics, product(2 * parts, norm.channels), channels_of(norm));
  }
  void batch_norm_frozen(const BatchNorm& norm, const float* running, float* statistics) override {
    cuda::batch_norm_frozen(compute_.get(), shape_of(norm), running, statistics);
    launched("batch normalisation's running statistics", statistics, product(2, norm.channels), channels_of(norm));
  }
  void batch_norm_forward(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* statistics,
                          const float* gamma, const float* beta, Activation sigma, float* y) override {
    cuda::batch_norm_forward(compute_.get(), layout.parts, layout.rows, shape_of(norm), x, statistics, gamma, beta,
                             sigma.kind, sigma.parameter, y);
    launched("batch normalisation", y, product(layout.total_rows(), norm.pixels * norm.channels), channels_of(norm));
  }
  void batch_norm_adjoints(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                           const float* statistics, std::int64_t* sums) override {
    zero(sums, norm.sums(layout.parts) * sizeof(std::int64_t));
    cuda::batch_norm_adjoints(compute_.get(), shards_of(layout, options_.reproducible), shape_of(norm), x, delta,
                              statistics, sums);
    launched("batch normalisation's adjoints", nullptr, 0, channels_of(norm));
  }
  void batch_norm_gradients(int parts, const BatchNorm& norm, const std::int64_t* adjoints, bool accumulate,
                            SumTarget dgamma, SumTarget dbeta) override {
    cuda::batch_norm_gradients(compute_.get(), parts, shape_of(norm), adjoints, accumulate, sum_of(dgamma),
                               sum_of(dbeta));
    launched("batch normalisation's gradients", dgamma.values, dgamma.values == nullptr ? 0 : product(1, norm.channels),
             channels_of(norm));
  }
  void batch_norm_backward_data(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                                const float* statistics, const float* gamma, const std::int64_t* adjoints,
                                Activation below, float* delta_in) override {
    cuda::batch_norm_backward_data(compute_.get(), layout.parts, layout.rows, shape_of(norm), x, delta, statistics,
                                   gamma, adjoints, below.kind, below.parameter, delta_in);
    launched("batch normalisation's backward pass", delta_in, product(layout.total_rows(), norm.pixels * norm.channels),
             channels_of(norm));
  }

  void spectral_iteration(const SpectralMatrix& m) override {
    spectral_left(compute_.get(), m.rows, m.columns, m.w, m.v, m.u, m.work, scratch_);
    launched("the power iteration", m.u, product(m.rows, 1), widths_of(m));
    spectral_right(compute_.get(), m.rows, m.columns, m.w, m.u, m.v, m.work, scratch_);
    launched("the power iteration", m.v, product(1, m.columns), widths_of(m));
  }
  void spectral_normalise(const SpectralMatrix& m) override {
    spectral_sigma(compute_.get(), m.rows, m.columns, m.w, m.u, m.v, m.sigma, m.work, scratch_);
    launched("a spectral norm", m.sigma, 1, widths_of(m));
    divide(compute_.get(), product(m.rows, m.columns), m.w, m.sigma, m.normalised);
    launched("spectral normalisation", m.normalised, product(m.rows, m.columns), widths_of(m));
  }
  // A gradient that is not finite is what the guard of the update is for: no trap here.
  void spectral_gradient(const SpectralMatrix& m, const float* g, float* to) override {
    spectral_product(compute_.get(), m.rows, m.columns, g, m.normalised, m.work, scratch_);
    launched("spectral normalisation's gradient", nullptr, 0, widths_of(m));
    cuda::spectral_gradient(compute_.get(), m.rows, m.columns, g, m.work, m.u, m.v, m.sigma, to);
    launched("spectral normalisation's gradient", nullptr, 0, widths_of(m));
  }

  void draw_mask(const MaskDraw& draw, int rows, int columns, double share, std::uint8_t* mask) override {
    const StepCount& first = draw.first;
    cuda::draw_mask(compute_.get(), draw.seed, draw.stream, first.step, first.per_step, first.offset, draw.layer, rows,
                    columns, math::drop_threshold(share), mask);
    launched("a dropout mask", nullptr, 0);
  }
  void apply_mask(std::size_t count, const std::uint8_t* mask, float factor, const float* from, Activation below,
                  const float* x, float* to) override {
    cuda::apply_mask(compute_.get(), count, mask, factor, from, below.kind, below.parameter, x, to);
    launched("dropout", to, count);
  }

  void append_class(int rows, int pixels, int channels, int classes, const std::uint8_t* labels, const float* x,
                    float* y) override {
    cuda::append_class(compute_.get(), rows, pixels, channels, classes, labels, x, y);
    launched("appended classes", y, product(rows, pixels * (channels + classes)));
  }
  void append_class_backward(int rows, int pixels, int channels, int classes, const float* delta, Activation below,
                             const float* x, float* delta_in) override {
    cuda::append_class_backward(compute_.get(), rows, pixels, channels, classes, delta, below.kind, below.parameter, x,
                                delta_in);
    launched("appended classes' backward pass", delta_in, product(rows, pixels * channels));
  }
  void class_score(int rows, int classes, const std::uint8_t* labels, const float* x, float* y) override {
    cuda::class_score(compute_.get(), rows, classes, labels, x, y);
    launched("the scores of classes", y, product(rows, 1));
  }
  void class_score_backward(int rows, int classes, const std::uint8_t* labels, const float* delta,
                            float* delta_in) override {
    cuda::class_score_backward(compute_.get(), rows, classes, labels, delta, delta_in);
    launched("the scores' backward pass", delta_in, product(rows, 1 + classes));
  }

  void discriminator_loss(GanLoss loss, const BatchLayout& layout, PenaltyParts penalised, const float* logits,
                          float scale, float* seed, float* row_scale, bool accumulate, SumTarget sums) override {
    gan_loss(compute_.get(), shards_of(layout, sums.exact()),
             {loss.kind, loss.smoothing, true, penalised.between, true, penalised.real, penalised.fake, logits, scale,
              seed, penalised.any() ? row_scale : nullptr, accumulate},
             sum_of(sums));
    launched("D's loss", seed, product(layout.parts, layout.rows));
  }
  void generator_loss(GanLoss loss, const BatchLayout& layout, const float* logits, float scale, float* seed,
                      bool accumulate, SumTarget sums) override {
    gan_loss(compute_.get(), shards_of(layout, sums.exact()),
             {loss.kind, loss.smoothing, false, false, layout.parts == 2, false, false, logits, scale, seed, nullptr,
              accumulate},
             sum_of(sums));
    launched("G's loss", seed, product(layout.parts, layout.rows));
  }
  void gradient_penalty(int penalty, const BatchLayout& layout, int columns, const float* g, float coefficient,
                        float* v, SumTarget value) override {
    cuda::gradient_penalty(compute_.get(), penalty, shards_of(layout, value.exact()), columns, g, coefficient, v,
                           sum_of(value), scratch_);
    launched("a gradient penalty", v, product(layout.rows, columns));
  }
  void combine_rows(int rows, int columns, const float* scale, const float* t, float* h) override {
    cuda::combine_rows(compute_.get(), rows, columns, scale, t, h);
    launched("a penalty's row sums", h, product(rows, columns));
  }

  // A gradient that is not finite is what the guard of the update is for: no trap here.
  void from_fixed_point(std::size_t count, const std::int64_t* from, const std::int64_t* overflow, float* to) override {
    cuda::from_fixed_point(compute_.get(), count, from, overflow, to);
    launched("the conversion of fixed-point sums", nullptr, 0);
  }
  void add_to(std::size_t count, const float* from, double* to) override {
    cuda::add_to(compute_.get(), count, from, to);
    launched("running sums", nullptr, 0);
  }
  void sum_of_squares(std::size_t count, const float* x, double* result) override {
    cuda::sum_of_squares(compute_.get(), count, x, result, scratch_);
    launched("a gradient's norm", nullptr, 0);
  }
  void optimizer_update(const OptimizerUpdate& args) override {
    cuda::Update update{
        args.optimizer,      args.constants,    args.updates.step, args.updates.per_step, args.updates.offset,
        args.count,          args.squared_norm, args.gradient,     args.parameters,       {},
        args.average.values, args.average.decay};
    std::copy(args.state.begin(), args.state.end(), update.state);
    cuda::optimizer_update(compute_.get(), update);
    launched("the optimiser's update", args.parameters, args.count);
  }
  void end_step(const ganymede::StepEnd& args) override {
    if (timer_) timer_->join(compute_.get());
    cuda::end_step(compute_.get(), {args.discriminator_extras, args.discriminator_count, args.generator_extras,
                                    args.generator_count, args.running, args.discriminator_squared_norms,
                                    args.discriminator_updates, args.generator_squared_norm, args.stop,
                                    args.stop_flag == nullptr ? nullptr : device_view<std::uint32_t>(args.stop_flag),
                                    args.step, args.discriminator_total, timer_ ? timer_->timer() : nullptr,
                                    device_view<Report>(args.reports), args.report_count});
    launched("the end of the step", nullptr, 0);
  }
  void flag_to_sum(const std::uint32_t* flag, SumTarget to) override {
    cuda::flag_to_sum(compute_.get(), device_view<std::uint32_t>(flag), sum_of(to));
    launched("the request to stop", nullptr, 0);
  }

  void draw_normal(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns,
                   float* out) override {
    cuda::draw_normal(compute_.get(), seed, stream, first.step, first.per_step, first.offset, rows, columns, out);
    launched("draws", out, product(rows, columns));
  }
  void draw_uniform(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns,
                    float* out) override {
    cuda::draw_uniform(compute_.get(), seed, stream, first.step, first.per_step, first.offset, rows, columns, out);
    launched("draws", out, product(rows, columns));
  }
  void add_noise(std::uint64_t seed, std::uint32_t stream, StepCount first, const FallingDeviation& deviation, int rows,
                 int columns, const float* x, float* out) override {
    cuda::add_noise(compute_.get(), seed, stream, first.step, first.per_step, first.offset, deviation.start,
                    deviation.end, deviation.step, rows, columns, x, out);
    launched("noise on images", out, product(rows, columns));
  }
  void interpolate(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns, const float* a,
                   const float* b, float* out) override {
    cuda::interpolate(compute_.get(), seed, stream, first.step, first.per_step, first.offset, rows, columns, a, b, out);
    launched("points between images", out, product(rows, columns));
  }
  void gather_images(std::uint64_t seed, StepCount first, const std::uint8_t* images, std::uint32_t image_count,
                     int rows, int pixels, int channels, float* out) override {
    cuda::gather_images(compute_.get(), seed, first.step, first.per_step, first.offset, images, image_count, rows,
                        pixels, channels, out);
    launched("images", out, product(rows, pixels * channels));
  }
  void gather_labels(std::uint64_t seed, StepCount first, const std::uint8_t* labels, std::uint32_t image_count,
                     int rows, std::uint8_t* out) override {
    cuda::gather_labels(compute_.get(), seed, first.step, first.per_step, first.offset, labels, image_count, rows, out);
    launched("labels", nullptr, 0);
  }

 private:
  // Of a multiprocessor, in the precision of the training; 0: not known.
  [[nodiscard]] double multiply_adds_per_clock() const {
    const int capability = major_ * 10 + minor_;
    // Of float32 (CUDA C++ Programming Guide, throughput of arithmetic instructions).
    if (options_.precision == Precision::float32) return capability <= 80 ? 64 : 128;
    // Of TF32 on tensor cores: the data sheets' figures without sparsity by multiprocessors and clock. Twice as many of
    // bfloat16. Those of 8.6 and 8.9 differ: an A10 or L4 has twice a GeForce's.
    const double tf32 = capability == 80 ? 512 : capability == 90 ? 1024 : capability == 100 ? 2048 : 0;
    return options_.precision == Precision::bfloat16 ? 2 * tf32 : tf32;
  }
  double attribute(cudaDeviceAttr which) const {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, place_.index), "ask what the GPU can do");
    return value;
  }
  // Whether a product of so many multiply-adds goes to cuBLASLt. --reproducible never: its products must not depend
  // on the number of rows.
  bool large(int rows, int in, int out) const {
    return !options_.reproducible && rows > 0 &&
           product(rows, in) * static_cast<std::size_t>(out) >= options_.blas_from;
  }
  // Made where it is needed: it costs start-up time and memory.
  Blas& blas() {
    if (!blas_) advised(Use::library, [&] { blas_.emplace(options_.precision == Precision::tf32); });
    return *blas_;
  }
  // c[m, n] = x[m, k] · w[k, n], or w[n, k]ᵀ. False: cuBLASLt cannot, and our own kernel has to.
  [[nodiscard]] bool multiply(int m, int k, int n, const float* x, const float* w, bool transposed,
                              const Rounded& rounded, Blas::Epilogue epilogue, const float* bias, float* c) {
    if (rounded.room == nullptr)
      return blas().multiply(compute_.get(), false, transposed, m, n, k, x, w, false, epilogue, bias, c);
    narrow(compute_.get(), {x, rounded.room, product(m, k)});
    return blas().multiply(compute_.get(), false, transposed, m, n, k, rounded.room, rounded.weights, false, epilogue,
                           bias, c);
  }

  // Which of a layer's gradients there are.
  struct Made {
    bool weights = false;
    bool biases = false;
  };
  // Of its biases with those of its weights where `sums` is not null and cuBLASLt can.
  template <class T>
  [[nodiscard]] Made gradients_by_cublas(int rows, int in, int out, const T* x, const T* delta, bool accumulate,
                                         float* dw, float* sums) {
    if (sums != nullptr && blas().multiply_and_sum(compute_.get(), out, in, rows, delta, x, dw, sums))
      return {true, true};
    return {blas().multiply(compute_.get(), true, false, out, in, rows, delta, x, accumulate, Blas::Epilogue::none,
                            nullptr, dw),
            false};
  }

  bool forward_by_cublas(int rows, int in, int out, const float* x, const float* w, const float* b, Activation sigma,
                         float* y, const Rounded& rounded) {
    const bool identity = is_activation(sigma, "identity");
    const bool relu = is_activation(sigma, "relu");
    const Blas::Epilogue epilogue = b == nullptr || !Blas::takes_bias(b) ? Blas::Epilogue::none
                                    : identity                           ? Blas::Epilogue::bias
                                    : relu                               ? Blas::Epilogue::bias_relu
                                                                         : Blas::Epilogue::none;
    if (!multiply(rows, in, out, x, w, true, rounded, epilogue, b, y)) return false;
    if (epilogue == Blas::Epilogue::none && !(identity && b == nullptr))
      activate(compute_.get(), rows, out, b, sigma.kind, sigma.parameter, y);
    return true;
  }

  // What cuDNN has for a task with these arrays. --reproducible asks for nothing: a row's bits may depend there on how
  // many rows there are, and sums over rows are not by shards.
  const Cudnn::Plan* plan(ConvolutionTask task, Precision precision, const void* fine, const void* weights,
                          const void* coarse) {
    if (options_.reproducible || task.rows == 0) return nullptr;
    if (!convolutions_) convolutions_.emplace(compute_.get());
    task.alignment = alignment_of(fine, weights, coarse, task.alignment);
    task.precision = precision;
    return advised(Use::library, [&] { return convolutions_->plan(task); });
  }
  // Of arrays of float32.
  [[nodiscard]] Precision full_precision() const {
    return options_.precision == Precision::tf32 ? Precision::tf32 : Precision::float32;
  }
  // Whether cuDNN did a pass from one grid to the other, and what follows it.
  bool pass_by_cudnn(const ConvolutionTask& task, const float* from, const float* w, const Finish& finish,
                     const Rounded& rounded, float* to) {
    const Convolution& g = task.geometry;
    const bool to_coarse = task.pass == ConvolutionPass::coarse;
    const int pixels = task.rows * (to_coarse ? g.coarse_pixels() : g.fine_pixels());
    const int channels = to_coarse ? g.coarse_channels : g.fine_channels;
    if (rounded.room != nullptr) {
      const std::size_t count = product(task.rows, to_coarse ? g.fine_size() : g.coarse_size());
      Bfloat16* const source = rounded.room;
      Bfloat16* const sums = source + Rounded::padded(count);
      Bfloat16* const fine = to_coarse ? source : sums;
      Bfloat16* const coarse = to_coarse ? sums : source;
      if (const Cudnn::Plan* found = plan(task, Precision::bfloat16, fine, rounded.weights, coarse)) {
        narrow(compute_.get(), {from, source, count});
        convolutions_->run(*found, fine, rounded.weights, coarse);
        widen(compute_.get(), pixels, channels, sums, finishing_of(finish), false, to);
        return true;
      }
    }
    const float* const fine = to_coarse ? from : to;
    const float* const coarse = to_coarse ? to : from;
    const Cudnn::Plan* const found = plan(task, full_precision(), fine, w, coarse);
    if (found == nullptr) return false;
    convolutions_->run(*found, fine, w, coarse);
    this->finish(pixels, channels, finish, to);
    return true;
  }
  // Whether it made the gradients of the weights.
  bool gradients_by_cudnn(ConvolutionTask task, const float* fine, const float* coarse, bool accumulate,
                          const Rounded& rounded, float* dw) {
    const Convolution& g = task.geometry;
    if (rounded.room != nullptr) {
      const std::size_t fine_count = product(task.rows, g.fine_size());
      const std::size_t coarse_count = product(task.rows, g.coarse_size());
      Bfloat16* const fine16 = rounded.room;
      Bfloat16* const coarse16 = fine16 + Rounded::padded(fine_count);
      Bfloat16* const sums = coarse16 + Rounded::padded(coarse_count);
      if (const Cudnn::Plan* found = plan(task, Precision::bfloat16, fine16, sums, coarse16)) {
        narrow(compute_.get(), {fine, fine16, fine_count}, {coarse, coarse16, coarse_count});
        convolutions_->run(*found, fine16, sums, coarse16);
        widen(compute_.get(), g.coarse_channels, g.filter(), sums, {}, accumulate, dw);
        return true;
      }
    }
    task.accumulate = accumulate;
    const Cudnn::Plan* const found = plan(task, full_precision(), fine, dw, coarse);
    if (found == nullptr) return false;
    convolutions_->run(*found, fine, dw, coarse);
    return true;
  }
  void finish(int pixels, int channels, const Finish& finish, float* sums) {
    const Activation& sigma = finish.activation;
    if (finish.bias != nullptr) {
      activate(compute_.get(), pixels, channels, finish.bias, sigma.kind, sigma.parameter, sums);
    } else if (finish.slope_of != nullptr) {
      slope(product(pixels, channels), sigma, finish.slope_of, sums);
    }
  }
  void slope(std::size_t count, const Activation& sigma, const float* h, float* delta) {
    if (!is_activation(sigma, "identity")) multiply_slope(compute_.get(), count, sigma.kind, sigma.parameter, h, delta);
  }

  // By default a rank's rows are one shard, whatever the layout's shards are.
  static Shards shards_of(const BatchLayout& layout, bool exact) {
    Shards shards;
    shards.parts = layout.parts;
    shards.rows = layout.rows;
    shards.count = exact ? layout.shards() : 1;
    if (exact)
      std::copy(layout.shard_begin.begin(), layout.shard_begin.end(), shards.begin);
    else
      shards.begin[1] = layout.rows;
    return shards;
  }

  // Of host memory that may be pageable, for which CUDA may wait in the copy's call, where nobody looks after other
  // ranks: so what was enqueued before is waited for first.
  void copy_and_wait(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, const char* what) {
    synchronize();
    check(cudaMemcpyAsync(to, from, bytes, kind, compute_.get()), what);
    check(cudaStreamSynchronize(compute_.get()), what);
  }

  // Of what allocate_host() returned.
  template <class T>
  [[nodiscard]] T* device_view(const void* host) const {
    return static_cast<T*>(views_.at(host));
  }

  // Looks now and then instead of blocking in CUDA: NCCL's errors are to be seen, and a lost rank never lets the GPU
  // come to the event.
  void wait_for(const Event& event) const {
    const Stopwatch watch;
    for (long looked = 0; !event.reached(); ++looked) {
      if (looked % 1024 == 1023 && nccl_) nccl_->check_alive();
      if (options_.wait_seconds > 0 && watch.seconds() > options_.wait_seconds)
        throw Error(ExitCode::rank_lost,
                    "the GPU has not ended its work within " + pretty(options_.wait_seconds) +
                        " s: it waits for another rank's, or for a network that NCCL cannot use; NCCL_DEBUG=INFO tells "
                        "which way NCCL takes, and --reduction mpi does without it");
      if (looked < 1000)
        std::this_thread::yield();
      else
        std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }

  void launched(const char* what, const float* written, std::size_t count, Widths widths = {}) {
    const cudaError_t error = cudaPeekAtLastError();
    if (error != cudaSuccess || options_.debug) examine(what, written, count, widths);
  }
  // " of layer 2 in D forward": where a step is.
  [[nodiscard]] std::string place() const {
    std::string text;
    if (layer_ > 0) text += " of layer " + std::to_string(layer_);
    if (*phase_ != '\0') text += std::string(" in ") + phase_;
    return text;
  }
  void examine(const char* what, const float* written, std::size_t count, Widths widths) {
    std::string operation = what;
    if (widths.in > 0)
      operation += ", " + std::to_string(widths.in) + " → " + std::to_string(widths.out) + ",";
    else if (widths.out > 0)
      operation += " of " + std::to_string(widths.out) + " channels";
    operation += place();
    const std::string where = "run " + operation;
    check(cudaGetLastError(), where.c_str());
    check(cudaStreamSynchronize(compute_.get()), where.c_str());
    if (written == nullptr || count == 0) return;
    find_not_finite(compute_.get(), count, written, first_bad_.as<unsigned long long>());
    unsigned long long first = 0;
    download(&first, first_bad_.as<void>(), sizeof first);
    if (first < count)
      throw Error(ExitCode::training_failed, operation + " wrote a value that is not finite, first at element " +
                                                 std::to_string(first) + " of " + std::to_string(count) +
                                                 ": train with a smaller --learning-rate, or look at what it read");
  }

  enum class Use { array, library };
  // What `take` returns, which takes memory for one of this device's arrays or for a library. Where there is none,
  // whoever knows what the arrays are for says how to do with less.
  template <class Take>
  std::invoke_result_t<Take> advised(Use use, const Take& take) {
    try {
      return take();
    } catch (const OutOfMemory& shortage) {
      if (!memory_advice_ || shortage.asked() == 0) throw;
      const std::size_t all = taken_ + free_memory();
      const std::size_t besides = use == Use::array ? 0 : std::min(all, shortage.asked());
      const std::string advice = memory_advice_(all - besides);
      if (advice.empty()) throw;
      throw shortage.with(advice);
    }
  }

  template <class T>
  std::unique_ptr<Reduction<T>> reduction(Communicator& ranks, std::size_t count) {
    if (ranks.size() == 1 && !options_.nccl_alone) return make_alone_reduction<T>(compute_.get(), count);
    if (!timer_) timer_.emplace();
    if (options_.through_mpi) {
      staged_ = true;
      return make_staged_reduction<T>(ranks, *timer_, compute_.get(), count);
    }
    if (!nccl_) {
      // Switches add in an order of their own each time; who looks for a fault wants the same run again.
      if (options_.debug) setenv("NCCL_NVLS_ENABLE", "0", 0);
      nccl_ = std::make_unique<comm::NcclGroup>(ranks, options_.nccl_seconds);
    }
    return make_nccl_reduction<T>(*nccl_, *timer_, compute_.get(), urgent_.get(), count);
  }
  // With --debug: a sum is waited for, as kernels are, and looked at.
  template <class T>
  class ExaminedReduction final : public Reduction<T> {
   public:
    ExaminedReduction(CudaDevice& device, std::unique_ptr<Reduction<T>> sum) : device_(device), of_(std::move(sum)) {
      this->size_ = of_->size();
      this->data_ = of_->data();
      this->sum_ = of_->sum();
    }
    void start() override {
      named([this] { of_->start(); });
    }
    void finish() override {
      named([this] {
        of_->finish();
        device_.synchronize();
      });
      if constexpr (std::is_same_v<T, float>) device_.examine("a sum over ranks", this->sum_, this->size_, {});
    }

   private:
    template <class Do>
    void named(const Do& work) {
      try {
        work();
      } catch (const Error& failure) {
        throw Error(failure.code(), "a sum over ranks" + device_.place() + ": " + failure.what());
      }
    }
    CudaDevice& device_;
    std::unique_ptr<Reduction<T>> of_;
  };

  // Its array is the training's, for as long as that lasts.
  template <class T>
  std::unique_ptr<Reduction<T>> advised_reduction(Communicator& ranks, std::size_t count) {
    std::unique_ptr<Reduction<T>> made = advised(Use::array, [&] { return reduction<T>(ranks, count); });
    taken_ += count * sizeof(T);
    if (options_.debug && (ranks.size() > 1 || options_.nccl_alone))
      return std::make_unique<ExaminedReduction<T>>(*this, std::move(made));
    return made;
  }
  std::unique_ptr<Reduction<float>> make_float_reduction(Communicator& ranks, std::size_t count) override {
    return advised_reduction<float>(ranks, count);
  }
  std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(Communicator& ranks, std::size_t count) override {
    return advised_reduction<std::int64_t>(ranks, count);
  }

  CudaOptions options_;
  std::vector<Place> places_;
  Place place_;
  int major_ = 0;
  int minor_ = 0;
  Stream compute_;
  Stream urgent_;
  Memory partial_;
  Memory tickets_;
  Memory first_bad_;
  Scratch scratch_;
  Event marked_;
  std::vector<std::unique_ptr<Event>> marks_;
  std::map<void*, std::size_t> arrays_;  // bytes of what allocate() gave
  std::size_t taken_ = 0;                // those of all of them, and of reductions
  MemoryAdvice memory_advice_;
  std::map<const void*, void*> views_;  // the GPU's addresses of host memory
  std::optional<StepTimer> timer_;      // of several ranks
  std::optional<Blas> blas_;
  std::optional<Convolutions> convolutions_;
  std::unique_ptr<comm::NcclGroup> nccl_;
  bool staged_ = false;
  const char* phase_ = "";
  int layer_ = 0;
  bool named_ = false;
};

}  // namespace

std::unique_ptr<Device> make_device(Communicator& ranks, const CudaOptions& options) {
  std::vector<Place> places = place_ranks(ranks, options.device, options.through_mpi);
  std::unique_ptr<Device> device;
  // Before any rank takes memory.
  together(ranks, [&] { check_precision(options.precision, places[static_cast<std::size_t>(ranks.rank())]); });
  together(ranks, [&] { device = std::make_unique<CudaDevice>(ranks, options, std::move(places)); });
  return device;
}

}  // namespace ganymede::cuda
