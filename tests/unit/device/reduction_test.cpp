// Sums over ranks get on while the CPU device computes: it advances between its kernels what is under way, and that
// alone.
#include <gtest/gtest.h>

#include <vector>

#include "ganymede/device.hpp"
#include "support/forwarding_communicator.hpp"

namespace ganymede {
namespace {

/// Counts what is asked of it.
template <class T>
struct CountingReduction final : Reduction<T> {
  explicit CountingReduction(int& count) : advanced(count) {}
  void start() override {}
  void advance() override { ++advanced; }
  void finish() override {}
  int& advanced;
};

/// One of two ranks, the other of which does not exist.
class HalfOfTwo final : public test::ForwardingCommunicator {
 public:
  using ForwardingCommunicator::ForwardingCommunicator;
  [[nodiscard]] int size() const override { return 2; }
  [[nodiscard]] std::unique_ptr<Reduction<float>> make_float_reduction(std::size_t /*count*/) override {
    return std::make_unique<CountingReduction<float>>(floats);
  }
  [[nodiscard]] std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(std::size_t /*count*/) override {
    return std::make_unique<CountingReduction<std::int64_t>>(fixed);
  }
  int floats = 0;
  int fixed = 0;
};

TEST(Reductions, AdvanceBetweenKernelsWhileUnderWay) {
  const std::unique_ptr<Communicator> alone = make_local_communicator();
  HalfOfTwo ranks(*alone);
  const std::unique_ptr<Device> device = make_cpu_device(1);
  DeviceArray<float> x(*device, 100'000);
  DeviceArray<double> square(*device, 1);
  const auto work = [&] {
    for (int i = 0; i < 3; ++i) device->sum_of_squares(x.size(), x.data(), square.data());
  };
  const auto floats = device->make_reduction<float>(ranks, 10);
  auto fixed = device->make_reduction<std::int64_t>(ranks, 10);
  work();
  EXPECT_EQ(ranks.floats, 0);
  floats->start();
  work();
  EXPECT_EQ(ranks.floats, 3);
  fixed->start();
  work();
  EXPECT_EQ(ranks.floats, 6);
  EXPECT_EQ(ranks.fixed, 3);
  floats->finish();
  work();
  EXPECT_EQ(ranks.floats, 6);
  EXPECT_EQ(ranks.fixed, 6);
  fixed.reset();  // as when an exception ends the step
  work();
  EXPECT_EQ(ranks.fixed, 6);
}

// A kernel of many milliseconds is cut into pieces, with the same bits.
TEST(Reductions, AdvanceWithinALongKernel) {
  constexpr int rows = 1000;
  constexpr int in = 300;
  constexpr int out = 203;
  const std::unique_ptr<Communicator> alone = make_local_communicator();
  for (const int threads : {1, 2}) {
    HalfOfTwo ranks(*alone);
    const std::unique_ptr<Device> device = make_cpu_device(threads);
    std::vector<float> values(static_cast<std::size_t>(rows) * in);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 7919 % 1000) / 500 - 1;
    DeviceArray<float> x(*device, values.size());
    x.assign(values.data());
    DeviceArray<float> whole(*device, static_cast<std::size_t>(rows) * out);
    DeviceArray<float> cut(*device, whole.size());
    const auto sum = device->make_reduction<float>(ranks, 10);
    device->affine_forward(rows, in, out, x.data(), x.data(), x.data(), {}, whole.data());
    sum->start();
    device->affine_forward(rows, in, out, x.data(), x.data(), x.data(), {}, cut.data());
    sum->finish();
    EXPECT_EQ(ranks.floats, 4 / threads);  // 122 million operations, of which a thread does 17 between two looks
    EXPECT_EQ(whole.host(), cut.host());
  }
}

}  // namespace
}  // namespace ganymede
