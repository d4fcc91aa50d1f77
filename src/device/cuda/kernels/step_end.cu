// What frames a step: the flag that asks for its end, the time it takes, the counter, the report to the host.
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

// A clock may be set: one that was put back adds nothing.
__device__ __forceinline__ std::uint64_t passed(const Timer& timer, std::uint64_t now) {
  return timer.passed + (now > timer.since ? now - timer.since : 0);
}

__global__ void stop_timer_kernel(Timer* timer) {
  if (threadIdx.x == 0) timer->passed = passed(*timer, nanoseconds());
}

__global__ void start_timer_kernel(Timer* timer, bool from_zero) {
  if (threadIdx.x != 0) return;
  timer->since = nanoseconds();
  if (from_zero) timer->passed = 0;
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
  report.own_seconds = 0;
  if (args.timer != nullptr) {
    const std::uint64_t now = nanoseconds();
    report.own_seconds = 1e-9 * static_cast<double>(passed(*args.timer, now));
    *args.timer = {now, 0};
  }
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

void stop_timer(cudaStream_t stream, Timer* timer) {
  launch<stop_timer_kernel>("stop_timer", 1, threads, stream, timer);
}

void start_timer(cudaStream_t stream, Timer* timer, bool from_zero) {
  launch<start_timer_kernel>("start_timer", 1, threads, stream, timer, from_zero);
}

}  // namespace ganymede::cuda
