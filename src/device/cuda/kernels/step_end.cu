// What frames a step: the flag that asks for its end, the counter, the report to the host.
#include "device/cuda/kernels/device.hpp"

namespace ganymede::cuda {
namespace {

constexpr unsigned threads = 32;

__global__ void flag_kernel(const volatile std::uint32_t* flag, Sum to) {
  if (threadIdx.x != 0) return;
  const float value = *flag != 0 ? 1.0F : 0.0F;
  if (to.fixed != nullptr) {
    *to.fixed = math::to_fixed_point(value);
  } else {
    *to.values = value;
  }
}

__global__ void end_step_kernel(const __grid_constant__ StepEnd args) {
  const int count = args.discriminator_count + args.generator_count;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(threads)) {
    const float extra = i < args.discriminator_count ? args.discriminator_extras[i]
                                                     : args.generator_extras[i - args.discriminator_count];
    args.running[i] += static_cast<double>(extra);
  }
  if (threadIdx.x != 0) return;
  const std::uint64_t step = *args.step;
  Report& report = args.reports[step % static_cast<std::uint64_t>(args.report_count)];
  // The last of D's norms, unless one before it was not finite: infinity and NaN are what x - x is not 0 for.
  double square = 0;
  for (int i = 0; i < args.discriminator_updates && square - square == 0; ++i)
    square = args.discriminator_squared_norms[i];
  report.discriminator_squared_norm = square;
  report.generator_squared_norm = *args.generator_squared_norm;
  report.stop = args.stop != nullptr                                               ? *args.stop
                : *static_cast<const volatile std::uint32_t*>(args.stop_flag) != 0 ? 1.0F
                                                                                   : 0.0F;
  // The host takes a report whose step it sees for complete.
  __threadfence_system();
  *static_cast<volatile std::uint64_t*>(&report.step) = step + 1;
  *args.step = step + 1;
  *args.discriminator_total += static_cast<std::uint64_t>(args.discriminator_updates);
}

}  // namespace

void flag_to_sum(cudaStream_t stream, const std::uint32_t* flag, Sum to) {
  launch<flag_kernel>("flag_to_sum", 1, threads, stream, flag, to);
}

void end_step(cudaStream_t stream, const StepEnd& args) {
  launch<end_step_kernel>("end_step", 1, threads, stream, args);
}

}  // namespace ganymede::cuda
