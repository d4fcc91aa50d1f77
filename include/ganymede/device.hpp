// The operations that networks and the GAN step need, behind one interface: the CPU runs them at once, a
// CUDA device enqueues them on its stream. All matrices are dense, row-major, float32; all pointers point
// into the device's memory unless a comment says host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ganymede {

/// Index into the list of activations (identity, relu, leaky-relu, sigmoid, tanh) and its parameter.
struct Activation {
  int kind = 0;
  float parameter = 0.0F;  ///< the leak of leaky-relu
  /// Looks a name up ("relu", "leaky-relu"); throws Error(usage) naming the known ones.
  static Activation named(const std::string& name, float parameter = 0.0F);
  [[nodiscard]] const char* name() const;
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
/// (src/math/fixed_point.hpp) under --reproducible. Exactly one of `values` and `fixed` is set.
struct SumTarget {
  float* values = nullptr;
  std::int64_t* fixed = nullptr;
  std::int64_t* overflow = nullptr;  ///< with `fixed`: counts values that could not be converted

  [[nodiscard]] bool exact() const { return fixed != nullptr; }
  /// The same target, `count` elements further on.
  [[nodiscard]] SumTarget at(std::size_t count) const {
    return {values == nullptr ? nullptr : values + count, fixed == nullptr ? nullptr : fixed + count, overflow};
  }
};

/// Adam (Kingma and Ba 2015, algorithm 1, with bias correction). In double, so that 1 - β is what was asked for.
struct AdamConstants {
  double learning_rate = 2e-4;
  double beta1 = 0.5;
  double beta2 = 0.999;
  double epsilon = 1e-8;
};

/// Number of sums that a GAN loss produces, in this order.
struct LossSums {
  enum : int { loss, real_right, fake_right, count };
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

  // --- memory -------------------------------------------------------------------------------------
  /// 64-byte aligned, zeroed. Throws Error(launch) when there is not enough, with the sizes.
  [[nodiscard]] virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* pointer) noexcept = 0;
  virtual void upload(void* to_device, const void* from_host, std::size_t bytes) = 0;
  virtual void download(void* to_host, const void* from_device, std::size_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  virtual void zero(void* pointer, std::size_t bytes) = 0;
  virtual void synchronize() = 0;

  // --- fully connected layers: y = σ(x·Wᵀ + b), W is [out, in] ---------------------------------------
  /// y[rows, out] = σ(x[rows, in] · Wᵀ + b).
  virtual void affine_forward(int rows, int in, int out, const float* x, const float* w, const float* b,
                              Activation sigma, float* y) = 0;
  /// The layer's tangent map: ty[rows, out] = σ'(y) ⊙ (tx[rows, in] · Wᵀ).
  virtual void affine_tangent(int rows, int in, int out, const float* tx, const float* w, Activation sigma,
                              const float* y, float* ty) = 0;
  /// delta_in[rows, in] = slope ⊙ (delta[rows, out] · W), where slope is σ'_below(x) for the layer's
  /// input x = the output of the layer below; x may be null with an identity below.
  virtual void affine_backward_data(int rows, int in, int out, const float* delta, const float* w, Activation below,
                                    const float* x, float* delta_in) = 0;
  /// dW[out, in] (+)= Σ_rows delta_rowᵀ x_row, summed shard by shard; x is [total_rows, in], delta is
  /// [total_rows, out].
  virtual void affine_backward_weights(const BatchLayout& layout, int in, int out, const float* x, const float* delta,
                                       bool accumulate, SumTarget dw) = 0;
  /// db[out] (+)= Σ_rows row_scale[row] · delta_row; row_scale (null: 1) is [total_rows].
  virtual void bias_gradient(const BatchLayout& layout, int out, const float* delta, const float* row_scale,
                             bool accumulate, SumTarget db) = 0;

  // --- losses and penalties ---------------------------------------------------------------------------
  /// D's loss on layout.parts = 2 stacked logits (real, then fake): seed[i] = scale · ∂loss_i/∂logit_i;
  /// sums (LossSums::count elements, overwritten) gets scale · Σ loss, and the counts of logits > 0 on
  /// real and < 0 on fake, times scale.
  virtual void discriminator_loss(int loss, const BatchLayout& layout, const float* logits, float scale, float* seed,
                                  SumTarget sums) = 0;
  /// G's loss: on parts = 1 (fake logits) or 2 (real, then fake) for a loss whose G step needs D(real).
  /// sums: scale · Σ loss, and the counts of real logits > 0 and fake logits < 0, times scale.
  virtual void generator_loss(int loss, const BatchLayout& layout, const float* logits, float scale, float* seed,
                              SumTarget sums) = 0;
  /// R1 and R2 on the input gradient g[layout.rows, columns]: v = coefficient · g (v may be g), and
  /// *penalty = Σ_rows coefficient/2 · ‖g_row‖².
  virtual void squared_norm_penalty(const BatchLayout& layout, int columns, const float* g, float coefficient, float* v,
                                    SumTarget penalty) = 0;
  /// h_row = scale_row · h_row + t_row.
  virtual void combine_rows(int rows, int columns, const float* scale, const float* t, float* h) = 0;
  /// Fills with a constant.
  virtual void fill(std::size_t count, float value, float* to) = 0;

  // --- reduction and optimisers over flat buffers -------------------------------------------------------
  /// to[i] = float(from[i] · 2^-40); NaN throughout where *overflow is not 0, so that one guard sees both
  /// a value that was not finite and one that did not fit.
  virtual void from_fixed_point(std::size_t count, const std::int64_t* from, const std::int64_t* overflow,
                                float* to) = 0;
  /// to[i] += from[i]: running sums that the host reads now and then.
  virtual void add_to(std::size_t count, const float* from, double* to) = 0;
  /// *result = Σ x², in double, by a fixed tree: the same bits for any number of threads.
  virtual void sum_of_squares(std::size_t count, const float* x, double* result) = 0;
  /// One Adam step over a flat buffer; `*step` counts from 0. Does nothing where *gradient_norm² is not
  /// finite: the guard that keeps a bad step out of weights and moments.
  virtual void adam(std::size_t count, const AdamConstants& constants, const std::uint64_t* step,
                    const double* squared_norm, const float* gradient, float* parameters, float* m, float* v) = 0;
  /// average = decay · average + (1 - decay) · value; skipped like adam's step.
  virtual void exponential_average(std::size_t count, float decay, const double* squared_norm, const float* value,
                                   float* average) = 0;

  // --- draws: functions of (seed, stream, global sample), see src/math/philox.hpp -------------------------
  /// out[rows, columns] ~ N(0, 1); row r is global sample (*step · per_step + offset) + first_row + r.
  virtual void draw_normal(std::uint64_t seed, std::uint32_t stream, const std::uint64_t* step, std::uint64_t per_step,
                           std::uint64_t offset, int rows, int columns, float* out) = 0;
  /// out[rows, pixels] = the images that these global samples show, scaled to 0 … 1: pixel / 255.
  virtual void gather_images(std::uint64_t seed, const std::uint64_t* step, std::uint64_t per_step,
                             std::uint64_t offset, const std::uint8_t* images, std::uint32_t image_count, int rows,
                             int pixels, float* out) = 0;
  /// *counter += 1.
  virtual void advance(std::uint64_t* counter) = 0;
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
    if (count_ > 0) device_->download(result.data(), data_, bytes());
    return result;
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
