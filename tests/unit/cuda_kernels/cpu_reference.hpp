// The CPU device as the kernels' reference: each function as the CUDA one is called, on host memory. The one place
// that knows Device's signatures.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ganymede/device.hpp"
#include "unit/cuda_kernels/memory.hpp"

namespace ganymede::testing {

class CpuReference {
 public:
  struct Sums {
    Values values;
    std::vector<std::int64_t> fixed;
    std::int64_t overflow = 0;
  };

  void draw_normal(std::uint64_t seed, std::uint32_t draw, std::uint64_t step, std::uint64_t per_step,
                   std::uint64_t offset, int rows, int columns, float* out) {
    device_->draw_normal(seed, draw, {&step, per_step, offset}, rows, columns, out);
  }
  void draw_uniform(std::uint64_t seed, std::uint32_t draw, std::uint64_t step, std::uint64_t per_step,
                    std::uint64_t offset, int rows, int columns, float* out) {
    device_->draw_uniform(seed, draw, {&step, per_step, offset}, rows, columns, out);
  }
  void gather_labels(std::uint64_t seed, std::uint64_t step, std::uint64_t per_step, std::uint64_t offset,
                     const std::uint8_t* labels, std::uint32_t count, int rows, std::uint8_t* out) {
    device_->gather_labels(seed, {&step, per_step, offset}, labels, count, rows, out);
  }
  void add_noise(std::uint64_t seed, std::uint32_t draw, std::uint64_t step, std::uint64_t per_step,
                 std::uint64_t offset, double start, double end, int rows, int columns, const float* x, float* out) {
    device_->add_noise(seed, draw, {&step, per_step, offset}, {start, end, &step}, rows, columns, x, out);
  }
  void draw_mask(std::uint64_t seed, std::uint32_t draw, std::uint64_t step, std::uint64_t per_step,
                 std::uint64_t offset, std::uint32_t layer, int rows, int columns, double share, std::uint8_t* mask) {
    device_->draw_mask({seed, draw, {&step, per_step, offset}, layer}, rows, columns, share, mask);
  }
  void gather_images(std::uint64_t seed, std::uint64_t step, std::uint64_t per_step, std::uint64_t offset,
                     const std::uint8_t* images, std::uint32_t count, int rows, int pixels, int channels, float* out) {
    device_->gather_images(seed, {&step, per_step, offset}, images, count, rows, pixels, channels, out);
  }
  void optimizer_update(const OptimizerUpdate& args) { device_->optimizer_update(args); }
  /// D's loss on [2 or 3, rows] logits; seeds and row_scale likewise. `initial`: what the sums are before.
  Sums discriminator_loss(GanLoss loss, PenaltyParts penalised, const std::vector<int>& shards, const float* logits,
                          float scale, bool exact, float* seed, float* row_scale, bool accumulate, int initial) {
    return sums(exact, LossSums::count, initial, [&](const SumTarget& target) {
      device_->discriminator_loss(loss, {penalised.between ? 3 : 2, shards.back(), shards}, penalised, logits, scale,
                                  seed, row_scale, accumulate, target);
    });
  }
  /// G's loss on `parts` · rows logits.
  Sums generator_loss(GanLoss loss, int parts, const std::vector<int>& shards, const float* logits, float scale,
                      bool exact, float* seed, bool accumulate, int initial) {
    return sums(exact, LossSums::count, initial, [&](const SumTarget& target) {
      device_->generator_loss(loss, {parts, shards.back(), shards}, logits, scale, seed, accumulate, target);
    });
  }
  Sums penalty(int kind, const std::vector<int>& shards, int columns, const float* g, float coefficient, bool exact,
               float* v) {
    return sums(exact, 1, 0, [&](const SumTarget& target) {
      device_->gradient_penalty(kind, {1, shards.back(), shards}, columns, g, coefficient, v, target);
    });
  }
  void interpolate(std::uint64_t seed, std::uint32_t draw, std::uint64_t step, std::uint64_t per_step,
                   std::uint64_t offset, int rows, int columns, const float* a, const float* b, float* out) {
    device_->interpolate(seed, draw, {&step, per_step, offset}, rows, columns, a, b, out);
  }

 private:
  template <class Call>
  static Sums sums(bool exact, std::size_t count, int initial, Call&& call) {
    Sums result;
    SumTarget target;
    if (exact) {
      result.fixed.assign(count, initial);
      target.fixed = result.fixed.data();
      target.overflow = &result.overflow;
    } else {
      result.values.assign(count, static_cast<float>(initial));
      target.values = result.values.data();
    }
    call(target);
    return result;
  }

  // Without fused multiply-add, as the host compiler builds the kernels: the same operations then give the same bits.
  std::unique_ptr<Device> device_ = make_cpu_device(1, "x86-64-v2");
};

}  // namespace ganymede::testing
