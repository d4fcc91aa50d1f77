// What a training will take of a device's memory: against what the same networks and step ask a real one for. (What of
// a GPU's is gone then: tests/cuda_backend/device_test.cpp.)
#include "train/memory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/host_memory.hpp"
#include "gan/gan.hpp"
#include "gan/step.hpp"
#include "ganymede/error.hpp"
#include "quality/forwarding_device.hpp"
#include "support/gan_settings.hpp"
#include "support/refusal.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// Remembers what was asked for; has as much memory as a test says.
class MeteredDevice final : public quality::ForwardingDevice {
 public:
  explicit MeteredDevice(Device& to, std::size_t available = 0) : ForwardingDevice(to), available_(available) {}
  [[nodiscard]] void* allocate(std::size_t bytes) override {
    void* pointer = ForwardingDevice::allocate(bytes);
    sizes_[pointer] = bytes;
    return pointer;
  }
  void release(void* pointer) noexcept override {
    sizes_.erase(pointer);
    ForwardingDevice::release(pointer);
  }
  [[nodiscard]] std::size_t available_memory() const override { return available_; }
  [[nodiscard]] std::size_t taken() const {
    std::size_t sum = 0;
    for (const auto& [pointer, bytes] : sizes_) sum += bytes;
    return sum;
  }

 private:
  std::size_t available_;
  std::map<void*, std::size_t> sizes_;
};

class MemoryOfATraining : public ::testing::Test {
 protected:
  MemoryPlan plan(const TrainOptions& o) { return plan_memory(o, *alone_, shown(images_.set(), o), true); }

  std::string refusal(const TrainOptions& o, std::size_t available) {
    const MeteredDevice device(*cpu_, available);
    return testing::refusal(ExitCode::launch,
                            [&] { (void)plan_available_memory(o, *alone_, shown(images_.set(), o), device); });
  }

  RandomImages images_{20, 8, 1};
  std::unique_ptr<Communicator> alone_ = make_local_communicator();
  std::unique_ptr<Device> cpu_ = make_cpu_device(1);
};

TEST_F(MemoryOfATraining, IsWhatNetworksAndStepAskFor) {
  for (const GanSetting& setting : gan_settings())
    for (const bool reproducible : {false, true}) {
      SCOPED_TRACE(setting.name);
      TrainOptions o = small_options();
      o.batch = 18;
      o.reproducible = reproducible;
      setting.change(o);
      MeteredDevice device(*cpu_);
      const ImageSet images = shown(images_.set(), o);
      Gan gan = make_gan(o, images.shape(), device);
      const GanStep step(device, *alone_, gan, images, o);
      const MemoryPlan planned = plan(o);
      // A sum's memory is the communicator's on a CPU.
      std::size_t sums = 0;
      for (const auto& [what, bytes] : planned.parts)
        if (what == "sums over ranks") sums = bytes;
      EXPECT_GT(sums, 0U);
      EXPECT_EQ(planned.total() - sums, device.taken());
    }
}

TEST_F(MemoryOfATraining, ThatIsMissingIsSaidWithWhatWouldFit) {
  TrainOptions o = small_options();
  o.batch = 1000;
  const std::size_t needed = plan(o).total();
  EXPECT_EQ(refusal(o, needed), "");
  EXPECT_EQ(refusal(o, 0), "") << "of a device that does not know";
  const std::string said = refusal(o, needed - 1);
  EXPECT_THAT(said, AllOf(HasSubstr("the training needs "), HasSubstr("the host has "),
                          HasSubstr("--batch 999 is the largest that fits, --micro-batch 500 trains")));

  // What it proposes fits, and one more would not.
  const std::size_t half = needed / 2;
  const auto proposed = [&](const std::string& option) {
    const std::string text = refusal(o, half);
    return std::stoi(text.substr(text.find(option + " ") + option.size() + 1));
  };
  TrainOptions smaller = o;
  smaller.batch = proposed("--batch");
  EXPECT_EQ(refusal(smaller, half), "");
  ++smaller.batch;
  EXPECT_NE(refusal(smaller, half), "");
  TrainOptions sliced = o;
  sliced.micro_batch = proposed("--micro-batch");
  EXPECT_EQ(refusal(sliced, half), "");

  // Normalised networks take no slices; and at last not even one image fits.
  normalised_dcgan(o);
  EXPECT_THAT(refusal(o, plan(o).total() - 1), Not(HasSubstr("micro-batch")));
  EXPECT_THAT(refusal(o, 1000), HasSubstr("a smaller network, or more hosts"));
}

TEST(HostMemory, IsKnown) {
  EXPECT_GT(available_host_memory(), std::size_t{1} << 20);
  EXPECT_GT(peak_host_memory(), std::size_t{1} << 20);
  EXPECT_LT(peak_host_memory(), std::size_t{1} << 40);
}

}  // namespace
}  // namespace ganymede::testing
