// Times the CPU's convolutions on one thread beside oneDNN's (channels last, weights in the format that it likes best,
// reordered beforehand), best of interleaved rounds: at the shapes of the small networks that peers are compared on and
// of DCGAN's. Ours with bias, activation or slope; oneDNN's bare. Arguments: rounds (default 20), and an instruction
// set (default: the widest).
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>
#include <string>
#include <vector>

#include "bench/timing.hpp"
#include "device/cpu/cpu_device.hpp"
#include "ganymede/device.hpp"

namespace {

using ganymede::Activation;
using ganymede::Convolution;
using ganymede::Device;
using ganymede::DeviceArray;
using ganymede::bench::seconds;

struct Case {
  const char* name;
  int rows;
  Convolution geometry;
};

// oneDNN's three passes of a convolution.
class Theirs {
 public:
  Theirs(int rows, const Convolution& g) {
    using dnnl::memory;
    const auto describe = [](memory::dims dims, memory::format_tag tag) {
      return memory::desc(std::move(dims), memory::data_type::f32, tag);
    };
    const memory::dims fine = {rows, g.fine_channels, g.fine_height, g.fine_width};
    const memory::dims coarse = {rows, g.coarse_channels, g.coarse_height, g.coarse_width};
    const memory::dims filters = {g.coarse_channels, g.fine_channels, g.kernel, g.kernel};
    const memory::dims strides = {g.stride, g.stride};
    const memory::dims before = {g.padding, g.padding};
    const auto after = [&](int f, int c) { return (c - 1) * g.stride + g.kernel - f - g.padding; };
    const memory::dims behind = {after(g.fine_height, g.coarse_height), after(g.fine_width, g.coarse_width)};
    const memory::desc x = describe(fine, memory::format_tag::nhwc);
    const memory::desc y = describe(coarse, memory::format_tag::nhwc);
    const memory::desc w = describe(filters, memory::format_tag::any);
    const auto direct = dnnl::algorithm::convolution_direct;
    const dnnl::convolution_forward::primitive_desc forward(
        {dnnl::prop_kind::forward_training, direct, x, w, y, strides, before, behind}, engine_);
    const dnnl::convolution_backward_data::primitive_desc data({direct, x, w, y, strides, before, behind}, engine_,
                                                               forward);
    const dnnl::convolution_backward_weights::primitive_desc weights({direct, x, w, y, strides, before, behind},
                                                                     engine_, forward);
    const memory x_memory(x, engine_);
    const memory y_memory(y, engine_);
    add(dnnl::convolution_forward(forward), {{DNNL_ARG_SRC, x_memory},
                                             {DNNL_ARG_WEIGHTS, memory(forward.weights_desc(), engine_)},
                                             {DNNL_ARG_DST, y_memory}});
    add(dnnl::convolution_backward_data(data), {{DNNL_ARG_DIFF_DST, y_memory},
                                                {DNNL_ARG_WEIGHTS, memory(data.weights_desc(), engine_)},
                                                {DNNL_ARG_DIFF_SRC, x_memory}});
    add(dnnl::convolution_backward_weights(weights),
        {{DNNL_ARG_SRC, x_memory},
         {DNNL_ARG_DIFF_DST, y_memory},
         {DNNL_ARG_DIFF_WEIGHTS, memory(weights.diff_weights_desc(), engine_)}});
  }
  void run(std::size_t pass) {
    primitives_[pass].execute(stream_, arguments_[pass]);
    stream_.wait();
  }

 private:
  using Arguments = std::unordered_map<int, dnnl::memory>;
  void add(const dnnl::primitive& primitive, const Arguments& arguments) {
    for (const auto& [name, memory] : arguments) {
      auto* values = static_cast<float*>(memory.get_data_handle());
      std::fill(values, values + memory.get_desc().get_size() / sizeof(float), 0.5F);
    }
    primitives_.push_back(primitive);
    arguments_.push_back(arguments);
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::vector<dnnl::primitive> primitives_;
  std::vector<Arguments> arguments_;
};

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 20;
  if (!ganymede::bench::with_one_thread(argv)) return 1;
  const std::unique_ptr<Device> device = ganymede::make_cpu_device(1, argc > 2 ? argv[2] : "");
  std::printf("%s; peak of one thread %.1f GFLOP/s\n\n", device->description().c_str(),
              ganymede::measure_fma_peak_gflops());
  std::printf("%-12s %-24s %8s %9s %9s %7s\n", "convolution", "pass", "ms", "GFLOP/s", "oneDNN", "ratio");
  const Activation relu = Activation::named("relu");
  for (const Case& c : {Case{"4x4 1-64", 128, {28, 28, 1, 14, 14, 64, 4, 2, 1}},
                        Case{"4x4 64-128", 128, {14, 14, 64, 7, 7, 128, 4, 2, 1}},
                        Case{"5x5 1-64", 128, {28, 28, 1, 14, 14, 64, 5, 2, 2}},
                        Case{"5x5 64-128", 128, {14, 14, 64, 7, 7, 128, 5, 2, 2}},
                        Case{"5x5 11-64", 128, {28, 28, 11, 14, 14, 64, 5, 2, 2}},
                        Case{"5x5 74-128", 128, {14, 14, 74, 7, 7, 128, 5, 2, 2}},
                        Case{"5x5 1-74", 128, {28, 28, 1, 14, 14, 74, 5, 2, 2}},
                        Case{"5x5 64-138", 128, {14, 14, 64, 7, 7, 138, 5, 2, 2}},
                        Case{"3x3 64-64", 128, {14, 14, 64, 14, 14, 64, 3, 1, 1}}}) {
    const Convolution& g = c.geometry;
    const auto array = [&](int count) {
      std::mt19937 generator(1);
      std::uniform_real_distribution<float> uniform(-0.5F, 0.5F);
      std::vector<float> values(static_cast<std::size_t>(count));
      for (float& value : values) value = uniform(generator);
      DeviceArray<float> result(*device, values.size());
      result.assign(values.data());
      return result;
    };
    DeviceArray<float> fine = array(c.rows * g.fine_size());
    DeviceArray<float> coarse = array(c.rows * g.coarse_size());
    DeviceArray<float> fine_slope = array(c.rows * g.fine_size());
    DeviceArray<float> w = array(g.coarse_channels * g.filter());
    DeviceArray<float> b = array(g.coarse_channels);
    DeviceArray<float> to(
        *device, static_cast<std::size_t>(c.rows) * static_cast<std::size_t>(std::max(g.fine_size(), g.coarse_size())));
    ganymede::SumTarget target;
    target.values = to.data();
    Theirs theirs(c.rows, g);
    struct Pass {
      const char* name;
      std::function<void()> ours;
      std::size_t theirs;
    };
    const std::vector<Pass> passes = {
        {"forward",
         [&] {
           device->convolve(g, c.rows, fine.data(), w.data(), {b.data(), relu, nullptr}, to.data());
         },
         0},
        {"backward data",
         [&] {
           device->convolve_transposed(g, c.rows, coarse.data(), w.data(), {nullptr, relu, fine_slope.data()},
                                       to.data());
         },
         1},
        {"weights",
         [&] {
           device->convolution_gradients({1, c.rows, {0, c.rows}}, g, fine.data(), coarse.data(), false, target);
         },
         2}};
    for (const Pass& pass : passes) {
      double ours = 1e9;
      double their = 1e9;
      for (int round = 0; round < rounds; ++round) {
        ours = std::min(ours, seconds(pass.ours));
        their = std::min(their, seconds([&] { theirs.run(pass.theirs); }));
      }
      const double operations = 2.0 * c.rows * g.coarse_size() * g.filter();
      std::printf("%-12s %-24s %8.2f %9.1f %9.1f %7.2f\n", c.name, pass.name, ours * 1e3, operations / ours * 1e-9,
                  operations / their * 1e-9, their / ours);
    }
  }
  return 0;
}
