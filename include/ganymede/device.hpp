// The operations that networks and the GAN step need, behind one interface: the CPU runs them at once, a
// CUDA device enqueues them on its stream, and the host waits for it only in upload(), download(), synchronize() and
// await(). All matrices are dense, row-major, float32, images [row][y][x][channel]; all pointers point into the
// device's memory unless a comment says host.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "ganymede/communicator.hpp"
#include "ganymede/optimizer_constants.hpp"

namespace ganymede {

/// Index into the list of activations (identity, relu, leaky-relu, sigmoid, tanh) and its parameter.
struct Activation {
  int kind = 0;
  float parameter = 0.0F;  ///< the leak of leaky-relu
  /// Looks a name up ("relu", "leaky-relu"); throws Error(usage) naming the known ones.
  static Activation named(const std::string& name, float parameter = 0.0F);
  [[nodiscard]] const char* name() const;
  [[nodiscard]] bool is_identity() const { return kind == 0; }
  /// True for activations made of straight lines, which exact gradient penalties need.
  [[nodiscard]] bool piecewise_linear() const;
};

/// Which rows of a batch belong to which virtual shard.
///
/// A pass runs over `parts` stacked batches of `rows` rows each (2 when D sees real above fake, else 1):
/// row index = part · rows + row. `shard_begin` cuts the rows of each part into this rank's shards:
/// shard s is rows shard_begin[s] … shard_begin[s+1]-1 of every part. One shard, {0, rows}, by default;
/// with --reproducible the rank's share of the fixed number of virtual shards. Whatever is summed over
/// rows is summed shard by shard.
struct BatchLayout {
  int parts = 1;
  int rows = 0;
  std::vector<int> shard_begin = {0, 0};

  [[nodiscard]] int shards() const { return static_cast<int>(shard_begin.size()) - 1; }
  [[nodiscard]] int total_rows() const { return parts * rows; }
};

/// Where sums over the batch (gradients, loss sums) go: floats by default, or fixed-point int64
/// (src/math/fixed_point.hpp) under --reproducible. At most one of `values` and `fixed` is set; with neither
/// the sum is not wanted.
struct SumTarget {
  float* values = nullptr;
  std::int64_t* fixed = nullptr;
  std::int64_t* overflow = nullptr;  ///< with `fixed`: counts values that could not be converted

  [[nodiscard]] bool exact() const { return fixed != nullptr; }
  [[nodiscard]] bool wanted() const { return values != nullptr || fixed != nullptr; }
  /// The same target, `count` elements further on.
  [[nodiscard]] SumTarget at(std::size_t count) const {
    return {values == nullptr ? nullptr : values + count, fixed == nullptr ? nullptr : fixed + count, overflow};
  }
};

/// A number that follows a counter in the device's memory: *step · per_step + offset.
struct StepCount {
  const std::uint64_t* step = nullptr;
  std::uint64_t per_step = 1;
  std::uint64_t offset = 0;
};

/// A standard deviation that follows a counter of steps in the device's memory: math::falling_deviation(start, end,
/// *step).
struct FallingDeviation {
  double start = 0;
  double end = 1;
  const std::uint64_t* step = nullptr;
};

/// What a dropout layer's mask is a function of: row r is global sample `first` + r of the stream; `layer` tells the
/// layers of a network apart.
struct MaskDraw {
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;
  StepCount first;
  std::uint32_t layer = 0;
};

/// An exponential moving average that an update keeps: values = decay · values + (1 - decay) · parameters.
struct MovingAverage {
  float* values = nullptr;  ///< null: none
  float decay = 0;
};

/// One update of a flat buffer of parameters by the optimiser of this index in the list of optimisers, and of their
/// average.
struct OptimizerUpdate {
  int optimizer = 0;
  OptimizerConstants constants;
  StepCount updates;  ///< those before this one
  std::size_t count = 0;
  const double* squared_norm = nullptr;  ///< ‖gradient‖²
  const float* gradient = nullptr;
  float* parameters = nullptr;
  std::array<float*, 4> state = {};  ///< as many buffers as the optimiser has
  MovingAverage average;
};

/// What the host learns of a step; in host memory.
struct StepReport {
  std::uint64_t step = 0;                 ///< steps completed with this one
  double discriminator_squared_norm = 0;  ///< of D's last update in the step, or of one that was not finite
  double generator_squared_norm = 0;
  double own_seconds = 0;  ///< what this rank took for the step: see Device::time_from_here()
  float stop = 0;          ///< how many ranks had been asked to stop
};

/// The book-keeping at the end of a step. Sums that people see run on until the host takes them:
/// running[i] += D's extras, then G's. A report goes to reports[*step % report_count], and the counters count on.
struct StepEnd {
  const float* discriminator_extras = nullptr;
  int discriminator_count = 0;
  const float* generator_extras = nullptr;
  int generator_count = 0;
  double* running = nullptr;                            ///< [discriminator_count + generator_count]
  const double* discriminator_squared_norms = nullptr;  ///< [discriminator_updates]
  int discriminator_updates = 1;
  const double* generator_squared_norm = nullptr;
  const float* stop = nullptr;               ///< how many ranks were asked to stop, or, where that needs no sum,
  const std::uint32_t* stop_flag = nullptr;  ///< whether this one was (host memory from allocate_host())
  std::uint64_t* step = nullptr;
  std::uint64_t* discriminator_total = nullptr;  ///< D's updates in all steps: discriminator_updates are added
  StepReport* reports = nullptr;                 ///< host memory from allocate_host()
  int report_count = 0;
};

/// Work that is done again and again, see Device::make_routine().
class Routine {
 public:
  Routine() = default;
  Routine(const Routine&) = delete;
  Routine& operator=(const Routine&) = delete;
  virtual ~Routine() = default;
  virtual void run() = 0;
  /// How many kernels and copies a run is, where it is recorded; else 0.
  [[nodiscard]] virtual int recorded() const { return 0; }
};

/// A loss of src/math/loss/ by its index.
struct GanLoss {
  int kind = 0;
  float smoothing = 0;  ///< one-sided label smoothing: what real images' target is lowered by
};

/// Which parts of D's batch gradient penalties work on. Points between real and generated images come before both, and
/// count for penalties alone.
struct PenaltyParts {
  bool between = false;
  bool real = false;
  bool fake = false;

  [[nodiscard]] bool any() const { return between || real || fake; }
};

/// The sums that a GAN loss produces, in this order: the loss, the shares of real and of generated images that D is
/// right about, the means of D's output on both, and a 0 for penalties to add to.
struct LossSums {
  enum : int { loss, real_right, fake_right, real_score, fake_score, penalty, count };
};

/// The geometry of a two-dimensional convolution, which joins two grids of pixels: pixel p of the coarse one and pixel
/// p · stride - padding + k of the fine one, for every k = 0 … kernel-1 (in y and in x) where that lies inside. A
/// convolution goes from fine to coarse, a transposed one from coarse to fine, with the same weights
/// w[coarse channels][kernel][kernel][fine channels].
struct Convolution {
  int fine_height = 0, fine_width = 0, fine_channels = 0;
  int coarse_height = 0, coarse_width = 0, coarse_channels = 0;
  int kernel = 1, stride = 1, padding = 0;

  friend auto operator<=>(const Convolution&, const Convolution&) = default;  // NOLINT(modernize-use-nullptr)
  [[nodiscard]] int fine_pixels() const { return fine_height * fine_width; }
  [[nodiscard]] int coarse_pixels() const { return coarse_height * coarse_width; }
  [[nodiscard]] int fine_size() const { return fine_pixels() * fine_channels; }
  [[nodiscard]] int coarse_size() const { return coarse_pixels() * coarse_channels; }
  /// Weights of a coarse channel.
  [[nodiscard]] int filter() const { return kernel * kernel * fine_channels; }
};

/// A bfloat16 as its bits, the upper half of a float32's: src/math/bfloat16.hpp.
using Bfloat16 = std::uint16_t;

/// What a layer's products need for being made of bfloat16: both factors rounded to it, sums in float32. By default
/// they are of float32, and so they are where a device does better with that.
struct Rounded {
  const Bfloat16* weights = nullptr;  ///< the layer's, by Device::round(); for gradients, which do not read them, null
  Bfloat16* room = nullptr;           ///< room_for() elements that the product may write; null: products of float32

  /// Elements for three arrays, each of which begins at a multiple of 16 bytes where the first does.
  static constexpr std::size_t room_for(std::size_t a, std::size_t b, std::size_t c = 0) {
    return padded(a) + padded(b) + c;
  }
  static constexpr std::size_t padded(std::size_t count) { return (count + 7) / 8 * 8; }
};

/// What becomes of a convolution's sums on their way into memory: σ(sum + bias[channel]) where there is a bias (a
/// layer's forward pass); else sum · σ'(slope_of), slope_of being σ's output at the same place (tangent and
/// backward-data passes), or the sum itself where that is null too.
struct Finish {
  const float* bias = nullptr;
  Activation activation;
  const float* slope_of = nullptr;
};

/// Batch normalisation of `channels` channels over all rows of a part of the batch, on all ranks, and `pixels` pixels.
struct BatchNorm {
  int pixels = 1;
  int channels = 0;
  double count = 0;       ///< rows · pixels that a part has on all ranks together
  float epsilon = 1e-5F;  ///< added to the variance
  float momentum = 0.1F;  ///< weight of the newest batch in the running statistics

  /// What moments are counted in: a fixed-point number holds less than 1024, and E x² may well be more.
  static constexpr double moment_unit = 256;

  /// Fixed-point sums of a batch: [parts][2][channels], then a count of what did not fit.
  [[nodiscard]] std::size_t sums(int parts) const {
    return static_cast<std::size_t>(parts) * 2 * static_cast<std::size_t>(channels) + 1;
  }
};

/// Weights w that passes use as w̄ = w / σ, σ = uᵀ w v, where the unit vectors u and v follow the first singular ones,
/// so that σ follows the largest singular value (Miyato, Kataoka, Koyama, Yoshida 2018).
struct SpectralMatrix {
  int rows = 0;
  int columns = 0;
  const float* w = nullptr;     ///< [rows, columns]
  float* u = nullptr;           ///< [rows]
  float* v = nullptr;           ///< [columns]
  float* sigma = nullptr;       ///< one number
  float* normalised = nullptr;  ///< w̄
  double* work = nullptr;       ///< [max(rows, columns)], for sums on the way

  /// The least norm that a vector is divided by: PyTorch's.
  static constexpr double epsilon = 1e-12;
};

class Device {
 public:
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  /// For people: "CPU, AVX2, 2 threads".
  [[nodiscard]] virtual std::string description() const = 0;
  /// What the bits of a result depend on ("x86-64-v3"): recorded in checkpoints.
  [[nodiscard]] virtual std::string arithmetic() const = 0;

  /// FLOP/s that float32 multiply-adds can reach: of a CPU what a thread does, measured in milliseconds, times its
  /// threads; of a GPU its units times its clock.
  [[nodiscard]] virtual double peak_flops() const = 0;
  /// Bytes/s of its memory; 0 where that is not known.
  [[nodiscard]] virtual double peak_bandwidth() const = 0;

  // --- memory -------------------------------------------------------------------------------------
  /// 64-byte aligned, zeroed. Throws Error(launch) when there is not enough, with the sizes.
  [[nodiscard]] virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* pointer) noexcept = 0;
  /// Bytes that allocate() may still give, as things stand.
  [[nodiscard]] virtual std::size_t available_memory() const = 0;
  /// What a device that runs out of memory asks for advice: given the bytes that it has for its arrays in all, it says
  /// what to do; empty where it knows of nothing.
  using MemoryAdvice = std::function<std::string(std::size_t)>;
  /// To be asked from now on. A device that never runs out without a plan's knowing it needs none.
  virtual void set_memory_advice(MemoryAdvice /*advice*/) {}
  virtual void upload(void* to_device, const void* from_host, std::size_t bytes) = 0;
  virtual void download(void* to_host, const void* from_device, std::size_t bytes) = 0;
  /// Like download(), to host memory from allocate_host() and without waiting: it is there once a later mark has been
  /// awaited.
  virtual void fetch(void* to_host, const void* from_device, std::size_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  virtual void zero(void* pointer, std::size_t bytes) = 0;
  virtual void synchronize() = 0;
  /// True where device memory is host memory, so that host arrays can be passed as they are.
  [[nodiscard]] virtual bool is_host() const = 0;
  /// Host memory that this device's operations can read and write, zeroed. Released by release_host().
  [[nodiscard]] virtual void* allocate_host(std::size_t bytes) = 0;
  virtual void release_host(void* pointer) noexcept = 0;

  // --- order ----------------------------------------------------------------------------------------
  /// How many steps the host may enqueue ahead of the device. 0: an operation has happened when its call
  /// returns.
  [[nodiscard]] virtual int steps_ahead() const = 0;
  /// Remembers this point of the device's work under a number, 0 … steps_ahead(); await() makes the host wait
  /// until the work before the latest mark of that number is done.
  virtual void mark(int number) = 0;
  virtual void await(int number) = 0;
  /// The next end_step() reports the time from this point of the work, less that in which it stood still until a sum
  /// over ranks was there; one that follows another end_step() without a call between, the time from there on. Of one
  /// rank alone a device need not report any.
  virtual void time_from_here() = 0;
  /// `enqueue` calls this device's operations, and reductions made by it, with the same arguments each time
  /// and reads nothing back. A CUDA device may record it once and replay that.
  [[nodiscard]] virtual std::unique_ptr<Routine> make_routine(std::function<void()> enqueue) = 0;
  /// Says what the operations that follow belong to ("D forward"): for profilers and error messages. `name`
  /// lives as long as the program.
  virtual void enter(const char* name) = 0;
  /// That they are a layer's, by its number from 1 in its network; 0: of none. For error messages.
  virtual void enter_layer(int /*number*/) {}

  // --- sums over ranks ------------------------------------------------------------------------------
  /// A sum over all ranks of arrays in this device's memory. Collective. Must not outlive the device.
  template <class T>
  [[nodiscard]] std::unique_ptr<Reduction<T>> make_reduction(Communicator& ranks, std::size_t count) {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, std::int64_t>);
    if constexpr (std::is_same_v<T, float>) {
      return make_float_reduction(ranks, count);
    } else {
      return make_fixed_reduction(ranks, count);
    }
  }

  // --- rounding ----------------------------------------------------------------------------------------
  /// Whether layers are to pass `Rounded`, and so networks to have their weights rounded beside those of float32.
  [[nodiscard]] virtual bool rounds() const = 0;
  /// to[i] = the bfloat16 nearest to from[i], of two the even one.
  virtual void round(std::size_t count, const float* from, Bfloat16* to) = 0;

  // --- fully connected layers: y = σ(x·Wᵀ + b), W is [out, in] ---------------------------------------
  // Rounded::room: for x (or delta) of the passes, for both of gradients.
  /// y[rows, out] = σ(x[rows, in] · Wᵀ + b); b may be null: none.
  virtual void affine_forward(int rows, int in, int out, const float* x, const float* w, const float* b,
                              Activation sigma, float* y, const Rounded& rounded = {}) = 0;
  /// The layer's tangent map: ty[rows, out] = σ'(y) ⊙ (tx[rows, in] · Wᵀ).
  virtual void affine_tangent(int rows, int in, int out, const float* tx, const float* w, Activation sigma,
                              const float* y, float* ty, const Rounded& rounded = {}) = 0;
  /// delta_in[rows, in] = slope ⊙ (delta[rows, out] · W), where slope is σ'_below(x) for the layer's
  /// input x = the output of the layer below; x may be null with an identity below.
  virtual void affine_backward_data(int rows, int in, int out, const float* delta, const float* w, Activation below,
                                    const float* x, float* delta_in, const Rounded& rounded = {}) = 0;
  /// dW[out, in] (+)= Σ_rows delta_rowᵀ x_row and db[out] (+)= Σ_rows row_scale[row] · delta_row, summed shard
  /// by shard; x is [total_rows, in], delta [total_rows, out], row_scale [total_rows] or null (1). Where the factors
  /// are rounded, db may be the sum of rounded deltas, too.
  virtual void affine_gradients(const BatchLayout& layout, int in, int out, const float* x, const float* delta,
                                const float* row_scale, bool accumulate, SumTarget dw, SumTarget db,
                                const Rounded& rounded = {}) = 0;

  // --- convolutions -----------------------------------------------------------------------------------
  // Rounded::room: for fine and coarse of the passes, for these and dw of gradients. What a convolution of bfloat16
  // sums in float32 it may round once more on its way into memory.
  /// coarse[rows, coarse_size](p, o) = finish(Σ_k Σ_i fine(p · stride - padding + k, i) · w[o][k][i]).
  virtual void convolve(const Convolution& geometry, int rows, const float* fine, const float* w, const Finish& finish,
                        float* coarse, const Rounded& rounded = {}) = 0;
  /// fine[rows, fine_size](q, i) = finish(Σ coarse(p, o) · w[o][k][i]), over all p, k with p · stride - padding + k = q
  /// and all o. Pixels that no p reaches have the sum 0.
  virtual void convolve_transposed(const Convolution& geometry, int rows, const float* coarse, const float* w,
                                   const Finish& finish, float* fine, const Rounded& rounded = {}) = 0;
  /// dw[o][k][i] (+)= Σ_rows Σ_p coarse(p, o) · fine(p · stride - padding + k, i), summed shard by shard; fine is
  /// [total_rows, fine_size], coarse [total_rows, coarse_size].
  virtual void convolution_gradients(const BatchLayout& layout, const Convolution& geometry, const float* fine,
                                     const float* coarse, bool accumulate, SumTarget dw,
                                     const Rounded& rounded = {}) = 0;
  /// db[channels] (+)= Σ_rows row_scale[row] · Σ_pixels delta(pixel), summed shard by shard; delta is [total_rows,
  /// pixels, channels], row_scale [total_rows] or null (1).
  virtual void channel_gradients(const BatchLayout& layout, int pixels, int channels, const float* delta,
                                 const float* row_scale, bool accumulate, SumTarget db) = 0;

  // --- batch normalisation, each part of the batch by itself; x is [parts · rows, pixels, channels] -------
  // A batch's sums are in fixed point always, so that the number of ranks does not change them; `sums`
  // [norm.sums(parts)] holds this rank's, or those of all ranks after a reduction.
  /// sums of x / (moment_unit · count) and of x² / (moment_unit · count), overwritten; summed shard by shard.
  virtual void batch_norm_moments(const BatchLayout& layout, const BatchNorm& norm, const float* x,
                                  std::int64_t* sums) = 0;
  /// From the moments on all ranks to statistics[parts][2][channels]: the mean and 1/√(variance + ε), NaN where a
  /// sum did not fit. Then, part by part where they are finite, running[2][channels], the mean and the unbiased
  /// variance, becomes (1 - momentum) · running + momentum · the batch's; running may be null.
  virtual void batch_norm_statistics(int parts, const BatchNorm& norm, const std::int64_t* moments, float* statistics,
                                     float* running) = 0;
  /// The statistics [2][channels] that running ones stand for.
  virtual void batch_norm_frozen(const BatchNorm& norm, const float* running, float* statistics) = 0;
  /// y = σ(γ · (x - mean) / √(variance + ε) + β).
  virtual void batch_norm_forward(const BatchLayout& layout, const BatchNorm& norm, const float* x,
                                  const float* statistics, const float* gamma, const float* beta, Activation sigma,
                                  float* y) = 0;
  /// sums, overwritten, of δ and of δ · x̂, where x̂ = (x - mean) / √(variance + ε) and δ is the adjoint of γ · x̂ + β;
  /// summed shard by shard.
  virtual void batch_norm_adjoints(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                                   const float* statistics, std::int64_t* sums) = 0;
  /// dγ[channels] (+)= Σ_parts of δ · x̂ and dβ[channels] (+)= Σ_parts of δ, from this rank's adjoint sums.
  virtual void batch_norm_gradients(int parts, const BatchNorm& norm, const std::int64_t* adjoints, bool accumulate,
                                    SumTarget dgamma, SumTarget dbeta) = 0;
  /// delta_in = σ'_below(x) · γ / √(variance + ε) · (δ - (Σδ + x̂ · Σδx̂) / count), from the adjoint sums of all ranks.
  virtual void batch_norm_backward_data(const BatchLayout& layout, const BatchNorm& norm, const float* x,
                                        const float* delta, const float* statistics, const float* gamma,
                                        const std::int64_t* adjoints, Activation below, float* delta_in) = 0;

  // --- spectral normalisation; all sums in double ------------------------------------------------------------
  /// One step of the power iteration, in PyTorch's order: u = w v / ‖w v‖, then v = wᵀu / ‖wᵀu‖.
  virtual void spectral_iteration(const SpectralMatrix& m) = 0;
  /// σ and w̄ from w, u and v.
  virtual void spectral_normalise(const SpectralMatrix& m) = 0;
  /// From g, the gradient with respect to w̄, to the one with respect to w, through σ too (u and v are constants):
  /// to = (g - ⟨g, w̄⟩ u vᵀ) / σ.
  virtual void spectral_gradient(const SpectralMatrix& m, const float* g, float* to) = 0;

  // --- classes; labels[rows] are less than `classes` --------------------------------------------------------
  /// y[rows, pixels, channels + classes] = x[rows, pixels, channels], then 1 at the row's class and 0 at the others;
  /// 0 throughout where labels are null (the tangent).
  virtual void append_class(int rows, int pixels, int channels, int classes, const std::uint8_t* labels, const float* x,
                            float* y) = 0;
  /// The way back: delta_in[rows, pixels, channels] = σ'_below(x) · delta's first channels; x may be null with an
  /// identity below.
  virtual void append_class_backward(int rows, int pixels, int channels, int classes, const float* delta,
                                     Activation below, const float* x, float* delta_in) = 0;
  /// y[row] = x[row, 0] + x[row, 1 + labels[row]]; x is [rows, 1 + classes].
  virtual void class_score(int rows, int classes, const std::uint8_t* labels, const float* x, float* y) = 0;
  /// The way back: delta_in[row] = delta[row] at these two places, 0 elsewhere.
  virtual void class_score_backward(int rows, int classes, const std::uint8_t* labels, const float* delta,
                                    float* delta_in) = 0;

  // --- dropout; a mask has a byte for each element: 1 where it is kept, 0 where it is dropped ---------------
  /// mask[rows, columns], in which a share of about `share` is 0.
  virtual void draw_mask(const MaskDraw& draw, int rows, int columns, double share, std::uint8_t* mask) = 0;
  /// to[i] = mask[i] · factor · from[i] · σ'_below(x[i]), 0 where the mask is; x may be null with an identity below.
  virtual void apply_mask(std::size_t count, const std::uint8_t* mask, float factor, const float* from,
                          Activation below, const float* x, float* to) = 0;

  // --- losses and penalties ---------------------------------------------------------------------------
  /// D's loss on stacked logits: of points between images (where `penalised` has them), of real, of generated images;
  /// layout.parts is 3 or 2. seed[i] = scale · ∂loss_i/∂logit_i; sums (LossSums::count elements) (+)=
  /// scale · Σ over pairs, without `accumulate` with a 0 for penalties. For what a penalty works with
  /// (gradient_penalty.hpp), the rows of penalised parts get the seed 1, and row_scale [total_rows] theirs, 0 where
  /// there is no loss; it is 1 for other rows, null without a penalty.
  virtual void discriminator_loss(GanLoss loss, const BatchLayout& layout, PenaltyParts penalised, const float* logits,
                                  float scale, float* seed, float* row_scale, bool accumulate, SumTarget sums) = 0;
  /// G's loss: on parts = 1 (fake logits) or 2 (real, then fake) for a loss whose G step needs D(real). sums: as above;
  /// those of real images are 0 without them.
  virtual void generator_loss(GanLoss loss, const BatchLayout& layout, const float* logits, float scale, float* seed,
                              bool accumulate, SumTarget sums) = 0;
  /// The penalty number `penalty` of src/math/penalty/, P, on the input gradient g[layout.rows, columns]:
  /// v = coefficient · ∂P/∂g (v may be g), and *value += coefficient · Σ_rows P.
  virtual void gradient_penalty(int penalty, const BatchLayout& layout, int columns, const float* g, float coefficient,
                                float* v, SumTarget value) = 0;
  /// h_row = scale_row · h_row + t_row.
  virtual void combine_rows(int rows, int columns, const float* scale, const float* t, float* h) = 0;

  // --- reduction and optimisers over flat buffers -------------------------------------------------------
  /// to[i] = float(from[i] · 2^-40); NaN throughout where *overflow is not 0, so that one guard sees both
  /// a value that was not finite and one that did not fit.
  virtual void from_fixed_point(std::size_t count, const std::int64_t* from, const std::int64_t* overflow,
                                float* to) = 0;
  /// to[i] += from[i]: running sums that the host reads now and then.
  virtual void add_to(std::size_t count, const float* from, double* to) = 0;
  /// *result = Σ x², in double, by a fixed tree: the same bits for any number of threads.
  virtual void sum_of_squares(std::size_t count, const float* x, double* result) = 0;
  /// Does nothing where *squared_norm is not finite: the guard that keeps a bad step out of weights and states.
  virtual void optimizer_update(const OptimizerUpdate& args) = 0;
  virtual void end_step(const StepEnd& args) = 0;
  /// *to = 1 where *flag (host memory from allocate_host()) is not 0, else 0.
  virtual void flag_to_sum(const std::uint32_t* flag, SumTarget to) = 0;

  // --- draws: functions of (seed, stream, global sample), see src/math/philox.hpp -------------------------
  /// out[rows, columns] ~ N(0, 1); row r is global sample `first` + r.
  virtual void draw_normal(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns,
                           float* out) = 0;
  /// out[rows, columns] ~ U(-1, 1).
  virtual void draw_uniform(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns,
                            float* out) = 0;
  /// out[rows, columns] = x + deviation · N(0, 1), of draw_normal()'s draws; out may be x.
  virtual void add_noise(std::uint64_t seed, std::uint32_t stream, StepCount first, const FallingDeviation& deviation,
                         int rows, int columns, const float* x, float* out) = 0;
  /// out[rows, columns] = α·a + (1-α)·b, with one α in (0, 1) for each row.
  virtual void interpolate(std::uint64_t seed, std::uint32_t stream, StepCount first, int rows, int columns,
                           const float* a, const float* b, float* out) = 0;
  /// out[rows, pixels, channels] = the images [image_count, pixels] that these global samples show, one in each
  /// channel, scaled to 0 … 1: pixel / 255.
  virtual void gather_images(std::uint64_t seed, StepCount first, const std::uint8_t* images, std::uint32_t image_count,
                             int rows, int pixels, int channels, float* out) = 0;
  /// out[rows] = the labels of the first channel's images.
  virtual void gather_labels(std::uint64_t seed, StepCount first, const std::uint8_t* labels, std::uint32_t image_count,
                             int rows, std::uint8_t* out) = 0;

 private:
  [[nodiscard]] virtual std::unique_ptr<Reduction<float>> make_float_reduction(Communicator& ranks,
                                                                               std::size_t count) = 0;
  [[nodiscard]] virtual std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(Communicator& ranks,
                                                                                      std::size_t count) = 0;
};

/// The CPU. `threads` ≥ 1; `instruction_set` is one of cpu_instruction_sets(), empty: the widest here.
std::unique_ptr<Device> make_cpu_device(int threads, const std::string& instruction_set = {});

/// The instruction sets that this program has code for and this machine can run, narrowest first:
/// "x86-64-v2", "x86-64-v3" (AVX2, FMA), "x86-64-v4" (AVX-512).
std::vector<std::string> cpu_instruction_sets();

/// An array in a device's memory.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(Device& device, std::size_t count)
      : device_(&device), count_(count), data_(static_cast<T*>(device.allocate(count * sizeof(T)))) {}
  DeviceArray(DeviceArray&& other) noexcept { swap(other); }
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    swap(other);
    return *this;
  }
  ~DeviceArray() {
    if (data_ != nullptr) device_->release(data_);
  }
  [[nodiscard]] T* data() { return data_; }
  [[nodiscard]] const T* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::size_t bytes() const { return count_ * sizeof(T); }
  /// A copy on the host.
  [[nodiscard]] std::vector<T> host() const {
    std::vector<T> result(count_);
    read(result.data());
    return result;
  }
  /// The same into memory of size() elements.
  void read(T* to) const {
    if (count_ > 0) device_->download(to, data_, bytes());
  }
  /// Overwrites from the host; `values` has size() elements.
  void assign(const T* values) {
    if (count_ > 0) device_->upload(data_, values, bytes());
  }

 private:
  void swap(DeviceArray& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(count_, other.count_);
    std::swap(data_, other.data_);
  }
  Device* device_ = nullptr;
  std::size_t count_ = 0;
  T* data_ = nullptr;
};

}  // namespace ganymede
