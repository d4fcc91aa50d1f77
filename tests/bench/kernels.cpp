// Times the CPU's kernels at the shapes of the MLP GAN's step on one thread: matrix products beside
// oneDNN's dnnl_sgemm, best of interleaved rounds (ours with bias, activation or slope, dnnl_sgemm bare),
// nanoseconds per element for the passes over flat arrays, and gigabytes per second for batch normalisation. Arguments:
// rounds (default 300), and an instruction set (default: the widest).
#include <oneapi/dnnl/dnnl.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/timing.hpp"
#include "device/cpu/cpu_device.hpp"
#include "ganymede/device.hpp"
#include "math/philox.hpp"
#include "nn/optimizer.hpp"

namespace {

using ganymede::Activation;
using ganymede::BatchLayout;
using ganymede::Device;
using ganymede::DeviceArray;
using ganymede::SumTarget;
using ganymede::bench::seconds;

// The best time of each of several pieces of work, run in turns so that each meets the same weather.
std::vector<double> best_times(const std::vector<std::function<void()>>& works, int rounds) {
  std::vector<double> best(works.size(), 1e9);
  for (int round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < works.size(); ++i) best[i] = std::min(best[i], seconds(works[i]));
  return best;
}

// Shards as --reproducible cuts a batch.
BatchLayout eight_shards(int parts, int rows) {
  BatchLayout layout{parts, rows, {}};
  for (int s = 0; s <= 8; ++s) layout.shard_begin.push_back(rows * s / 8);
  return layout;
}

struct Layer {
  int rows, in, out;
};

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 300;
  if (!ganymede::bench::with_one_thread(argv)) return 1;
  const std::unique_ptr<Device> device = ganymede::make_cpu_device(1, argc > 2 ? argv[2] : "");
  std::printf("%s; peak of one thread %.1f GFLOP/s\n\n", device->description().c_str(),
              ganymede::measure_fma_peak_gflops());

  constexpr std::size_t most = std::size_t{800} * 800;
  DeviceArray<float> x(*device, most);
  DeviceArray<float> w(*device, most);
  DeviceArray<float> b(*device, most);
  DeviceArray<float> y(*device, most);
  DeviceArray<std::int64_t> fixed(*device, most);
  DeviceArray<std::int64_t> overflow(*device, 1);
  std::vector<float> values(most);
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> uniform(-0.5F, 0.5F);
  for (DeviceArray<float>* array : {&x, &w, &b}) {
    for (float& value : values) value = uniform(generator);
    array->assign(values.data());
  }
  const Activation relu = Activation::named("relu");

  std::printf("%-16s %5s %5s %5s %10s %10s %7s\n", "pass", "rows", "in", "out", "GFLOP/s", "dnnl_sgemm", "ratio");
  const auto report = [&](const char* pass, const Layer& s, const std::function<void()>& ours,
                          const std::function<void()>& theirs) {
    const double operations = 2.0 * s.rows * s.in * s.out;
    const std::vector<double> best = best_times({ours, theirs}, rounds);
    std::printf("%-16s %5d %5d %5d %10.1f %10.1f %7.2f\n", pass, s.rows, s.in, s.out, operations / best[0] * 1e-9,
                operations / best[1] * 1e-9, best[1] / best[0]);
  };
  for (const Layer& s :
       {Layer{200, 784, 128}, Layer{200, 128, 128}, Layer{100, 784, 128}, Layer{100, 100, 128}, Layer{100, 128, 128},
        Layer{100, 128, 784}, Layer{50, 128, 784}, Layer{67, 784, 128}, Layer{33, 784, 128}, Layer{200, 128, 1}}) {
    report(
        "forward", s,
        [&] { device->affine_forward(s.rows, s.in, s.out, x.data(), w.data(), b.data(), relu, y.data()); },
        [&] {
          dnnl_sgemm('N', 'T', s.rows, s.out, s.in, 1.0F, x.data(), s.in, w.data(), s.in, 0.0F, y.data(), s.out);
        });
  }
  for (const Layer& s : {Layer{200, 128, 128}, Layer{100, 784, 128}, Layer{100, 128, 128}, Layer{100, 128, 784},
                         Layer{50, 128, 784}, Layer{67, 784, 128}, Layer{33, 128, 784}, Layer{200, 128, 1}}) {
    report(
        "backward data", s,
        [&] { device->affine_backward_data(s.rows, s.in, s.out, b.data(), w.data(), relu, x.data(), y.data()); },
        [&] {
          dnnl_sgemm('N', 'N', s.rows, s.in, s.out, 1.0F, b.data(), s.out, w.data(), s.in, 0.0F, y.data(), s.in);
        });
  }
  for (bool exact : {false, true}) {
    for (const Layer& s : {Layer{200, 784, 128}, Layer{200, 128, 128}, Layer{100, 128, 784}, Layer{100, 128, 128},
                           Layer{100, 100, 128}, Layer{50, 128, 784}, Layer{33, 784, 128}, Layer{200, 128, 1}}) {
      SumTarget target;
      if (exact) {
        target = {nullptr, fixed.data(), overflow.data()};
      } else {
        target.values = y.data();
      }
      const int parts = s.rows == 200 ? 2 : 1;
      const BatchLayout layout = eight_shards(parts, s.rows / parts);
      report(
          exact ? "weights, exact" : "weights", s,
          [&] { device->affine_gradients(layout, s.in, s.out, x.data(), b.data(), nullptr, false, target, {}); },
          [&] {
            dnnl_sgemm('T', 'N', s.out, s.in, s.rows, 1.0F, b.data(), s.out, x.data(), s.in, 0.0F, y.data(), s.in);
          });
    }
  }

  std::printf("\n%-20s %12s\n", "pass", "ns/element");
  const auto element = [&](const char* pass, std::size_t count, const std::function<void()>& work) {
    std::printf("%-20s %12.3f\n", pass, best_times({work}, rounds)[0] / static_cast<double>(count) * 1e9);
  };
  constexpr std::size_t count = 20000;  // fits the second-level cache
  DeviceArray<float> m(*device, count);
  DeviceArray<float> v(*device, count);
  DeviceArray<double> norm(*device, 1);
  DeviceArray<std::uint64_t> step(*device, 1);
  DeviceArray<std::uint8_t> images(*device, std::size_t{1000} * 784);
  ganymede::OptimizerUpdate update;
  update.updates = {step.data()};
  update.count = count;
  update.squared_norm = norm.data();
  update.gradient = b.data();
  update.parameters = y.data();
  update.state = {m.data(), v.data()};
  for (const std::string& name : ganymede::optimizer_names()) {
    element(name.c_str(), count, [&] { device->optimizer_update(update); });
    ++update.optimizer;
  }
  update.optimizer = 0;
  update.average = {x.data(), 0.999F};
  element("sgd and average", count, [&] { device->optimizer_update(update); });
  element("sum of squares", count, [&] { device->sum_of_squares(count, x.data(), norm.data()); });
  norm.assign(std::vector<double>{1.0}.data());
  element("from fixed point", count, [&] { device->from_fixed_point(count, fixed.data(), overflow.data(), y.data()); });
  element("normal", std::size_t{100} * 100, [&] {
    device->draw_normal(1, static_cast<std::uint32_t>(ganymede::math::Stream::noise_for_generator),
                        {step.data(), 100, 0}, 100, 100, y.data());
  });
  element("gather images", std::size_t{100} * 784, [&] {
    device->gather_images(1, {step.data(), 100, 0}, images.data(), 1000, 100, 784, 1, y.data());
  });
  const BatchLayout real{1, 100, {0, 100}};
  SumTarget target;
  target.values = v.data();
  element("penalty", std::size_t{100} * 784,
          [&] { device->gradient_penalty(0, real, 784, x.data(), 0.05F, y.data(), target); });
  element("combine rows", std::size_t{100} * 784,
          [&] { device->combine_rows(100, 784, b.data(), x.data(), y.data()); });
  element("bias gradient", std::size_t{100} * 784,
          [&] { device->affine_gradients(real, 1, 784, nullptr, x.data(), nullptr, false, {}, target); });
  element("loss (per pair)", 100, [&] {
    device->discriminator_loss({0}, {2, 100, {0, 100}}, {}, x.data(), 0.01F, y.data(), nullptr, false, target);
  });
  for (const char* name : {"identity", "relu", "sigmoid", "tanh"}) {
    const Activation sigma = Activation::named(name);
    element((std::string("forward by ") + name).c_str(), std::size_t{100} * 784,
            [&] { device->affine_forward(100, 1, 784, x.data(), w.data(), b.data(), sigma, y.data()); });
  }

  std::printf("\n%-20s %5s %5s %5s %10s %10s\n", "batch normalisation", "rows", "pixel", "chann", "us", "GB/s");
  for (const Layer& s : {Layer{128, 196, 64}, Layer{128, 49, 128}, Layer{128, 784, 1}, Layer{128, 1, 1024}}) {
    const std::size_t size =
        static_cast<std::size_t>(s.rows) * static_cast<std::size_t>(s.in) * static_cast<std::size_t>(s.out);
    const BatchLayout batch{1, s.rows, {0, s.rows}};
    ganymede::BatchNorm norm;
    norm.pixels = s.in;
    norm.channels = s.out;
    norm.count = static_cast<double>(s.rows) * s.in;
    DeviceArray<float> in(*device, size);
    DeviceArray<float> delta(*device, size);
    DeviceArray<float> out(*device, size);
    values.resize(size);
    for (DeviceArray<float>* array : {&in, &delta}) {
      for (float& value : values) value = uniform(generator);
      array->assign(values.data());
    }
    DeviceArray<std::int64_t> sums(*device, norm.sums(1));
    DeviceArray<float> statistics(*device, 2 * static_cast<std::size_t>(s.out));
    const auto pass = [&](const char* name, int arrays, const std::function<void()>& work) {
      const double best = best_times({work}, rounds)[0];
      std::printf("%-20s %5d %5d %5d %10.1f %10.1f\n", name, s.rows, s.in, s.out, best * 1e6,
                  static_cast<double>(arrays) * static_cast<double>(size * sizeof(float)) / best * 1e-9);
    };
    pass("copy", 2, [&] { device->copy(out.data(), in.data(), in.bytes()); });
    pass("moments", 1, [&] { device->batch_norm_moments(batch, norm, in.data(), sums.data()); });
    device->batch_norm_statistics(1, norm, sums.data(), statistics.data(), nullptr);
    pass("forward", 2, [&] {
      device->batch_norm_forward(batch, norm, in.data(), statistics.data(), w.data(), b.data(), relu, out.data());
    });
    pass("adjoints", 2,
         [&] { device->batch_norm_adjoints(batch, norm, in.data(), delta.data(), statistics.data(), sums.data()); });
    pass("backward", 3, [&] {
      device->batch_norm_backward_data(batch, norm, in.data(), delta.data(), statistics.data(), w.data(), sums.data(),
                                       {}, out.data());
    });
  }
  return 0;
}
