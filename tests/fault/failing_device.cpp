// A module in the GPU backend's place that needs no CUDA: its device is the CPU. GANYMEDE_TEST_DEVICE says what is
// wrong with a rank's: "absent", there is none; "step N", it fails in the Nth step; nothing where it is not set.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "core/build_info.hpp"
#include "core/numbers.hpp"
#include "device/cuda_module.hpp"
#include "ganymede/error.hpp"
#include "quality/forwarding_device.hpp"

namespace {

using ganymede::CudaSight;

std::string what_is_wrong() {
  const char* text = std::getenv("GANYMEDE_TEST_DEVICE");
  return text == nullptr ? "" : text;
}

struct Cpu {
  std::unique_ptr<ganymede::Device> cpu = ganymede::make_cpu_device(1);
};

class FailingDevice final : private Cpu, public ganymede::quality::ForwardingDevice {
 public:
  explicit FailingDevice(std::uint64_t last_step) : ForwardingDevice(*cpu), last_step_(last_step) {}

  // D's loss is computed once a step.
  void discriminator_loss(ganymede::GanLoss loss, const ganymede::BatchLayout& layout, ganymede::PenaltyParts penalised,
                          const float* logits, float scale, float* seed, float* row_scale, bool accumulate,
                          ganymede::SumTarget sums) override {
    if (++step_ == last_step_) throw ganymede::Error(ganymede::ExitCode::launch, "the device has failed");
    ForwardingDevice::discriminator_loss(loss, layout, penalised, logits, scale, seed, row_scale, accumulate, sums);
  }

 private:
  std::uint64_t last_step_;  // 0: none
  std::uint64_t step_ = 0;
};

CudaSight look() {
  CudaSight seen;
  seen.state = CudaSight::State::ready;
  seen.gpus = {{"CPU in a GPU's place", "0000:06:00.0", 9, 0, std::size_t{1} << 34}};
  if (what_is_wrong() == "absent") {
    seen.state = CudaSight::State::no_gpu;
    seen.gpus.clear();
  }
  return seen;
}

std::unique_ptr<ganymede::Device> make_device(ganymede::Communicator& /*ranks*/,
                                              const ganymede::CudaOptions& /*options*/) {
  const std::string wrong = what_is_wrong();
  return std::make_unique<FailingDevice>(wrong.starts_with("step ") ? ganymede::leading_number(wrong.substr(5)) : 0);
}

}  // namespace

extern "C" {
// NOLINTNEXTLINE(readability-identifier-naming)
extern const ganymede::CudaModule ganymede_cuda_module;
const ganymede::CudaModule ganymede_cuda_module = {ganymede::build_interface, look, make_device,
                                                   ganymede::heartbeat::mark_in};
}
